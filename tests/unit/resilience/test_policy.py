"""The pipeline as a whole: its one order, pairs of policies, listeners, `Policy.call`."""

import asyncio
import logging
import math

import pytest

from resilience import (
    AttemptTimeout,
    Breaker,
    BreakerOpen,
    Limit,
    LimitFull,
    Policy,
    Retry,
    Runtime,
)
from resilience.testing import After, FakeClock, Script, fake_runtime

BROKEN = ConnectionResetError("reset")


async def test_an_empty_policy_just_calls(runtime):
    assert await Policy().bind("x", runtime).call(Script("answer")) == "answer"


async def test_retry_is_outside_the_breaker_so_every_try_is_one_sample(runtime):
    policy = Policy(retry=Retry(3, quota=None), breaker=Breaker())
    pipeline = policy.bind("x", runtime)
    callee = Script(BROKEN)
    with pytest.raises(ConnectionResetError):
        await pipeline.call(callee)
    assert pipeline.snapshot()["breaker"]["failed"] == 3
    # The fifth failure opens it in the middle of the second call's tries. That call ends with what
    # is known of it: an unknown outcome, not "never sent".
    with pytest.raises(ConnectionResetError) as caught:
        await pipeline.call(callee)
    assert isinstance(caught.value.__cause__, BreakerOpen)
    assert callee.attempts == 5


async def test_the_limit_is_inside_the_retry_so_no_slot_is_held_while_waiting(runtime):
    policy = Policy(retry=Retry(2, base_s=8.0, cap_s=8.0), limit=Limit(fixed=1))
    pipeline = policy.bind("x", runtime)
    waiting = asyncio.ensure_future(pipeline.call(Script(BROKEN, "second try")))
    await asyncio.sleep(0.001)
    assert await pipeline.call(Script("other")) == "other"
    assert await waiting == "second try"


async def test_the_limit_is_inside_the_breaker_and_never_opens_it(runtime):
    pipeline = Policy(breaker=Breaker(), limit=Limit(fixed=1)).bind("x", runtime)
    busy = asyncio.ensure_future(pipeline.call(Script(After(1.0, "busy"))))
    await asyncio.sleep(0.1)
    for _ in range(30):
        with pytest.raises(LimitFull):
            await pipeline.call(Script("other"))
    assert await busy == "busy"
    assert await pipeline.call(Script("open")) == "open"


async def test_the_attempt_timeout_is_innermost_and_is_seen_by_all(runtime, events):
    policy = Policy(attempt_s=0.5, retry=Retry(2, base_s=0.01), breaker=Breaker(), limit=Limit(1))
    pipeline = policy.bind("x", runtime, [events])
    callee = Script(After(math.inf))
    with pytest.raises(AttemptTimeout):
        await pipeline.call(callee)
    assert callee.attempts == 2
    assert pipeline.snapshot()["breaker"]["failed"] == 2
    assert pipeline.snapshot()["quota"] == 90
    assert pipeline.snapshot()["in_flight"] == 0
    assert [event.detail["outcome"] for event in events.of("attempt")] == ["timeout", "timeout"]


async def test_a_broken_listener_harms_nobody(runtime, events, caplog):
    def broken(event):
        raise RuntimeError("listener bug")

    pipeline = Policy(retry=Retry(2)).bind("x", runtime, [broken, events])
    with caplog.at_level(logging.ERROR, "resilience"):
        assert await pipeline.call(Script(BROKEN, "answer")) == "answer"
    assert events.kinds() == ["attempt", "retry", "attempt"]
    assert "listener bug" in caplog.text


async def test_events_carry_name_time_and_common_facts(events):
    clock = FakeClock(start_s=9.0)
    policy = Policy()
    pipeline = policy.bind("stock", fake_runtime(clock), [events], common={"edge": "a"})
    with pytest.raises(ConnectionResetError):
        await pipeline.call(Script(BROKEN))
    (event,) = events
    assert (event.kind, event.name, event.at) == ("attempt", "stock", 9.0)
    assert event.detail["edge"] == "a"
    assert (event.detail["outcome"], event.detail["error"]) == ("failed", "ConnectionResetError")


async def test_a_cancelled_attempt_is_told(runtime, events):
    call = asyncio.ensure_future(Policy().bind("x", runtime, [events]).call(Script(After(9))))
    await asyncio.sleep(0.1)
    call.cancel()
    await asyncio.wait([call])
    assert events[0].detail["outcome"] == "cancelled"


async def test_policy_call_takes_arguments_and_shares_one_pipeline():
    policy = Policy(breaker=Breaker())

    async def send(to: str, *, copy: bool) -> str:
        if not copy:
            raise BROKEN
        return f"sent to {to}"

    assert await policy.call(send, "ana", copy=True) == "sent to ana"
    for _ in range(5):
        with pytest.raises(ConnectionResetError):
            await policy.call(send, "ana", copy=False)
    with pytest.raises(BreakerOpen):
        await policy.call(send, "ana", copy=True)
    assert await Policy(breaker=Breaker(window_s=11)).call(send, "eva", copy=True)  # its own state


async def test_a_kept_breaker_goes_by_the_new_attempt_timeout(runtime):
    pipeline = Policy(attempt_s=10.0, breaker=Breaker()).bind("x", runtime)
    await pipeline.call(Script(After(0.5, "not slow")))
    pipeline = pipeline.rebound(Policy(attempt_s=0.6, breaker=Breaker()))
    await pipeline.call(Script(After(0.5, "slow")))
    breaker = pipeline.snapshot()["breaker"]
    assert (breaker["calls"], breaker["slow"]) == (2, 1)


def test_binding_needs_no_running_loop(runtime):
    policy = Policy(1.0, Retry(), Breaker(), Limit())
    assert policy.bind("x", runtime).snapshot()["limit"] == 20


def test_the_real_runtime_draws_from_the_unit_interval():
    runtime = Runtime.real()
    assert all(0.0 <= runtime.random() < 1.0 for _ in range(100))
    assert runtime.clock() <= runtime.clock()
