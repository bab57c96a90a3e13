"""Balancing: which address gets an attempt, which are passed over, which are ejected and return."""

import asyncio
import math
from collections import Counter

import httpx
import pytest

from resilience import (
    Balance,
    Breaker,
    BreakerOpen,
    Hedge,
    Limit,
    Policy,
    Retry,
    deadline,
)
from resilience.testing import After

A, B, C = "http://10.0.0.1:5002", "http://10.0.0.2:5002", "http://10.0.0.3:5002"
REFUSED = httpx.ConnectError("refused")
RESET = httpx.ReadError("reset")
SHED = httpx.Response(503, headers={"X-Shed": "1"})


def now() -> float:
    return asyncio.get_running_loop().time()


def snapshot(http: httpx.AsyncClient) -> dict:
    return http._transport.snapshot()["stock:80"]["hosts"]


# Load


async def test_equal_addresses_share_the_load(open_mesh, replicas, ask):
    callees = replicas(a=After(0.01, 200), b=After(0.01, 200), c=After(0.01, 200))
    async with open_mesh(Policy(), callees, "abc") as http:
        await ask(http, 300)
    assert all(60 <= count <= 140 for count in Counter(callees.seen).values())


async def test_the_slower_address_gets_less_but_is_not_forgotten(open_mesh, replicas, ask):
    callees = replicas(a=After(0.01, 200), b=After(0.2, 200))
    async with open_mesh(Policy(), callees) as http:
        await ask(http, 1000, every_s=0.03)
    seen = Counter(callees.seen)
    assert 2 <= seen["b"] <= 50


async def test_what_is_in_flight_counts(open_mesh, replicas, ask):
    callees = replicas(a=After(0.1, 200), b=After(0.1, 200))
    async with open_mesh(Policy(), callees) as http:
        await ask(http, 2)  # one each: an address nobody knows is tried first
        callees.seen.clear()
        await asyncio.gather(*(ask(http) for _ in range(20)))
    assert Counter(callees.seen) == {"a": 10, "b": 10}


async def test_an_address_without_an_answer_yet_gets_one_attempt_not_all(open_mesh, replicas, ask):
    callees = replicas(a=After(0.1, 200), b=After(math.inf))
    async with open_mesh(Policy(attempt_s=5.0), callees) as http:
        calls = [asyncio.create_task(ask(http)) for _ in range(2)]
        await asyncio.sleep(1.0)
        await ask(http, 30)
        await asyncio.gather(*calls)
    assert Counter(callees.seen)["b"] == 1


@pytest.mark.parametrize("refusal", [httpx.Response(429), SHED])
async def test_a_fast_refusal_counts_as_slow(open_mesh, replicas, ask, refusal):
    callees = replicas(a=refusal, b=After(0.05, 200))
    async with open_mesh(Policy(), callees) as http:
        await ask(http, 100)
    assert Counter(callees.seen)["a"] <= 6


async def test_a_final_429_is_a_quick_answer_like_any_other(open_mesh, replicas, ask):
    final = httpx.Response(429, headers={"X-Outcome": "final"})
    callees = replicas(a=final, b=After(0.05, 200))
    async with open_mesh(Policy(), callees) as http:
        await ask(http, 100)
    assert Counter(callees.seen)["a"] > 50


async def test_a_call_cut_by_its_deadline_makes_the_address_look_slow(open_mesh, replicas, ask):
    callees = replicas(a=After(0.01, 200))
    async with open_mesh(Policy(), callees, "a") as http:
        await ask(http)
        callees.now_plays("a", After(math.inf))
        async with deadline(1.0):
            await ask(http)
        assert snapshot(http)["10.0.0.1:5002"]["latency_s"] > 0.1


# Passing over


async def test_a_refused_connection_goes_to_the_next_address_at_once_and_for_nothing(
    open_mesh, replicas
):
    callees = replicas(a=REFUSED, b=200)
    policy = Policy(retry=Retry(3, base_s=9.0))
    async with open_mesh(policy, callees) as http:
        for _ in range(10):
            assert (await http.post("/seats")).status_code == 200  # POST: nothing was sent
        assert now() == 0.0
        assert http._transport.snapshot()["stock:80"]["quota"] == 100


async def test_when_no_address_can_be_reached_retry_decides(open_mesh, replicas, events):
    callees = replicas(a=REFUSED, b=REFUSED)
    async with open_mesh(Policy(retry=Retry(2, base_s=0.01)), callees) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get("/seats")
    assert Counter(callees.seen) == {"a": 2, "b": 2}
    assert len(events.of("retry")) == 1


async def test_an_open_breaker_is_passed_over(open_mesh, replicas, ask):
    callees = replicas(a=503, b=200)
    policy = Policy(breaker=Breaker(consecutive=1, open_s=9.0), balance=Balance(consecutive=99))
    async with open_mesh(policy, callees) as http:
        answers = await ask(http, 50)
    assert answers == {200: 49, 503: 1}
    assert Counter(callees.seen)["a"] == 1


async def test_a_full_limit_is_passed_over_and_all_full_is_a_refusal(open_mesh, replicas, ask):
    callees = replicas(a=After(1.0, 200), b=After(1.0, 200))
    async with open_mesh(Policy(limit=Limit(fixed=1)), callees) as http:
        answers = await asyncio.gather(*(ask(http) for _ in range(3)))
    assert sum(answers, Counter()) == {200: 2, "LimitFull": 1}


async def test_of_several_refusals_the_shortest_wait_is_told(open_mesh, replicas, ask, runtime):
    policy = Policy(breaker=Breaker(consecutive=1, open_s=9.0, jitter_ratio=0.0))
    async with open_mesh(policy, replicas(a=503, b=503)) as http:
        await ask(http)
        await asyncio.sleep(4.0)
        await ask(http)
        with pytest.raises(BreakerOpen) as caught:
            await http.get("/seats")
    assert caught.value.retry_after_s == pytest.approx(5.0)


async def test_a_retry_goes_to_an_address_that_was_not_tried(open_mesh, replicas, ask):
    callees = replicas(a=RESET, b=RESET, c=RESET)
    async with open_mesh(Policy(retry=Retry(3, base_s=0.001)), callees, "abc") as http:
        for _ in range(4):
            callees.seen.clear()
            await ask(http)
            assert sorted(callees.seen) == ["a", "b", "c"]


async def test_more_tries_than_addresses_never_repeat_the_last_one(open_mesh, replicas, ask):
    callees = replicas(a=RESET, b=RESET)
    policy = Policy(retry=Retry(6, base_s=0.001), balance=Balance(consecutive=99))
    async with open_mesh(policy, callees) as http:
        await ask(http)
    assert "".join(callees.seen) in ("ababab", "bababa")


async def test_a_hedge_goes_to_another_address(open_mesh, replicas):
    callees = replicas(a=After(5.0, 200), b=After(0.1, 201), c=After(0.1, 201))
    async with open_mesh(Policy(hedge=Hedge(after_s=0.2)), callees, "abc") as http:
        for _ in range(3):
            assert (await http.get("/seats")).status_code == 201
    assert callees.seen.count("a") <= 2


# Ejection


async def test_five_failures_in_a_row_eject_for_thirty_seconds_times_their_number(
    open_mesh, replicas, ask, events
):
    policy = Policy(balance=Balance(penalty_s=0.0))
    async with open_mesh(policy, callees := replicas(a=503, b=After(0.01, 200))) as http:
        await ask(http, 50)
        assert Counter(callees.seen)["a"] == 5
        (ejected,) = events.of("host_ejected")
        assert ejected.detail == {
            "host": "10.0.0.1:5002",
            "reason": "consecutive",
            "eject_s": 30.0,
        }
        assert 29 < snapshot(http)["10.0.0.1:5002"]["ejected_s"] <= 30
        await asyncio.sleep(30.0)
        await ask(http, 50)
        assert [one.detail["eject_s"] for one in events.of("host_ejected")] == [30.0, 60.0]
        callees.now_plays("a", 200)
        await asyncio.sleep(60.0)
        await ask(http, 10)
        assert "a" in callees.seen
    assert [one.detail["host"] for one in events.of("host_returned")] == ["10.0.0.1:5002"]


async def test_ejections_are_capped_and_forgotten_in_good_standing(
    open_mesh, replicas, ask, events
):
    policy = Policy(balance=Balance(consecutive=1, eject_cap_s=80.0, penalty_s=0.0))
    async with open_mesh(policy, callees := replicas(a=503, b=After(0.01, 200))) as http:
        for out_s in (30.0, 60.0, 80.0, 80.0):
            await ask(http, 20)
            await asyncio.sleep(out_s)
        assert [one.detail["eject_s"] for one in events.of("host_ejected")] == [30, 60, 80, 80]
        callees.now_plays("a", 200)
        await ask(http, 20)
        await asyncio.sleep(95.0)  # three of four ejections forgotten
        callees.now_plays("a", 503)
        await ask(http, 20)
    assert events.of("host_ejected")[-1].detail["eject_s"] == 60


async def test_an_answer_in_between_starts_the_count_anew(open_mesh, replicas, ask, events):
    steps = [*[503] * 4, 200] * 5
    callees = replicas(a=200)
    callees.now_plays("a", *steps)
    async with open_mesh(Policy(), callees, "a") as http:
        await ask(http, 25)
    assert events.of("host_ejected") == []


async def test_shed_answers_eject_nobody(open_mesh, replicas, ask, events):
    async with open_mesh(Policy(), replicas(a=SHED, b=SHED)) as http:
        await ask(http, 50)
    assert events.of("host_ejected") == []


async def test_an_unreachable_address_is_out_at_once_and_soon_back(
    open_mesh, replicas, ask, events
):
    callees = replicas(a=REFUSED, b=After(0.1, 200))
    async with open_mesh(Policy(), callees) as http:
        answers = await ask(http, 200)  # 20 s
        assert answers == {200: 200}
        assert Counter(callees.seen)["a"] == 5  # at 0, 1, 3, 7 and 15 s
        waits = [one.detail["eject_s"] for one in events.of("host_ejected")]
        assert waits == [1, 2, 4, 8, 16]
        callees.now_plays("a", After(0.1, 200))
        await ask(http, 200)
        assert Counter(callees.seen)["a"] > 20
        callees.now_plays("a", REFUSED)
        await ask(http, 10)
    assert events.of("host_ejected")[-1].detail["eject_s"] == 1


async def test_the_failures_of_one_moment_are_one_verdict(open_mesh, replicas, ask, events):
    """Twenty calls die with their replica: it is out for 30 s, not for twenty times as long."""
    callees = replicas(a=After(1.0, RESET), b=After(0.5, 200))
    async with open_mesh(Policy(retry=Retry(2)), callees) as http:
        answers = await asyncio.gather(*(ask(http) for _ in range(20)))
    assert sum(answers, Counter()) == {200: 20}
    assert [one.detail["eject_s"] for one in events.of("host_ejected")] == [30.0]


async def test_when_all_are_ejected_all_are_used_and_a_good_answer_ends_it(
    open_mesh, replicas, ask, events
):
    policy = Policy(balance=Balance(consecutive=1))
    callees = replicas(a=503, b=503)
    async with open_mesh(policy, callees) as http:
        assert await ask(http, 20, every_s=0.01) == {503: 20}
        assert len(callees.seen) == 20
        callees.now_plays("a", 200)
        await ask(http, 50, every_s=0.01)
        assert snapshot(http)["10.0.0.1:5002"]["ejected_s"] == 0
        callees.seen.clear()
        assert await ask(http, 50) == {200: 50}  # b is still out
    assert "host_returned" in events.kinds()


async def test_the_only_address_is_never_lost(open_mesh, replicas, ask):
    async with open_mesh(Policy(), callees := replicas(a=REFUSED), "a") as http:
        await ask(http, 30)
        callees.now_plays("a", 200)
        assert await ask(http, 5) == {200: 5}
