"""Looking, cancelling, the catalogue, and what the framework answers."""

import math

import httpx
import pytest

from resilience.testing import After, Script
from tests.unit.gateway.conftest import bench, confirmed, refusal, says

EVENT = {
    "event_id": "concert-01",
    "name": "Noche",
    "price": {"amount_minor": 5000, "currency": "USD"},
}
EVENT |= {"capacity": 3, "available": 1, "held": 1, "sold": 1}


async def test_view_is_relayed_with_the_token_and_never_stored():
    async with bench(confirmed(timeline=[], reason=None, email="a@b.co")) as desk:
        response = await desk.http.get("/api/reservations/r1", headers={"X-Manage-Token": "t"})
        assert response.status_code == 200
        assert response.json()["email"] == "a@b.co"
        assert response.headers["cache-control"] == "no-store"
        (request,) = desk.reservations.requests
        assert request.url.path == "/reservations/r1"
        assert request.headers["x-manage-token"] == "t"


async def test_unknown_reservation_is_404():
    async with bench(refusal(404, "reservation_not_found")) as desk:
        assert (await desk.http.get("/api/reservations/r404")).json()["code"] == (
            "reservation_not_found"
        )
        asked = desk.reservations.attempts
        odd = await desk.http.get("/api/reservations/%2e%2e%2fx%20y")
        assert odd.status_code == 404
        assert desk.reservations.attempts == asked


async def test_silent_reservations_cannot_be_read():
    async with bench(httpx.ReadError("reset")) as desk:
        response = await desk.http.get("/api/reservations/r1")
        assert (response.status_code, response.json()["code"]) == (503, "reservations_unavailable")
        assert "retry-after" in response.headers


@pytest.mark.parametrize(("status", "http_status"), [("refunded", 200), ("pending", 202)])
async def test_cancelling_says_how_far_it_is(status, http_status):
    async with bench(confirmed(status=status)) as desk:
        response = await desk.http.post(
            "/api/reservations/r1/cancel", headers={"X-Manage-Token": "t"}
        )
        assert response.status_code == http_status
        assert response.json()["status"] == status
        assert ("retry-after" in response.headers) == (http_status == 202)
        (request,) = desk.reservations.requests
        assert request.url.path == "/reservations/r1/cancel"
        assert request.headers["x-manage-token"] == "t"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "not_yours"),
        (404, "reservation_not_found"),
        (409, "reservation_in_progress"),
        (409, "invalid_state"),
        (503, "storage_unavailable"),
    ],
)
async def test_cancelling_may_be_refused(status, code):
    async with bench(refusal(status, code)) as desk:
        response = await desk.http.post("/api/reservations/r1/cancel")
        assert (response.status_code, response.json()["code"]) == (status, code)


@pytest.mark.parametrize("silence", [httpx.ReadError("reset"), After(math.inf)])
async def test_cancellation_in_doubt_is_202(silence):
    async with bench(silence) as desk:
        response = await desk.http.post("/api/reservations/r1/cancel")
        assert response.status_code == 202
        assert response.json()["status"] == "pending"
        assert response.json()["reservation_id"] == "r1"
        assert response.headers["location"] == "/api/reservations/r1"


async def test_cancellation_that_never_got_there_is_unavailable():
    async with bench(httpx.ConnectError("refused")) as desk:
        response = await desk.http.post("/api/reservations/r1/cancel")
        assert (response.status_code, response.json()["code"]) == (503, "reservations_unavailable")


async def test_events_and_seats_come_from_inventory():
    seats = {
        "event_id": "concert-01",
        "seats": [{"seat": "A-1", "row": "A", "number": 1, "state": "free"}],
    }
    inventory = Script(says(200, {"events": [EVENT]}), says(200, seats))
    async with bench(inventory=inventory) as desk:
        events = await desk.http.get("/api/events")
        assert events.json() == {"events": [EVENT]}
        assert events.headers["cache-control"] == "no-store"
        assert (await desk.http.get("/api/events/concert-01/seats")).json() == seats


@pytest.mark.parametrize("silence", [httpx.ConnectError("refused"), says(503, {}), After(math.inf)])
async def test_silent_inventory_is_said_so(silence):
    async with bench(inventory=Script(silence)) as desk:
        response = await desk.http.get("/api/events")
        assert (response.status_code, response.json()["code"]) == (503, "inventory_unavailable")
        assert int(response.headers["retry-after"]) >= 1


async def test_read_is_repeated_until_inventory_answers():
    inventory = Script(says(503, {}), httpx.ReadError("reset"), says(200, {"events": []}))
    async with bench(inventory=inventory) as desk:
        assert (await desk.http.get("/api/events")).json() == {"events": []}


async def test_nonsense_from_inventory_is_a_bad_upstream():
    async with bench(inventory=Script(says(200, {"events": [{}]}))) as desk:
        response = await desk.http.get("/api/events")
        assert (response.status_code, response.json()["code"]) == (502, "bad_upstream")


async def test_unknown_event_is_404():
    async with bench(inventory=Script(refusal(404, "event_not_found", event_id="x"))) as desk:
        known = await desk.http.get("/api/events/x/seats")
        odd = await desk.http.get("/api/events/a%20b/seats")
    for response in (known, odd):
        assert (response.status_code, response.json()["code"]) == (404, "event_not_found")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "not_found"),
        ("GET", "/api/reserve", 405, "method_not_allowed"),
        ("DELETE", "/api/events", 405, "method_not_allowed"),
    ],
)
async def test_framework_refusals_are_problems_in_both_languages(method, path, status, code):
    async with bench() as desk:
        spanish = await desk.http.request(method, path)
        english = await desk.http.request(method, path, headers={"Accept-Language": "en"})
    assert (spanish.status_code, spanish.json()["code"]) == (status, code)
    assert spanish.headers["content-type"] == "application/problem+json"
    assert spanish.json()["title"] != english.json()["title"]


async def test_every_refusal_of_reserving_is_documented_with_both_examples():
    async with bench() as desk:
        document = (await desk.http.get("/openapi.json")).json()
    responses = document["paths"]["/api/reserve"]["post"]["responses"]
    codes = {
        name.rsplit(".", 1)[0]
        for response in responses.values()
        for name in response.get("content", {})
        .get("application/problem+json", {})
        .get("examples", {})
    }
    assert codes >= {
        "sold_out", "seat_taken", "event_not_found", "price_changed", "payment_declined",
        "payment_timeout", "inventory_unavailable", "payments_unavailable", "storage_unavailable",
        "reservations_unavailable", "gateway_saturated", "deadline_exceeded",
        "idempotency_key_reused", "request_in_progress", "invalid_request", "malformed_json",
        "payload_too_large",
    }  # fmt: skip
    assert {"200", "202"} <= set(responses)
