"""The engine of `load` on virtual time: what it sends, when, and what it says of how long it took."""

import asyncio
import json
import math
from collections import Counter

import pytest

from chaos import journal
from chaos.journal import Journal
from chaos.load.engine import Engine
from chaos.load.plan import Share
from chaos.load.tally import NOT_SENT
from tests.unit.chaos.load.scripted import SERVICE_S, Gateway, bought, crowd, plan, refusal

TIMER_S = 0.0011
"""A request may leave a millisecond late, and that is part of its latency; and what a bucket is wide."""


def nearest_rank(values, share):
    return sorted(values)[math.ceil(share * len(values)) - 1]


STALLS = pytest.mark.parametrize(
    ("at_s", "stall_s"), [(4.0, 2.0), (1.0, 0.5), (7.0, 3.0)], ids=["2 s", "0.5 s", "3 s, last"]
)


SHARES = (0.5, 0.9, 0.95, 0.99, 0.999, 1.0)


def as_the_schedule_says(found, gateway) -> dict[float, bool]:
    """Whether each percentile is what 1,000 requests, due each 10 ms, must have waited at that gateway."""
    dues = [index / 100 for index in range(1000)]
    waited = [gateway.answers_at(due_s) - due_s for due_s in dues]
    return {
        share: found.accepted.at(share)
        == pytest.approx(nearest_rank(waited, share), abs=TIMER_S, rel=0.002)
        for share in SHARES
    }


@STALLS
async def test_a_known_stall_shows_in_every_percentile_as_the_schedule_says(at_s, stall_s):
    """Who was due while the gateway answered nobody waited for its end, whatever the client did meanwhile."""
    gateway = Gateway(stall_at_s=at_s, stall_s=stall_s)
    found = await bought(crowd(100, 10), gateway)
    assert as_the_schedule_says(found, gateway) == dict.fromkeys(SHARES, True)
    assert found.accepted.at(0.99) > stall_s / 2
    assert found.lag.at(1.0) < TIMER_S, "the gateway was late, not the client"


class Omitting(Engine):
    """What so many generators do: who is due while somebody waits comes later, and counts from then."""

    def _tick(self):
        if self._next is None:
            self._starts_end()
            return
        index, due_s = self._next
        if not self.in_flight and due_s + self._begin_s <= self._clock():
            self._start(index, self._clock())
            self._next = next(self._starts, None)
        self._loop.call_later(0.001, self._tick)


@STALLS
async def test_an_engine_that_omits_would_be_caught(at_s, stall_s):
    """The check above is one that can fail: of 1,000 requests one waited for the end, and p99 says milliseconds."""
    gateway = Gateway(stall_at_s=at_s, stall_s=stall_s)
    found = await bought(crowd(100, 10), gateway, kind=Omitting)
    assert not as_the_schedule_says(found, gateway)[0.99]
    assert found.accepted.at(0.99) < 0.01
    assert found.accepted.count == 1000


async def test_whoever_waits_for_an_answer_before_asking_again_does_not_see_the_stall():
    """Coordinated omission: one buyer in a closed loop meets a stall of 2 s in 6 s once, and p99 says 2 ms."""
    found = await bought(plan(requests=2000, workers=1), Gateway(stall_at_s=2.0, stall_s=2.0))
    assert found.accepted.max_s == pytest.approx(2.0, abs=0.01)
    assert found.accepted.at(0.99) == pytest.approx(SERVICE_S, abs=TIMER_S)


class Slow(Gateway):
    """The client needs so long for each request itself: virtual time goes on while it sends."""

    def send(self, wire, told):
        super().send(wire, told)
        asyncio.get_running_loop()._jumping.now_s += 0.03


async def test_a_client_that_comes_late_counts_its_lateness_and_shows_it_apart():
    """30 ms of work for each request, and one due every 10 ms: the hundredth leaves 2 s late."""
    found = await bought(crowd(100, 1), Slow())
    assert found.lag.at(1.0) == pytest.approx(99 * 0.02, abs=0.01)
    assert found.lag.at(0.5) == pytest.approx(49 * 0.02, abs=0.01)
    for share in (0.5, 0.99, 1.0):
        assert found.accepted.at(share) >= found.lag.at(share)
    assert found.sent == found.due == 100


class Pausing(Gateway):
    """The client itself stands still for a second, once; the gateway is as quick as ever."""

    def send(self, wire, told):
        super().send(wire, told)
        if len(self.requests) == 50:
            asyncio.get_running_loop()._jumping.now_s += 1.0


async def test_a_pause_of_the_client_itself_is_part_of_the_latencies():
    """Who should have left during the pause was answered 2 ms after leaving, and all the same a second late."""
    found = await bought(crowd(100, 2), Pausing())
    assert found.lag.at(0.7) == pytest.approx(0.4, abs=0.02)
    for share in (0.6, 0.7, 0.8, 0.9, 0.99):
        assert found.accepted.at(share) == pytest.approx(found.lag.at(share), abs=0.015), share


async def test_who_finds_no_room_is_counted_as_not_sent_and_noted(tmp_path):
    """Never silently left out; and a percentile that may lie among them is not named."""
    path = tmp_path / "j.jsonl"
    clock = asyncio.get_running_loop().time
    with Journal.open(path, clock=clock, began_at=0.0) as notes:
        gateway = Gateway(stall_at_s=0.5, stall_s=10.0)
        found = await bought(crowd(100, 1), gateway, room=10, journal=notes)
    assert found.due == 100
    assert found.outcomes == {(200, "confirmed"): 60, (0, NOT_SENT): 40}
    assert found.sent == len(gateway.requests) == 60
    assert not found.breaches, "that is not the gateway's fault"
    assert found.answered().at(0.5, found.silent) is not None
    assert found.answered().at(0.99, found.silent) is None
    entries = journal.read(path).entries
    assert len({entry.key for entry in entries}) == len(entries) == 100
    assert Counter((one.outcome, one.code) for one in entries) == {
        ("ok", "confirmed"): 60,
        ("fail", NOT_SENT): 40,
    }


@pytest.mark.parametrize("chosen", [plan(), crowd(50, 1)], ids=["closed", "open"])
async def test_every_request_is_sent_once_with_a_key_of_its_own(chosen):
    gateway = Gateway()
    found = await bought(chosen, gateway)
    keys = [
        line.split(b": ")[1]
        for wire in gateway.requests
        for line in wire.split(b"\r\n")
        if line.startswith(b"Idempotency-Key")
    ]
    assert len(set(keys)) == len(keys) == chosen.requests == found.due == found.sent
    assert all(16 <= len(key) <= 128 for key in keys)


@pytest.mark.parametrize("unique", [True, False])
async def test_a_request_is_whole_and_names_its_buyer(unique):
    gateway = Gateway()
    await bought(plan(unique_users=unique), gateway)
    users = set()
    for wire in gateway.requests:
        head, body = wire.split(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        users.add(json.loads(body)["user_id"])
        assert json.loads(body)["quantity"] == 1
    assert len(users) == (20 if unique else 1)


@pytest.mark.parametrize("chosen", [plan(), crowd(50, 1)], ids=["closed", "open"])
async def test_a_429_is_an_answer_and_is_not_retried(chosen):
    gateway = Gateway(lambda: refusal(429, "gateway_saturated"))
    found = await bought(chosen, gateway)
    assert found.outcomes == {(429, "gateway_saturated"): chosen.requests}
    assert len(gateway.requests) == chosen.requests
    assert found.refused.count == chosen.requests
    assert not found.breaches
    assert found.accepted.at(0.5) is None


async def test_a_closed_loop_keeps_to_its_workers():
    gateway = Gateway()
    await bought(plan(workers=4), gateway)
    assert gateway.most == 4


async def test_stopping_starts_nothing_more_and_hears_the_last_answers():
    loop = asyncio.get_running_loop()
    gateway = Gateway(service_s=0.5)
    engine = Engine(Share(crowd(10, 60), 0, "0123456789", 100), gateway, loop.time)
    loop.call_later(2.05, engine.stop)
    await engine.run(loop.time())
    seconds = dict(engine.take_seconds())
    assert sum(one.sent for one in seconds.values()) == 21
    assert sum(one.accepted.count for one in seconds.values()) == 21
    assert sorted(seconds) == [0, 1, 2]


async def test_a_journal_that_cannot_be_written_ends_the_run():
    """Otherwise the auditor would miss what was bought, and nobody would know."""
    loop = asyncio.get_running_loop()
    engine = Engine(Share(crowd(10, 1), 0, "0123456789", 100), Gateway(), loop.time)
    loop.call_later(0.5, engine.fail, OSError("no space left"))
    with pytest.raises(OSError, match="no space"):
        await engine.run(loop.time())


async def test_an_answer_counts_in_the_second_in_which_it_came():
    loop = asyncio.get_running_loop()
    gateway = Gateway(stall_at_s=0.5, stall_s=2.0)
    engine = Engine(Share(crowd(10, 1), 0, "0123456789", 100), gateway, loop.time)
    await engine.run(loop.time())
    seconds = dict(engine.take_seconds())
    assert {number: one.sent for number, one in seconds.items() if one.sent} == {0: 10}
    answered = {number: one.accepted.count for number, one in seconds.items()}
    assert (answered[0], answered[2]) == (5, 5)
