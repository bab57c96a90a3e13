"""How a hold ends by time: not before its promise and grace, never while inventory was away, and never twice.

Properties (on virtual time, with a database that may flap):
- a hold leaves HELD exactly once, to SOLD or to EXPIRED;
- what `/confirm` answered is what is true afterwards: 200 is SOLD, `hold_gone` is EXPIRED;
- sold holds own their seats and nobody else's, expired ones own none.
"""

import asyncio
import dataclasses
import sqlite3
import tempfile
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis import runtime
from chassis.sqlite import Writer
from chassis.telemetry import Metrics
from chassis.testing import serve
from inventory.app import create_app
from inventory.domain import HoldState
from inventory.errors import HoldGone
from inventory.schemas import HoldRequest
from inventory.settings import Settings
from inventory.store import SCHEMA, Store
from resilience.testing import run_virtual
from tests.support.mesh import mesh


class WallClock:
    """A wall clock that can be set: it jumps, and the monotonic clock does not."""

    def __init__(self):
        self.jump_s = 0.0

    def on(self, effects):
        return dataclasses.replace(
            effects, now=lambda: effects.now() + timedelta(seconds=self.jump_s)
        )


@asynccontextmanager
async def inventory(tmp_path, *, clock=None, seed=1, **chosen):
    """A started inventory and a client for it; short holds, no pause unless it is what is tested."""
    fields = {"hold_ttl_s": 10.0, "hold_grace_s": 5.0, "sweep_pause_s": 0.0, **chosen}
    found = Settings(data_dir=tmp_path, chaos_enabled=True, **fields)
    effects = (clock or WallClock()).on(runtime.simulated(seed, {}))
    async with (
        serve(create_app(found, effects)) as transport,
        httpx.AsyncClient(transport=transport, base_url="http://inventory", timeout=None) as client,
    ):
        yield client


async def hold(client, hold_id, **more):
    body = {"hold_id": hold_id, "event_id": "concert-01", **more}
    answer = await client.post("/reserve", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["token"]


async def confirm(client, hold_id, token):
    return await client.post("/confirm", json={"hold_id": hold_id, "token": token})


async def counters(client):
    events = (await client.get("/events")).json()["events"]
    event = next(event for event in events if event["event_id"] == "concert-01")
    return event["available"], event["held"], event["sold"]


async def seat_states(client, path="/events/concert-01/seats"):
    return {seat["seat"]: seat["state"] for seat in (await client.get(path)).json()["seats"]}


def rows(tmp_path, sql):
    with closing(sqlite3.connect(tmp_path / "inventory.db")) as db:
        return db.execute(sql).fetchall()


# --- promise and grace ---


@pytest.mark.parametrize("after_s", [9.0, 11.0, 14.5])
async def test_until_the_grace_is_over_a_hold_can_be_sold(tmp_path, after_s):
    """The promise is what buyers are told, the grace is for sales already past their pivot."""
    async with inventory(tmp_path) as client:
        token = await hold(client, "r.1")
        await asyncio.sleep(after_s)
        assert await counters(client) == (95, 1, 0)
        assert (await confirm(client, "r.1", token)).json()["state"] == "SOLD"
        await asyncio.sleep(60)
        assert await counters(client) == (95, 0, 1), "what is sold is not swept"


async def test_after_the_grace_it_is_gone_for_good(tmp_path):
    async with inventory(tmp_path) as client:
        token = await hold(client, "r.1")
        await asyncio.sleep(17)
        assert await counters(client) == (96, 0, 0)
        late = await confirm(client, "r.1", token)
        assert (late.status_code, late.json()["code"]) == (409, "hold_gone")
        again = await client.post("/reserve", json={"hold_id": "r.1", "event_id": "concert-01"})
        assert again.json()["code"] == "hold_gone"
        released = await client.post("/release", json={"hold_id": "r.1"})
        assert released.json()["state"] == "EXPIRED"
    assert rows(tmp_path, "SELECT from_state, to_state FROM hold_log ORDER BY seq") == [
        (None, "HELD"),
        ("HELD", "EXPIRED"),
    ]


async def test_an_expired_holds_seat_belongs_to_the_next_buyer_alone(tmp_path):
    """The first buyer's token comes too late: it must not sell the seat that is another's by now."""
    async with inventory(tmp_path) as client:
        first = await hold(client, "r1.1", seats=["A-01"], quantity=1)
        await asyncio.sleep(17)
        second = await hold(client, "r2.1", seats=["A-01"], quantity=1)
        assert (await confirm(client, "r1.1", first)).json()["code"] == "hold_gone"
        assert (await confirm(client, "r2.1", first)).json()["code"] == "hold_token_stale"
        assert (await client.post("/release", json={"hold_id": "r1.1"})).status_code == 200
        assert (await confirm(client, "r2.1", second)).json()["seats"] == ["A-01"]
        assert (await seat_states(client))["A-01"] == "sold"


# --- the sweep itself ---


async def test_the_sweep_survives_a_broken_database(tmp_path):
    """It is the only thing that frees seats nobody asks for: it must never be dead."""
    async with inventory(tmp_path) as client:
        await hold(client, "r.1")
        await client.post("/chaos/db_flap", json={"enabled": True, "probability": 1})
        await asyncio.sleep(60)
        await client.delete("/chaos")
        await asyncio.sleep(5)
        assert await counters(client) == (96, 0, 0)
        metrics = (await client.get("/metrics")).text.splitlines()
        (up,) = [line for line in metrics if line.startswith('loop_up{loop="hold-sweep"}')]
        (errors,) = [line for line in metrics if 'errors_total{loop="hold-sweep"}' in line]
        assert up.endswith(" 1.0")
        assert float(errors.split()[-1]) > 3


async def test_a_hold_that_ran_out_while_inventory_was_down_can_still_be_sold(tmp_path):
    """Nobody could confirm it meanwhile; the sale may be past its pivot, with the money authorized."""
    async with inventory(tmp_path) as client:
        token = await hold(client, "r1.1")
        await hold(client, "r2.1")
    await asyncio.sleep(3600)
    async with inventory(tmp_path, sweep_pause_s=30.0) as client:
        await asyncio.sleep(28)
        assert await counters(client) == (94, 2, 0)
        assert (await confirm(client, "r1.1", token)).json()["state"] == "SOLD"
        await asyncio.sleep(4)
        assert await counters(client) == (95, 0, 1), "who did not come back loses the seat"


@pytest.mark.parametrize("jump_s", [3600.0, 20.0])
async def test_a_clock_that_jumps_ahead_expires_nothing_for_30_s(tmp_path, jump_s):
    clock = WallClock()
    async with inventory(tmp_path, clock=clock, sweep_pause_s=30.0) as client:
        await asyncio.sleep(100)
        token = await hold(client, "r1.1")
        await hold(client, "r2.1")
        clock.jump_s = jump_s
        await asyncio.sleep(29)
        assert await counters(client) == (94, 2, 0)
        assert (await confirm(client, "r1.1", token)).json()["state"] == "SOLD"
        await asyncio.sleep(3)
        assert await counters(client) == (95, 0, 1)


async def test_a_clock_that_jumps_back_only_makes_holds_longer(tmp_path):
    clock = WallClock()
    async with inventory(tmp_path, clock=clock) as client:
        token = await hold(client, "r.1")
        clock.jump_s = -3600.0
        await asyncio.sleep(600)
        assert await counters(client) == (95, 1, 0)
        assert (await confirm(client, "r.1", token)).json()["state"] == "SOLD"


async def test_a_clock_that_keeps_jumping_keeps_the_pause(tmp_path):
    clock = WallClock()
    async with inventory(tmp_path, clock=clock, sweep_pause_s=30.0) as client:
        await asyncio.sleep(40)
        await hold(client, "r.1")
        for _ in range(4):
            clock.jump_s += 60.0
            await asyncio.sleep(20)
        assert await counters(client) == (95, 1, 0)
        await asyncio.sleep(15)
        assert await counters(client) == (96, 0, 0)


async def test_a_slewing_clock_is_no_jump(tmp_path):
    """Half a second every ten seconds, as a time service corrects a clock: holds go on to expire."""
    clock = WallClock()
    async with inventory(tmp_path, clock=clock, sweep_pause_s=30.0) as client:
        await asyncio.sleep(31)
        await hold(client, "r.1")
        for _ in range(2):
            await asyncio.sleep(10)
            clock.jump_s += 0.5
        assert await counters(client) == (96, 0, 0)


async def test_a_process_that_was_stopped_expires_nothing_for_30_s(tmp_path):
    """SIGSTOP for longer than the hold lives: both clocks went on, and nobody could confirm."""
    stopped_s = 0.0
    effects = runtime.simulated(1, {})
    effects = dataclasses.replace(
        effects,
        now=lambda now=effects.now: now() + timedelta(seconds=stopped_s),
        mono=lambda mono=effects.mono: mono() + stopped_s,
    )
    found = Settings(data_dir=tmp_path, hold_ttl_s=10.0, hold_grace_s=5.0)
    async with (
        serve(create_app(found, effects)) as transport,
        httpx.AsyncClient(transport=transport, base_url="http://inventory") as client,
    ):
        await asyncio.sleep(100)
        token = await hold(client, "r1.1")
        await hold(client, "r2.1")
        stopped_s = 60.0
        await asyncio.sleep(29)
        assert (await confirm(client, "r1.1", token)).json()["state"] == "SOLD"
        await asyncio.sleep(3)
        assert await counters(client) == (95, 0, 1)


# --- confirm against expire ---


@asynccontextmanager
async def store(tmp_path):
    effects, metrics = runtime.simulated(1, {}), Metrics()
    path = tmp_path / "inventory.db"
    async with Writer.open(path, SCHEMA, effects, metrics, plan=lambda: None) as writer:
        found = Store(writer, effects, metrics)
        await found.seed()
        yield found


@pytest.mark.parametrize("expire_first", [True, False])
async def test_in_one_and_the_same_commit_the_first_of_the_two_wins(tmp_path, expire_first):
    async with store(tmp_path) as found:
        request = HoldRequest(hold_id="r.1", event_id="concert-01", quantity=2)
        await found.hold(request, token="t", now=0.0, expires_at=10.0)
        calls = [
            found.expire(before=11.0, now=16.0),
            found.confirm("r.1", "t", now=16.0),
        ]
        results = await asyncio.gather(
            *(calls if expire_first else reversed(calls)), return_exceptions=True
        )
        if expire_first:
            assert results[0] == 1
            assert isinstance(results[1], HoldGone)
        else:
            assert results[0] == (HoldState.SOLD, ["A-01", "A-02"])
            assert results[1] == 0
    assert rows(tmp_path, "SELECT count(*) FROM hold_log WHERE from_state = 'HELD'") == [(1,)]


async def test_a_crowd_of_expired_holds_is_freed_in_bounded_commits(tmp_path):
    """Nobody who buys waits behind a sweep of thousands."""
    async with store(tmp_path) as found:
        await asyncio.gather(
            *(
                found.hold(
                    HoldRequest(hold_id=f"r{n}.1", event_id="festival-01", quantity=1),
                    token="t",
                    now=0.0,
                    expires_at=10.0,
                )
                for n in range(1100)
            )
        )
        assert [await found.expire(before=11.0, now=16.0) for _ in range(4)] == [500, 500, 100, 0]
        (counts,) = [one for one in await found.events() if one.event_id == "festival-01"]
        assert (counts.available, counts.held) == (2000, 0)


async def race(data, moments_ms, flap, seed):
    """Every buyer confirms at their own moment around the end of the grace, until they are told something."""
    async with inventory(data, seed=seed) as client:
        tokens = [await hold(client, f"r{n}.1") for n in range(len(moments_ms))]
        await asyncio.sleep(13)
        if flap:
            order = {"enabled": True, "probability": flap}
            await client.post("/chaos/db_flap", json=order)

        async def buyer(n, moment_ms):
            await asyncio.sleep(moment_ms / 1000)
            for _ in range(1000):
                answer = await confirm(client, f"r{n}.1", tokens[n])
                if answer.status_code != 503:  # which says nothing
                    break
                await asyncio.sleep(0.1)
            return answer.json().get("state") or answer.json()["code"]

        told = await asyncio.gather(*(buyer(n, ms) for n, ms in enumerate(moments_ms)))
        await client.delete("/chaos")
        await asyncio.sleep(20)
        return told, await counters(client)


@settings(max_examples=40, deadline=None)
@given(
    moments_ms=st.lists(st.integers(0, 5000), min_size=1, max_size=8),
    flap=st.sampled_from([0.0, 0.3, 0.7]),
    seed=st.integers(0, 1000),
)
def test_confirm_and_expire_race_on_one_compare_and_set(moments_ms, flap, seed):
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        told, (available, held, sold) = run_virtual(race(data, moments_ms, flap, seed))
        states = dict(rows(data, "SELECT hold_id, state FROM hold"))
        for n, answer in enumerate(told):
            assert states[f"r{n}.1"] == {"SOLD": "SOLD", "hold_gone": "EXPIRED"}[answer]
        left = rows(data, "SELECT hold_id FROM hold_log WHERE from_state = 'HELD'")
        assert sorted(left) == sorted((hold_id,) for hold_id in states)
        winners = told.count("SOLD")
        assert (available, held, sold) == (96 - winners, 0, winners)
        owners = rows(data, "SELECT DISTINCT hold_id FROM seat WHERE hold_id IS NOT NULL")
        assert {owner for (owner,) in owners} == {
            hold_id for hold_id, state in states.items() if state == "SOLD"
        }


# --- what people see ---


async def test_a_named_seat_shows_as_held_and_frees_itself(tmp_path):
    async with mesh(tmp_path, hold_ttl_s=10, hold_grace_s=5, sweep_pause_s=0) as m:
        gateway, path = m["gateway"], "/api/events/concert-01/seats"
        before = await seat_states(gateway, path)
        assert set(before.values()) == {"free"}
        await hold(m["inventory"], "r.1", seats=["B-03", "B-04"], quantity=2)
        during = await seat_states(gateway, path)
        assert {seat for seat, state in during.items() if state == "held"} == {"B-03", "B-04"}
        assert during == await seat_states(m["inventory"])
        refused = await m.reserve(seats=["B-04"])
        assert (refused.status_code, refused.json()["code"]) == (409, "seat_taken")
        assert refused.json()["seats"] == ["B-04"]
        await asyncio.sleep(17)
        assert await seat_states(gateway, path) == before
        assert (await m.reserve(seats=["B-04"])).status_code == 200
        assert (await seat_states(gateway, path))["B-04"] == "sold"


async def test_a_held_seat_says_until_when_it_is_promised_and_no_other_does(tmp_path):
    """What the page counts down: the promise, the same through the gateway."""
    async with mesh(tmp_path, hold_ttl_s=10) as m:
        held = (
            await m["inventory"].post(
                "/reserve", json={"hold_id": "r.1", "event_id": "concert-01", "seats": ["B-03"]}
            )
        ).json()
        for client, prefix in ((m["inventory"], ""), (m["gateway"], "/api")):
            seats = (await client.get(f"{prefix}/events/concert-01/seats")).json()["seats"]
            told = {seat["seat"]: seat["held_until"] for seat in seats if "held_until" in seat}
            assert told == {"B-03": held["expires_at"]}


async def test_a_purchase_goes_from_free_to_held_to_sold_and_back(tmp_path):
    async with mesh(tmp_path) as m:
        gateway, path = m["gateway"], "/api/events/concert-01/seats"

        async def seat():
            states, event = await seat_states(gateway, path), await m.event()
            counted = [list(states.values()).count(word) for word in ("free", "held", "sold")]
            assert counted == [event["available"], event["held"], event["sold"]]
            return states["C-07"]

        assert await seat() == "free"
        await m.fault("payments", "latency", seconds=1.0)
        buying = asyncio.create_task(m.reserve(seats=["C-07"]))
        await asyncio.sleep(0.5)
        assert await seat() == "held"
        bought = (await buying).json()
        assert await seat() == "sold"
        await gateway.post(
            f"/api/reservations/{bought['reservation_id']}/cancel",
            headers={"x-manage-token": bought["manage_token"]},
        )
        assert await seat() == "free"
