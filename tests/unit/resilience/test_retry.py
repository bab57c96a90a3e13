"""Retry: what is repeated, how long it waits, when it gives up, and what it then raises."""

import asyncio
import math

import httpx
import pytest

from resilience import (
    AttemptTimeout,
    BreakerOpen,
    DeadlineExceeded,
    FailedResponse,
    Policy,
    Quota,
    Retry,
    Runtime,
    deadline,
    full_jitter_s,
)
from resilience.testing import After, FakeClock, Script, fake_runtime

BROKEN = ConnectionResetError("reset")


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def test_success_after_two_failures(runtime, events):
    callee = Script(BROKEN, BROKEN, "answer")
    pipeline = Policy(retry=Retry(3)).bind("x", runtime, [events])
    assert await pipeline.call(callee) == "answer"
    assert callee.attempts == 3
    assert events.kinds() == ["attempt", "retry", "attempt", "retry", "attempt"]
    assert [event.detail["attempt"] for event in events.of("retry")] == [1, 2]


async def test_attempts_count_the_first_try_and_the_original_error_is_raised(runtime, events):
    callee = Script(BROKEN)
    with pytest.raises(ConnectionResetError) as caught:
        await Policy(retry=Retry(3)).bind("x", runtime, [events]).call(callee)
    assert caught.value is BROKEN
    assert callee.attempts == 3
    (stopped,) = events.of("retry_stopped")
    assert (stopped.detail["reason"], stopped.detail["attempt"]) == ("attempts", 3)


async def test_a_single_attempt_is_never_repeated(runtime):
    callee = Script(BROKEN)
    with pytest.raises(ConnectionResetError):
        await Policy(retry=Retry(1)).bind("x", runtime).call(callee)
    assert callee.attempts == 1


async def test_a_bug_is_not_repeated(runtime):
    callee = Script(ValueError("bug"))
    with pytest.raises(ValueError, match="bug"):
        await Policy(retry=Retry(3)).bind("x", runtime).call(callee)
    assert callee.attempts == 1


async def test_on_replaces_the_default_rule(runtime):
    callee = Script(KeyError("flaky"), "answer")
    retry = Retry(3, on=lambda exc: isinstance(exc, KeyError))
    assert await Policy(retry=retry).bind("x", runtime).call(callee) == "answer"
    with pytest.raises(ConnectionResetError):
        await Policy(retry=retry).bind("x", runtime).call(Script(BROKEN))


async def test_a_passed_deadline_is_not_repeated_even_if_on_says_so(runtime):
    callee = Script(After(math.inf))
    with pytest.raises(DeadlineExceeded):
        async with deadline(0.1):
            await Policy(retry=Retry(3, on=lambda _: True)).bind("x", runtime).call(callee)
    assert callee.attempts == 1


async def test_a_local_rejection_is_not_repeated_by_default(runtime):
    callee = Script(BreakerOpen("open", retry_after_s=0.1))
    with pytest.raises(BreakerOpen):
        await Policy(retry=Retry(3)).bind("x", runtime).call(callee)
    assert callee.attempts == 1


@pytest.mark.parametrize("greedy", [lambda _: True, None])
async def test_cancellation_is_never_swallowed(runtime, greedy):
    """Not in the first try, not in a later one, not during a wait; whatever the predicate says."""
    pipeline = Policy(retry=Retry(5, base_s=8, cap_s=8, on=greedy, quota=None)).bind("x", runtime)
    for steps, cancel_at_s in [
        ((After(math.inf),), 1.0),
        ((BROKEN, After(math.inf)), 60.0),
        ((BROKEN,), 0.001),
    ]:
        task = asyncio.ensure_future(pipeline.call(Script(*steps)))
        asyncio.get_running_loop().call_later(cancel_at_s, task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()


async def test_a_policy_shared_by_a_hundred_tasks_keeps_attempt_numbers(runtime, events):
    """One tenacity iterator shared by tasks would give each of them fewer attempts."""
    pipeline = Policy(retry=Retry(3, quota=None)).bind("x", runtime, [events])
    callees = [Script(After(0.001 * number, BROKEN)) for number in range(100)]
    await asyncio.gather(*(pipeline.call(callee) for callee in callees), return_exceptions=True)
    assert {callee.attempts for callee in callees} == {3}
    numbers = [event.detail["attempt"] for event in events.of("retry")]
    assert (numbers.count(1), numbers.count(2), len(numbers)) == (100, 100, 200)
    assert [event.detail["attempt"] for event in events.of("retry_stopped")] == [3] * 100


# Waits


def test_full_jitter_doubles_up_to_the_cap_and_survives_any_attempt_number():
    worst = [full_jitter_s(n, 0.05, 1.0, lambda: 1.0) for n in (1, 2, 3, 5, 6, 7, 10**6)]
    assert worst == pytest.approx([0.05, 0.1, 0.2, 0.8, 1.0, 1.0, 1.0])
    assert full_jitter_s(3, 0.05, 1.0, lambda: 0.0) == 0.0


async def test_waits_are_drawn_from_the_runtime():
    clock = FakeClock()
    retry = Retry(4, base_s=0.1, cap_s=0.3)
    pipeline = Policy(retry=retry).bind("x", fake_runtime(clock, chance=0.5))
    with pytest.raises(ConnectionResetError):
        await pipeline.call(Script(BROKEN))
    assert clock.waits_s == pytest.approx([0.05, 0.1, 0.15])


async def test_retry_after_makes_the_wait_longer_never_shorter():
    clock = FakeClock()
    answer = FailedResponse(httpx.Response(503), retry_after_s=2.0)
    eager = FailedResponse(httpx.Response(503), retry_after_s=0.01)
    pipeline = Policy(retry=Retry(3, base_s=0.1)).bind("x", fake_runtime(clock, chance=0.9))
    await pipeline.call(Script(answer, eager, "answer"))
    assert clock.waits_s == pytest.approx([2.0, 0.18])


async def test_an_absurd_retry_after_ends_the_call(runtime, events):
    patient = FailedResponse(httpx.Response(503), shed=True, retry_after_s=3600.0)
    with pytest.raises(FailedResponse):
        await Policy(retry=Retry(3)).bind("x", runtime, [events]).call(Script(patient))
    assert now_s() == 0.0
    assert events.of("retry_stopped")[0].detail["reason"] == "wait"


# Patience


def slow_failure(delay_s: float) -> After:
    return After(delay_s, BROKEN)


async def test_patience_ends_refusals(runtime, events):
    callee = Script(slow_failure(0.3))
    pipeline = Policy(retry=Retry(9, base_s=0.001, patience_s=0.8)).bind("x", runtime, [events])
    with pytest.raises(ConnectionResetError):
        await pipeline.call(callee)
    assert callee.attempts == 3  # 0.3, 0.6, 0.9: the third failure is past 0.8
    assert events.of("retry_stopped")[0].detail["reason"] == "patience"


async def test_patience_ends_before_a_wait_that_would_pass_it(runtime):
    callee = Script(FailedResponse(httpx.Response(503), shed=True, retry_after_s=1.0))
    with pytest.raises(FailedResponse):
        await Policy(retry=Retry(9, patience_s=0.8)).bind("x", runtime).call(callee)
    assert (callee.attempts, now_s()) == (1, 0.0)


async def test_patience_does_not_concern_timeouts(runtime):
    callee = Script(After(math.inf))
    policy = Policy(attempt_s=0.8, retry=Retry(3, base_s=0.001, patience_s=0.8))
    with pytest.raises(AttemptTimeout):
        await policy.bind("x", runtime).call(callee)
    assert callee.attempts == 3
    assert now_s() == pytest.approx(2.4, abs=0.01)


# Deadline


async def test_no_retry_is_begun_that_the_deadline_would_not_leave_time_for(events):
    clock = FakeClock()
    retry = Retry(9, base_s=1.0, cap_s=1.0, quota=Quota(100))
    pipeline = Policy(retry=retry).bind("x", fake_runtime(clock, chance=0.5), [events])
    callee = Script(BROKEN)
    with pytest.raises(ConnectionResetError):
        async with deadline(0.504):
            await pipeline.call(callee)
    assert (callee.attempts, clock.waits_s) == (1, [])
    assert events.of("retry_stopped")[0].detail["reason"] == "deadline"
    assert pipeline.snapshot()["quota"] == 100  # a retry that does not happen costs nothing


async def test_a_retry_fits_into_the_deadline_with_min_useful_s_to_spare():
    clock = FakeClock()
    pipeline = Policy(retry=Retry(2, base_s=1.0)).bind("x", fake_runtime(clock, chance=0.5))
    callee = Script(BROKEN)
    with pytest.raises(ConnectionResetError):
        async with deadline(0.506):
            await pipeline.call(callee)
    assert callee.attempts == 2


# Quota


def quota_pipeline(quota: Quota, events=(), attempts: int = 3):
    retry = Retry(attempts, quota=quota)
    return Policy(attempt_s=1.0, retry=retry).bind("x", fake_runtime(FakeClock()), events)


async def test_a_retry_costs_five_and_success_gives_it_back():
    pipeline = quota_pipeline(Quota(100))
    with pytest.raises(ConnectionResetError):
        await pipeline.call(Script(BROKEN))
    assert pipeline.snapshot()["quota"] == 90
    await pipeline.call(Script(BROKEN, "answer"))
    assert pipeline.snapshot()["quota"] == 90
    await pipeline.call(Script(BROKEN, BROKEN, "answer"))  # two retries, the last one refunded
    assert pipeline.snapshot()["quota"] == 85


async def test_a_retry_after_a_timeout_costs_ten():
    pipeline = quota_pipeline(Quota(100), attempts=2)
    with pytest.raises(AttemptTimeout):
        await pipeline.call(Script(After(math.inf)))
    assert pipeline.snapshot()["quota"] == 90


async def test_a_first_try_that_succeeds_adds_one_up_to_the_capacity():
    pipeline = quota_pipeline(Quota(100))
    with pytest.raises(ConnectionResetError):
        await pipeline.call(Script(BROKEN))
    for _ in range(30):
        await pipeline.call(Script("answer"))
    assert pipeline.snapshot()["quota"] == 100


async def test_an_empty_quota_ends_retries_but_not_calls(events):
    """At most 20 retries from cold, however many calls fail."""
    pipeline = quota_pipeline(Quota(100), [events])
    callees = [Script(BROKEN) for _ in range(50)]
    for callee in callees:
        with pytest.raises(ConnectionResetError):
            await pipeline.call(callee)
    assert sum(callee.attempts for callee in callees) == 50 + 20
    assert events.of("retry_stopped")[-1].detail["reason"] == "quota"


async def test_without_quota_every_failure_is_retried(runtime: Runtime):
    pipeline = Policy(retry=Retry(3, quota=None)).bind("x", runtime)
    callees = [Script(BROKEN) for _ in range(50)]
    await asyncio.gather(*map(pipeline.call, callees), return_exceptions=True)
    assert sum(callee.attempts for callee in callees) == 150


# Truth: a call never claims to know more than it does


@pytest.mark.parametrize(
    "last",
    [
        httpx.ConnectError("refused"),
        BreakerOpen("open"),
        FailedResponse(httpx.Response(503), shed=True),
        FailedResponse(httpx.Response(504), expired=True),
    ],
)
async def test_an_unknown_outcome_is_not_hidden_by_a_last_try_that_was_never_sent(runtime, last):
    unknown = httpx.ReadError("reset while waiting for the answer")
    with pytest.raises(httpx.ReadError) as caught:
        await Policy(retry=Retry(2)).bind("x", runtime).call(Script(unknown, last))
    assert caught.value is unknown
    assert caught.value.__cause__ is last


async def test_never_sent_throughout_stays_never_sent(runtime):
    with pytest.raises(httpx.ConnectError):
        await Policy(retry=Retry(3)).bind("x", runtime).call(Script(httpx.ConnectError("refused")))


def test_attempts_must_include_the_first():
    with pytest.raises(ValueError, match="at least 1"):
        Retry(0)
