"""The wire contract, on the real app with its loop and its simulated provider."""

import asyncio

import pytest

PAY = {"payment_ref": "r1.1", "amount_minor": 5000, "currency": "USD"}
REF = {"payment_ref": "r1.1"}


async def status(http, ref: str = "r1.1") -> str:
    return (await http.get(f"/payments/{ref}")).json()["status"]


async def fault(http, name: str, **body: object) -> None:
    assert (await http.post(f"/chaos/{name}", json={"enabled": True, **body})).status_code == 200


async def test_pay_capture_and_refund(open_app, entries):
    async with open_app() as http:
        paid = await http.post("/pay", json=PAY)
        assert (paid.status_code, paid.json()) == (200, {**PAY, "status": "authorized"})
        again = await http.post("/pay", json=PAY)
        assert again.json() == paid.json()
        captured = await http.post("/capture", json=REF)
        assert captured.json() == {**PAY, "status": "captured"}
        cancelled = await http.post("/cancel", json=REF)
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "pending")
        await asyncio.sleep(0.5)
        assert await status(http) == "refunded"
        assert (await http.post("/capture", json=REF)).json()["status"] == "refunded"
        assert (await http.post("/cancel", json=REF)).json()["status"] == "refunded"
    assert entries() == [
        ("r1.1", "authorize", 5000),
        ("r1.1", "capture", 5000),
        ("r1.1", "refund", 5000),
    ]


async def test_a_cancel_before_the_pay_is_a_tombstone_that_the_late_pay_meets(open_app, entries):
    async with open_app() as http:
        gone = await http.post("/cancel", json=REF)
        assert gone.json() == {**REF, "status": "pending", "amount_minor": 0, "currency": ""}
        await asyncio.sleep(0.5)
        assert await status(http) == "voided"
        late = await http.post("/pay", json=PAY)
        assert (late.status_code, late.json()["code"]) == (409, "payment_cancelled")
        assert late.headers["x-outcome"] == "final"
        assert (await http.post("/capture", json=REF)).json()["code"] == "payment_cancelled"
    assert entries() == [("r1.1", "tombstone", 0)]


async def test_slow_payments_a_late_pay_moves_no_money(open_app, entries):
    """Scenario 2: the caller leaves after 3 s, cancels, and the delayed /pay meets its tombstone."""
    async with open_app() as http:
        await fault(http, "latency", seconds=5)
        late = asyncio.create_task(http.post("/pay", json=PAY, headers={"x-deadline-ms": "3000"}))
        await asyncio.sleep(3)
        assert (await http.post("/cancel", json=REF)).status_code == 200
        await asyncio.sleep(1)
        assert await status(http) == "voided"
        assert (await late).json()["code"] == "payment_cancelled"
        assert await status(http) == "voided"
    assert entries() == [("r1.1", "tombstone", 0)]


async def test_a_slow_provider_is_voided_after_its_call_ended(open_app, entries):
    async with open_app(provider_latency_s=2) as http:
        paying = asyncio.create_task(http.post("/pay", json=PAY))
        await asyncio.sleep(1)
        await http.post("/cancel", json=REF)
        assert (await paying).json()["code"] == "payment_cancelled"
        assert await status(http) == "pending"
        await asyncio.sleep(3)
        assert await status(http) == "voided"
    assert entries() == [("r1.1", "authorize", 5000), ("r1.1", "void", 5000)]


async def test_a_declined_card_is_final_and_stays_declined(open_app, entries):
    async with open_app() as http:
        await fault(http, "fail")
        declined = await http.post("/pay", json=PAY)
        assert (declined.status_code, declined.json()["code"]) == (402, "payment_declined")
        assert declined.headers["x-outcome"] == "final"
        assert declined.json()["detail"] == "Pago rechazado por el proveedor."
        await http.delete("/chaos")
        assert (await http.post("/pay", json=PAY)).status_code == 402
        cancelled = await http.post("/cancel", json=REF)
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "declined")
        assert (await http.post("/capture", json=REF)).status_code == 409
    assert entries() == [("r1.1", "decline", 0)]


async def test_an_unknown_outcome_is_an_unmarked_503_and_then_settled(open_app):
    async with open_app(provider_latency_s=2, provider_timeout_s=1) as http:
        unknown = await http.post("/pay", json=PAY)
        assert (unknown.status_code, unknown.json()["code"]) == (503, "payments_unavailable")
        assert "x-outcome" not in unknown.headers
        assert "x-shed" not in unknown.headers
        assert await status(http) == "pending"
        assert "payments_open 1.0" in (await http.get("/metrics")).text
        ready = (await http.get("/readyz?verbose=1")).json()
        assert ready["checks"] == {"store": True}
        assert ready["live"]["payments_open"] == {"AUTH_PENDING": 1}
    async with open_app() as http:
        await asyncio.sleep(12)
        assert await status(http) == "authorized"


async def test_another_amount_for_the_same_reference_is_422(open_app):
    async with open_app() as http:
        await http.post("/pay", json=PAY)
        other = await http.post("/pay", json={**PAY, "amount_minor": 1})
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_group_tells_the_fate_of_each(open_app):
    async with open_app() as http:
        await http.post("/pay", json=PAY)
        await http.post("/cancel", json={"payment_ref": "r2.1"})
        await asyncio.sleep(0.5)
        items = [REF, {"payment_ref": "r2.1"}, {"payment_ref": "r3.1"}]
        results = (await http.post("/capture", json={"items": items})).json()["items"]
        assert results == [
            {"payment_ref": "r1.1", "status": "captured"},
            {"payment_ref": "r2.1", "status": "voided"},
            {"payment_ref": "r3.1", "status": "unknown"},
        ]
        missing = await http.post("/capture", json={"payment_ref": "r3.1"})
        assert (missing.status_code, missing.json()["code"]) == (404, "payment_not_found")
        assert (await http.get("/payments/r3.1")).status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/pay", {**PAY, "amount_minor": 0}),
        ("/pay", {**PAY, "amount_minor": 100_000_001}),
        ("/pay", {**PAY, "amount_minor": 50.5}),
        ("/pay", {**PAY, "currency": "usd"}),
        ("/pay", {**PAY, "payment_ref": "no spaces"}),
        ("/pay", {**PAY, "extra": 1}),
        ("/capture", {}),
        ("/capture", {**REF, "items": [REF]}),
        ("/capture", {"items": []}),
        ("/capture", {"items": [REF] * 257}),
        ("/cancel", {}),
    ],
)
async def test_bad_payloads_are_422_with_the_field(open_app, path, body):
    async with open_app() as http:
        refused = await http.post(path, json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert refused.json()["errors"]


async def test_a_flapping_store_never_lies(open_app, entries):
    """Whatever /pay said under db_flap, afterwards books and provider agree, and nothing stays open."""
    async with open_app() as http:
        await fault(http, "db_flap", probability=0.7)
        answers = {}
        for n in range(20):
            ref = f"r{n}.1"
            answers[ref] = await http.post("/pay", json={**PAY, "payment_ref": ref})
        assert {answer.status_code for answer in answers.values()} <= {200, 503}
        assert all("x-outcome" not in a.headers for a in answers.values() if a.status_code == 503)
        await http.delete("/chaos")
        await asyncio.sleep(15)
        assert (await http.get("/readyz?verbose=1")).json()["live"]["payments_open"] == {}
        for ref, answer in answers.items():
            if answer.status_code == 200:
                assert await status(http, ref) == "authorized"
    assert len(entries()) == len({entry[0] for entry in entries()})


async def test_the_documents_show_every_refusal(open_app):
    async with open_app() as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
    assert {"402", "409", "422", "503", "413"} <= set(paths["/pay"]["post"]["responses"])
    assert "404" in paths["/capture"]["post"]["responses"]
