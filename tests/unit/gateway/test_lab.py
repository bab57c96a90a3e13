"""The lab's routes: absent in the shop, and what they tell and do in the lab."""

import json
from collections import Counter

import httpx
import pytest

from resilience.testing import After, Script
from tests.unit.gateway.conftest import bench, confirmed, refusal, says
from tests.unit.gateway.test_api import EVENT

LATENCY = {"name": "latency", "enabled": True, "seconds": 20.0, "left_s": 12.3}
FAULTS = says(200, {"service": "payments", "faults": [LATENCY]})


def by_service(response: httpx.Response) -> dict:
    return {one["service"]: one for one in response.json()["services"]}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/lab/faults"),
        ("DELETE", "/api/lab/faults"),
        ("POST", "/api/lab/faults/payments/latency"),
        ("POST", "/api/lab/reset"),
        ("POST", "/api/lab/race"),
        ("POST", "/api/lab/load"),
        ("GET", "/svc/inventory/events"),
        ("GET", "/chaos"),
    ],
)
async def test_shop_has_no_lab(method, path):
    async with bench() as desk:
        response = await desk.http.request(method, path)
        assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_faults_of_all_five_are_listed_and_silence_is_marked():
    async with bench(lab=True, payments=Script(FAULTS)) as desk:
        response = await desk.http.get("/api/lab/faults")
        found = by_service(response)
        names = [one["name"] for one in response.json()["scenarios"]]
    assert list(found) == ["gateway", "reservations", "inventory", "payments", "notifications"]
    assert found["payments"] == {"service": "payments", "reachable": True, "faults": [LATENCY]}
    assert found["inventory"] == {"service": "inventory", "reachable": False, "faults": []}
    assert any(one["name"] == "latency" for one in found["gateway"]["faults"])
    assert names[0] == "crash-inventory"
    assert len(names) == 6


async def test_switching_reaches_the_service_with_the_token():
    payments = Script(says(200, LATENCY))
    async with bench(lab=True, payments=payments, settings={"chaos_token": "s3cret"}) as desk:
        path = "/api/lab/faults/payments/latency"
        without = await desk.http.post(path, json={"seconds": 20})
        assert (without.status_code, without.json()["code"]) == (401, "unauthorized")
        assert payments.attempts == 0
        auth = {"Authorization": "Bearer s3cret"}
        response = await desk.http.post(path, json={"seconds": 20}, headers=auth)
        assert (response.status_code, response.json()) == (200, LATENCY)
        (request,) = payments.requests
    assert request.url.path == "/chaos/latency"
    assert json.loads(request.content) == {"seconds": 20}
    assert request.headers["authorization"] == "Bearer s3cret"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/lab/faults/payments/latency", 503, "payments_unavailable"),
        ("/api/lab/faults/notifications/down", 503, "notifications_unavailable"),
        ("/api/lab/faults/bank/latency", 404, "not_found"),
        ("/api/lab/faults/payments/a-b", 404, "not_found"),
    ],
)
async def test_switches_that_cannot_be_reached(path, status, code):
    async with bench(lab=True) as desk:
        response = await desk.http.post(path, json={"enabled": True})
        assert (response.status_code, response.json()["code"]) == (status, code)


async def test_switch_without_an_order_is_422():
    async with bench(lab=True) as desk:
        response = await desk.http.post("/api/lab/faults/payments/latency", json={})
        assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


async def test_stop_everything_asks_every_service():
    payments = Script(FAULTS)
    async with bench(lab=True, payments=payments) as desk:
        await desk.http.post("/api/lab/faults/gateway/latency", json={"seconds": 1})
        found = by_service(await desk.http.delete("/api/lab/faults"))
        (request,) = payments.requests
        assert request.method == "DELETE"
        assert found["inventory"]["reachable"] is False
        assert not any(fault["enabled"] for fault in found["gateway"]["faults"])


async def test_reset_goes_to_inventory():
    inventory = Script(says(200, {}), refusal(409, "event_busy", retry_after=1))
    async with bench(lab=True, inventory=inventory) as desk:
        order = {"event_id": "concert-01", "seats": 4}
        response = await desk.http.post("/api/lab/reset", json=order)
        assert response.json() == {"event_id": "concert-01", "available": 4}
        assert json.loads(inventory.requests[0].content) == order
        busy = await desk.http.post("/api/lab/reset", json=order)
        assert (busy.status_code, busy.json()["code"]) == (409, "event_busy")


async def test_flood_counts_every_answer_and_repeats_none():
    async with bench(After(0.2, confirmed()), lab=True) as desk:
        order = {"requests": 20, "workers": 10}
        report = (await desk.http.post("/api/lab/load", json=order)).json()
        counts = {(one["status"], one["code"]): one["count"] for one in report["outcomes"]}
        assert sum(counts.values()) == 20
        assert counts[200, "confirmed"] == desk.reservations.attempts
        assert counts[429, "gateway_saturated"] > 0
        assert report["p50_ms"] >= 200
        assert Counter(one["outcome"] for one in report["series"]) == Counter(
            {code: count for (_, code), count in counts.items()}
        )
        assert report["series"] == sorted(report["series"], key=lambda one: one["at_ms"])
        assert all(
            one["took_ms"] >= 200 for one in report["series"] if one["outcome"] == "confirmed"
        )
        assert report["ok"] is True


class Hall:
    """An inventory and a reservations that share `left` seats."""

    def __init__(self) -> None:
        self.left = 50
        self.resets: list[int] = []

    def inventory(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/admin/reset":
            self.left = json.loads(request.content)["seats"]
            self.resets.append(self.left)
            return says(200, {})
        return says(200, {"events": [{**EVENT, "event_id": "concert-02", "available": self.left}]})

    def reservations(self, _request: httpx.Request) -> httpx.Response:
        self.left -= 1
        return confirmed() if self.left >= 0 else refusal(409, "sold_out")


async def test_race_has_as_many_winners_as_seats_and_puts_the_event_back():
    hall = Hall()
    async with bench(
        After(0.05, hall.reservations), lab=True, inventory=Script(hall.inventory)
    ) as desk:
        order = {"buyers": 12, "seats": 2}
        report = (await desk.http.post("/api/lab/race", json=order)).json()
    assert report["outcomes"] == [
        {"status": 200, "code": "confirmed", "count": 2},
        {"status": 409, "code": "sold_out", "count": 10},
    ]
    assert report["ok"] is True
    assert report["retries"] > 0
    assert hall.resets == [2, 50]
    assert len(report["series"]) == 12
    # All came at once, and five fit in: for the others the way back to the queue is part of the story.
    assert {one["at_ms"] for one in report["series"]} == {0}
    assert sum(one["took_ms"] > 1000 for one in report["series"]) == 7


async def test_unfair_race_is_not_ok():
    hall = Hall()
    async with bench(confirmed(), lab=True, inventory=Script(hall.inventory)) as desk:
        report = (await desk.http.post("/api/lab/race", json={"buyers": 3, "seats": 1})).json()
        assert report["ok"] is False


async def test_race_on_an_unknown_event_is_404():
    hall = Hall()
    async with bench(confirmed(), lab=True, inventory=Script(hall.inventory)) as desk:
        response = await desk.http.post("/api/lab/race", json={"event_id": "nope"})
        assert (response.status_code, response.json()["code"]) == (404, "event_not_found")


@pytest.mark.parametrize(
    ("path", "order"),
    [
        ("race", {"buyers": 65}),
        ("race", {"seats": 0}),
        ("load", {"requests": 201}),
        ("load", {"workers": 51}),
    ],
)
async def test_lab_loads_are_bounded(path, order):
    async with bench(lab=True) as desk:
        assert (await desk.http.post(f"/api/lab/{path}", json=order)).status_code == 422


async def test_relay_passes_request_and_answer_through():
    answer = says(409, {"code": "sold_out"}, x_outcome="final", server="uvicorn")
    inventory = Script(answer)
    async with bench(lab=True, inventory=inventory) as desk:
        response = await desk.http.post("/svc/inventory/reserve?x=1", content=b"{}")
        assert (response.status_code, response.json()) == (409, {"code": "sold_out"})
        assert response.headers["content-type"] == "application/json"
        (request,) = inventory.requests
        assert (request.method, request.url.path, request.url.query) == ("POST", "/reserve", b"x=1")
        assert request.content == b"{}"
        unknown = await desk.http.get("/svc/bank/x")
        assert unknown.status_code == 404
        down = await desk.http.get("/svc/payments/x")
        assert down.json()["code"] == "payments_unavailable"
        large = await desk.http.post("/svc/inventory/reserve", content=b"x" * 70_000)
        assert large.status_code == 413


SPEC = says(200, {"openapi": "3.1.0", "info": {}, "paths": {}})


async def test_documents_of_all_services_are_served_and_survive_a_crash():
    inventory = Script(SPEC, httpx.ConnectError("refused"))
    async with bench(lab=True, inventory=inventory) as desk:
        for _ in range(2):
            document = (await desk.http.get("/openapi/inventory.json")).json()
            assert document["servers"] == [{"url": "/svc/inventory"}]
        assert "/api/reserve" in (await desk.http.get("/openapi/gateway.json")).json()["paths"]
        down = await desk.http.get("/openapi/payments.json")
        assert (down.status_code, down.json()["code"]) == (503, "payments_unavailable")
        assert (await desk.http.get("/openapi/bank.json")).status_code == 404


async def test_shop_documents_offer_no_relay():
    async with bench(inventory=Script(SPEC)) as desk:
        assert "servers" not in (await desk.http.get("/openapi/inventory.json")).json()


async def test_docs_page_offers_five_specs():
    async with bench() as desk:
        page = (await desk.http.get("/docs")).text
    for name in ("gateway", "reservations", "inventory", "payments", "notifications"):
        assert f"/openapi/{name}.json" in page
