"""Inventory over its real app: what a hold may become, and that no seat is ever held twice."""

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest

from chassis import runtime
from chassis.testing import serve
from inventory.app import create_app
from inventory.settings import Settings


@asynccontextmanager
async def inventory(tmp_path, **settings):
    """A started inventory and a client for it."""
    chosen = Settings(data_dir=tmp_path, chaos_enabled=True, **settings)
    async with (
        serve(create_app(chosen, runtime.simulated(1, {}))) as transport,
        httpx.AsyncClient(transport=transport, base_url="http://inventory") as client,
    ):
        yield client


async def hold(client, hold_id, **more):
    body = {"hold_id": hold_id, "event_id": "concert-01", **more}
    return await client.post("/reserve", json=body)


async def counters(client, event_id="concert-01"):
    events = (await client.get("/events")).json()["events"]
    event = next(event for event in events if event["event_id"] == event_id)
    return event["available"], event["held"], event["sold"]


async def test_adjacent_seats_are_held_and_then_sold(tmp_path):
    async with inventory(tmp_path) as client:
        granted = (await hold(client, "r.1", quantity=3, price=5000)).json()
        assert granted["seats"] == ["A-01", "A-02", "A-03"]
        assert granted["unit_price"] == 5000
        assert await counters(client) == (93, 3, 0)
        body = {"hold_id": "r.1", "token": granted["token"]}
        assert (await client.post("/confirm", json=body)).json()["state"] == "SOLD"
        assert (await client.post("/confirm", json=body)).json()["state"] == "SOLD"
        assert await counters(client) == (93, 0, 3)


async def test_a_resent_hold_is_returned_unchanged(tmp_path):
    """A lost answer must not cost the buyer a second pair of seats."""
    async with inventory(tmp_path) as client:
        first = (await hold(client, "r.1", quantity=2)).json()
        again = (await hold(client, "r.1", quantity=2)).json()
        assert again == first
        assert await counters(client) == (94, 2, 0)


async def test_a_released_hold_is_never_taken_again(tmp_path):
    async with inventory(tmp_path) as client:
        token = (await hold(client, "r.1")).json()["token"]
        assert (await client.post("/release", json={"hold_id": "r.1"})).json()[
            "state"
        ] == "RELEASED"
        late = await hold(client, "r.1")
        assert (late.status_code, late.json()["code"]) == (409, "hold_gone")
        sale = await client.post("/confirm", json={"hold_id": "r.1", "token": token})
        assert sale.json()["code"] == "hold_gone"
        assert await counters(client) == (96, 0, 0)


async def test_a_release_that_comes_first_leaves_a_tombstone(tmp_path):
    """The hold that was delayed in the network must not hold anything when it lands at last."""
    async with inventory(tmp_path) as client:
        assert (await client.post("/release", json={"hold_id": "r.1"})).json()[
            "state"
        ] == "RELEASED"
        assert (await hold(client, "r.1")).json()["code"] == "hold_gone"
        assert await counters(client) == (96, 0, 0)


async def test_a_refusal_is_stored_and_repeated(tmp_path):
    """A late duplicate of a refused hold must not hold, even when seats became free meanwhile."""
    async with inventory(tmp_path) as client:
        reset = {"event_id": "concert-01", "seats": 1}
        assert (await client.post("/admin/reset", json=reset)).json()["available"] == 1
        assert (await hold(client, "r.1", quantity=2)).json()["code"] == "sold_out"
        await client.post("/admin/reset", json={"event_id": "concert-01", "seats": 50})
        assert (await hold(client, "r.1", quantity=2)).json()["code"] == "sold_out"
        assert await counters(client) == (50, 0, 0)


async def test_a_sold_hold_can_be_revoked_by_release_only(tmp_path):
    async with inventory(tmp_path) as client:
        token = (await hold(client, "r.1")).json()["token"]
        await client.post("/confirm", json={"hold_id": "r.1", "token": token})
        await client.post("/release", json={"hold_id": "r.1"})
        assert await counters(client) == (96, 0, 0)


@pytest.mark.parametrize(
    ("token", "hold_id", "code"), [("x", "r.1", "hold_token_stale"), ("x", "r.9", "hold_not_found")]
)
async def test_confirm_demands_the_token_of_this_hold(tmp_path, token, hold_id, code):
    async with inventory(tmp_path) as client:
        await hold(client, "r.1")
        answer = await client.post("/confirm", json={"hold_id": hold_id, "token": token})
        assert answer.json()["code"] == code
        assert answer.headers["x-outcome"] == "final"


@pytest.mark.parametrize(
    ("wanted", "status", "code"),
    [
        ({"event_id": "nowhere"}, 404, "event_not_found"),
        ({"price": 4900}, 409, "price_changed"),
        ({"seats": ["A-01", "Z-99"], "quantity": 2}, 409, "seat_taken"),
        ({"quantity": 11}, 422, "invalid_request"),
        ({"colour": "red"}, 422, "invalid_request"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(tmp_path, wanted, status, code):
    async with inventory(tmp_path) as client:
        answer = await hold(client, "r.1", **wanted)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert await counters(client) == (96, 0, 0)


async def test_named_seats_are_held_or_named_as_taken(tmp_path):
    async with inventory(tmp_path) as client:
        assert (await hold(client, "r.1", seats=["B-02", "B-01"], quantity=2)).json()["seats"] == [
            "B-01",
            "B-02",
        ]
        taken = (await hold(client, "r.2", seats=["B-02", "B-03"], quantity=2)).json()
        assert taken["seats"] == ["B-02"]
        seats = (await client.get("/events/concert-01/seats")).json()["seats"]
        assert [seat["seat"] for seat in seats if seat["state"] == "held"] == ["B-01", "B-02"]


async def test_many_buyers_of_few_seats_share_exactly_those(tmp_path):
    async with inventory(tmp_path) as client:
        await client.post("/admin/reset", json={"event_id": "concert-01", "seats": 5})
        answers = await asyncio.gather(*(hold(client, f"r{n}.1") for n in range(30)))
        assert sorted(answer.status_code for answer in answers) == [200] * 5 + [409] * 25
        seats = [seat for answer in answers if answer.is_success for seat in answer.json()["seats"]]
        assert len(set(seats)) == 5


async def test_an_expired_hold_frees_its_seats_after_the_grace(tmp_path):
    async with inventory(tmp_path, hold_ttl_s=10, hold_grace_s=5, sweep_pause_s=0) as client:
        token = (await hold(client, "r.1")).json()["token"]
        await asyncio.sleep(14)
        assert await counters(client) == (95, 1, 0)
        await asyncio.sleep(3)
        assert await counters(client) == (96, 0, 0)
        late = await client.post("/confirm", json={"hold_id": "r.1", "token": token})
        assert late.json()["code"] == "hold_gone"


async def test_nothing_expires_in_the_pause_after_a_start(tmp_path):
    """While inventory was away nobody could confirm: a sale past its pivot must still find its seats."""
    async with inventory(tmp_path, hold_ttl_s=1, hold_grace_s=0, sweep_pause_s=30) as client:
        await hold(client, "r.1")
        await asyncio.sleep(29)
        assert await counters(client) == (95, 1, 0)
        await asyncio.sleep(3)
        assert await counters(client) == (96, 0, 0)


async def test_reset_never_touches_held_or_sold_seats(tmp_path):
    async with inventory(tmp_path) as client:
        token = (await hold(client, "r.1", quantity=2)).json()["token"]
        busy = await client.post("/admin/reset", json={"event_id": "concert-01", "seats": 1})
        assert (busy.status_code, busy.json()["code"]) == (409, "event_busy")
        await client.post("/confirm", json={"hold_id": "r.1", "token": token})
        done = await client.post("/admin/reset", json={"event_id": "concert-01", "seats": 1})
        assert (done.json()["available"], done.json()["sold"], done.json()["capacity"]) == (1, 2, 3)
        more = await client.post("/admin/reset", json={"event_id": "concert-01", "seats": 200})
        assert (more.json()["available"], more.json()["sold"]) == (200, 2)


async def test_what_was_held_is_still_held_after_a_restart(tmp_path):
    async with inventory(tmp_path) as client:
        first = (await hold(client, "r.1", quantity=2)).json()
    async with inventory(tmp_path) as client:
        assert (await hold(client, "r.1", quantity=2)).json() == first
        assert await counters(client) == (94, 2, 0)


async def test_without_the_lab_there_is_no_reset(tmp_path):
    settings = Settings(data_dir=tmp_path, chaos_enabled=False)
    async with (
        serve(create_app(settings, runtime.simulated(1, {}))) as transport,
        httpx.AsyncClient(transport=transport, base_url="http://inventory") as client,
    ):
        for path in ("/admin/reset", "/chaos/crash"):
            assert (await client.post(path, json={})).status_code == 404
