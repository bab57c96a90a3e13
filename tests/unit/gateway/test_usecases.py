"""Who may say what: every way a reservation can go between the buyer and reservations."""

import asyncio
import json
import math

import httpx
import pytest

from resilience.testing import After
from tests.unit.gateway.conftest import bench, confirmed, refusal, says


def sent(request: httpx.Request) -> dict:
    return json.loads(request.content)


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_confirmed_reservation_comes_back_whole_with_its_address_and_key(key):
    async with bench(confirmed()) as desk:
        response = await desk.reserve({"Idempotency-Key": key}, price=50)
        assert response.status_code == 200
        assert response.json()["manage_token"] == "token-1"
        assert "replayed" not in response.json()
        assert response.headers["location"] == "/api/reservations/r1"
        assert response.headers["idempotency-key"] == key
        assert response.headers["cache-control"] == "no-store"
        assert "idempotent-replayed" not in response.headers


async def test_reservations_gets_everything_that_names_the_request(key):
    async with bench(confirmed()) as desk:
        await desk.reserve({"Idempotency-Key": key, "Accept-Language": "en"}, price="50.00")
        (request,) = desk.reservations.requests
    body = sent(request)
    assert request.url.path == "/reserve"
    assert request.headers["idempotency-key"] == key
    assert body["key"] == key
    assert body["scope"] == "reserve:ana"
    assert body["reservation_id"].startswith("r")
    assert len(body["reservation_id"]) == 33
    assert len(body["delivery_id"]) == 43
    assert len(body["fingerprint"]) == 64
    assert body["price_minor"] == 5000
    assert body["quantity"] == 1
    assert body["seats"] is None
    assert body["email"] is None
    assert body["lang"] == "en"
    # 5 s in all, 1 s kept for one re-send, 5 ms for the hop.
    assert 3900 <= int(request.headers["x-deadline-ms"]) <= 3995


async def test_missing_key_is_made_and_returned():
    async with bench(confirmed()) as desk:
        first, second = await desk.reserve(), await desk.reserve()
        keys = [first.headers["idempotency-key"], second.headers["idempotency-key"]]
        assert [sent(request)["key"] for request in desk.reservations.requests] == keys
        assert len(set(keys)) == 2


@pytest.mark.parametrize("bad", ["short", "x" * 129, "with a space in it", ""])
async def test_unusable_key_is_refused_before_anything_is_sent(bad):
    async with bench(confirmed()) as desk:
        response = await desk.reserve({"Idempotency-Key": bad})
        assert (response.status_code, response.json()["code"]) == (400, "invalid_idempotency_key")
        assert desk.reservations.attempts == 0


async def test_one_key_names_one_reservation_and_each_post_is_a_delivery(key):
    async with bench(confirmed()) as desk:
        headers = {"Idempotency-Key": key}
        await desk.reserve(headers)
        await desk.reserve(headers)
        await desk.reserve(headers, user_id="luis")
        one, again, other = map(sent, desk.reservations.requests)
    assert one["reservation_id"] == again["reservation_id"] != other["reservation_id"]
    assert one["delivery_id"] != again["delivery_id"]
    assert one["fingerprint"] == again["fingerprint"] != other["fingerprint"]


async def test_bodies_that_mean_the_same_have_one_fingerprint(key):
    bodies = [
        {"price": 50},
        {"price": 50.0, "quantity": 1},
        {"price": "50.00", "seats": None, "unknown": 1},
    ]
    async with bench(confirmed()) as desk:
        for body in bodies:
            await desk.reserve({"Idempotency-Key": key}, **body)
        prints = {sent(request)["fingerprint"] for request in desk.reservations.requests}
    assert len(prints) == 1


async def test_replay_is_said_in_the_header():
    async with bench(confirmed(replayed=True)) as desk:
        response = await desk.reserve()
        assert response.headers["idempotent-replayed"] == "true"
        assert "replayed" not in response.json()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (409, "sold_out"),
        (402, "payment_declined"),
        (504, "payment_timeout"),
        (503, "inventory_unavailable"),
        (503, "storage_unavailable"),
        (422, "idempotency_key_reused"),
        (409, "request_in_progress"),
    ],
)
async def test_decided_refusal_is_told_in_the_callers_language_and_sent_once(status, code):
    answer = refusal(status, code, reservation_id="r9", replayed=True, detail="interna")
    async with bench(answer) as desk:
        spanish = await desk.reserve()
        english = await desk.reserve({"Accept-Language": "en-GB"})
        assert desk.reservations.attempts == 2
    for response, language in ((spanish, "es"), (english, "en")):
        problem = response.json()
        assert (response.status_code, problem["code"]) == (status, code)
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["content-language"] == language
        assert response.headers["idempotent-replayed"] == "true"
        assert problem["reservation_id"] == "r9"
        assert problem["request_id"] == response.headers["x-request-id"]
        assert "replayed" not in problem
        assert ("retry-after" in response.headers) == (
            status == 503 or code == "request_in_progress"
        )
    assert spanish.json()["detail"] != english.json()["detail"] != "interna"


async def test_extensions_travel_with_a_refusal():
    async with bench(refusal(409, "seat_taken", seats=["A-01", "A-02"])) as desk:
        response = await desk.reserve(seats=["A-01", "A-02"])
        assert response.json()["seats"] == ["A-01", "A-02"]
        assert "A-01, A-02" in response.json()["detail"]


async def test_refusal_outside_the_contract_is_a_bad_upstream():
    async with bench(refusal(409, "from_mars")) as desk:
        response = await desk.reserve()
        assert (response.status_code, response.json()["code"]) == (502, "bad_upstream")


async def test_refused_connection_is_tried_once_more_and_then_said_so():
    async with bench(httpx.ConnectError("refused")) as desk:
        response = await desk.reserve()
        assert (response.status_code, response.json()["code"]) == (503, "reservations_unavailable")
        assert 1 <= int(response.headers["retry-after"]) <= 3
        assert desk.reservations.attempts == 2


async def test_second_connection_may_succeed():
    async with bench(httpx.ConnectError("refused"), confirmed()) as desk:
        assert (await desk.reserve()).status_code == 200


async def test_shed_request_never_happened():
    async with bench(says(503, {"code": "overloaded"}, x_shed="1", retry_after="2")) as desk:
        response = await desk.reserve()
        assert response.json()["code"] == "reservations_unavailable"
        assert desk.reservations.attempts == 1


async def test_open_breaker_answers_without_sending():
    async with bench(httpx.ConnectError("refused")) as desk:
        for _ in range(3):
            await desk.reserve()
        before = desk.reservations.attempts
        response = await desk.reserve()
        assert response.json()["code"] == "reservations_unavailable"
        assert desk.reservations.attempts == before


@pytest.mark.parametrize(
    "silence",
    [
        httpx.ReadError("reset"),
        httpx.ReadTimeout("slow"),
        says(503, {"code": "service_crashed"}),
        says(500, {}),
        says(200, ["nonsense"]),
        says(200, {"status": "?"}),
        After(math.inf),
    ],
)
async def test_what_is_in_doubt_is_asked_again_with_the_same_key_and_delivery(silence):
    async with bench(silence, confirmed()) as desk:
        response = await desk.reserve()
        assert response.status_code == 200
        first, second = desk.reservations.requests
        assert sent(first) == sent(second)
        assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


@pytest.mark.parametrize(
    "after",
    [
        httpx.ReadError("reset"),
        httpx.ConnectError("refused"),  # refused now says nothing about the first send
        says(503, {"code": "overloaded"}, x_shed="1"),
        says(409, {"code": "request_in_progress"}, retry_after="1"),
        refusal(422, "invalid_request"),
        After(math.inf),
    ],
)
@pytest.mark.parametrize("first", [httpx.ReadError("reset"), After(math.inf)])
async def test_what_stays_in_doubt_is_202_and_never_unavailable(first, after):
    async with bench(first, after) as desk:
        began = now()
        response = await desk.reserve({"Accept-Language": "en"}, quantity=2)
        assert now() - began <= 5.0
        body = response.json()
        assert response.status_code == 202
        assert body["status"] == "pending"
        assert body["event_id"] == "concert-01"
        assert body["quantity"] == 2
        assert "no seat is certain" in body["message"]
        assert response.headers["location"] == f"/api/reservations/{body['reservation_id']}"
        assert int(response.headers["retry-after"]) >= 1
        assert sent(desk.reservations.requests[0])["reservation_id"] == body["reservation_id"]


async def test_refusal_found_by_asking_again_is_final():
    async with bench(httpx.ReadError("reset"), refusal(409, "sold_out")) as desk:
        response = await desk.reserve()
        assert (response.status_code, response.json()["code"]) == (409, "sold_out")


async def test_open_outcome_is_relayed():
    async with bench(confirmed(status="pending", seats=[], message="En curso.")) as desk:
        response = await desk.reserve()
        assert response.status_code == 202
        assert response.json()["message"] == "En curso."
        assert response.headers["location"] == "/api/reservations/r1"
        assert "retry-after" in response.headers


async def test_callers_deadline_only_shrinks_ours():
    async with bench(After(math.inf), After(math.inf)) as desk:
        began = now()
        response = await desk.reserve({"X-Deadline-Ms": "1000"})
        assert response.status_code == 202
        assert now() - began <= 1.0
        assert int(desk.reservations.requests[0].headers["x-deadline-ms"]) <= 600
        began = now()
        await desk.reserve({"X-Deadline-Ms": "60000"})
        assert now() - began <= 5.0


async def test_expired_deadline_is_refused_before_any_send():
    async with bench(confirmed()) as desk:
        response = await desk.reserve({"X-Deadline-Ms": "0"})
        assert (response.status_code, response.json()["code"]) == (504, "deadline_exceeded")
        assert response.headers["x-deadline-expired"] == "1"
        assert desk.reservations.attempts == 0


async def test_full_gateway_says_429_before_any_write():
    async with bench(After(0.5, confirmed())) as desk:
        answers = await asyncio.gather(*(desk.reserve() for _ in range(8)))
        full = [one for one in answers if one.status_code == 429]
        assert len(full) == 3
        assert desk.reservations.attempts == 5
        for one in full:
            assert one.json()["code"] == "gateway_saturated"
            assert 1 <= int(one.headers["retry-after"]) <= 3
        assert (await desk.reserve()).status_code == 200


async def test_reads_have_room_while_the_gateway_is_full():
    async with bench(After(0.5, confirmed())) as desk:
        buyers = [asyncio.ensure_future(desk.reserve()) for _ in range(5)]
        await asyncio.sleep(0.1)  # virtual
        assert (await desk.http.get("/healthz")).status_code == 200
        assert (await desk.http.get("/")).status_code == 200
        assert (await desk.reserve()).status_code == 429
        await asyncio.gather(*buyers)


async def test_adaptive_limit_starts_wider():
    async with bench(After(0.5, confirmed()), settings={"gateway_limit": "adaptive"}) as desk:
        answers = await asyncio.gather(*(desk.reserve() for _ in range(12)))
        assert {one.status_code for one in answers} == {200}


async def test_caller_that_leaves_cancels_nothing():
    async with bench(After(1.0, confirmed())) as desk:
        content = json.dumps({"user_id": "ana", "event_id": "concert-01"}).encode()
        messages = [{"type": "http.request", "body": content}, {"type": "http.disconnect"}]

        async def receive():
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message):
            return None

        await desk.asgi("POST", "/api/reserve", receive, send)
        assert desk.reservations.attempts == 1
        assert desk.reservations.cancelled == 0
