"""Hedge: a second attempt beside a slow read, paid for, and no attempt is ever left running."""

import asyncio
import math
from contextlib import suppress

import httpx
import pytest

from resilience import (
    AttemptTimeout,
    Breaker,
    DeadlineExceeded,
    Hedge,
    Limit,
    LimitFull,
    Policy,
    Quota,
    Retry,
    deadline,
)
from resilience.testing import After, Script

BROKEN = ConnectionResetError("reset")
STOCK = "http://stock:5002/seats"
SOON = Hedge(after_s=0.1)


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_quick_read_is_made_once(runtime, events):
    callee = Script(After(0.05, "answer"))
    assert await Policy(hedge=SOON).bind("x", runtime, [events]).call(callee) == "answer"
    assert callee.attempts == 1
    assert events.kinds() == ["attempt"]


async def test_a_slow_read_is_made_again_and_the_first_good_answer_wins(runtime, events):
    callee = Script(After(5.0, "slow"), After(0.1, "quick"))
    assert await Policy(hedge=SOON).bind("x", runtime, [events]).call(callee) == "quick"
    assert now() == pytest.approx(0.2)
    assert (callee.attempts, callee.cancelled) == (2, 1)
    assert events.kinds() == ["hedge", "attempt", "hedge_won", "attempt"]
    assert events.of("hedge")[0].detail["after_s"] == 0.1
    assert [one.detail["outcome"] for one in events.of("attempt")] == ["ok", "cancelled"]


async def test_the_first_attempt_may_still_win(runtime, events):
    callee = Script(After(0.2, "first"), After(5.0, "second"))
    assert await Policy(hedge=SOON).bind("x", runtime, [events]).call(callee) == "first"
    assert (callee.attempts, callee.cancelled) == (2, 1)
    assert events.of("hedge_won") == []


async def test_there_is_never_a_third_attempt(runtime):
    callee = Script(After(5.0, "slow"))
    assert await Policy(hedge=SOON).bind("x", runtime).call(callee) == "slow"
    assert (callee.attempts, now()) == (2, pytest.approx(5.0))


# Which requests


@pytest.mark.parametrize(
    ("method", "attempts"),
    [("GET", 2), ("HEAD", 2), ("POST", 1), ("PUT", 1), ("DELETE", 1)],
)
async def test_only_reads_are_hedged_even_with_an_idempotency_key(open_client, method, attempts):
    async with open_client(Policy(hedge=SOON), After(1.0, 200)) as (http, callee):
        await http.request(method, STOCK, headers={"Idempotency-Key": "k" * 16})
    assert callee.attempts == attempts


# Failures


async def test_a_failed_hedge_does_not_end_the_call(runtime):
    callee = Script(After(0.3, "first"), BROKEN)
    assert await Policy(hedge=SOON).bind("x", runtime).call(callee) == "first"


async def test_a_failed_first_attempt_waits_for_the_hedge(runtime):
    callee = Script(After(0.2, BROKEN), After(0.3, "second"))
    assert await Policy(hedge=SOON).bind("x", runtime).call(callee) == "second"


async def test_a_quick_failure_is_a_matter_for_retry(runtime):
    callee = Script(BROKEN, "second try")
    pipeline = Policy(retry=Retry(2, base_s=0.01), hedge=SOON).bind("x", runtime)
    assert await pipeline.call(callee) == "second try"
    assert callee.attempts == 2


async def test_of_two_failures_the_one_that_claims_less_is_raised(runtime):
    """The refused connection proves nothing about the attempt that broke later."""
    refused = httpx.ConnectError("refused")
    for steps in [(After(0.3, BROKEN), refused), (After(0.3, refused), BROKEN)]:
        with pytest.raises(ConnectionResetError):
            await Policy(hedge=SOON).bind("x", runtime).call(Script(*steps))


async def test_each_attempt_has_its_own_timeout_and_slot(runtime):
    policy = Policy(attempt_s=0.5, breaker=Breaker(), limit=Limit(fixed=1), hedge=SOON)
    pipeline = policy.bind("x", runtime)
    with pytest.raises(AttemptTimeout):  # the hedge found no slot, which says less than that
        await pipeline.call(Script(After(math.inf)))
    assert pipeline.snapshot()["in_flight"] == 0
    assert pipeline.snapshot()["breaker"]["failed"] == 1


async def test_both_attempts_see_the_deadline(runtime):
    callee = Script(After(math.inf))
    with pytest.raises(DeadlineExceeded):
        async with deadline(0.5):
            await Policy(hedge=SOON).bind("x", runtime).call(callee)
    assert (callee.attempts, callee.cancelled, now()) == (2, 2, pytest.approx(0.5))


# Cancellation


@pytest.mark.parametrize("after_s", [0.05, 0.15])
async def test_a_cancelled_call_leaves_no_attempt_behind(runtime, after_s):
    callee = Script(After(math.inf))
    pipeline = Policy(limit=Limit(fixed=4), hedge=SOON).bind("x", runtime)
    call = asyncio.create_task(_await(pipeline.call(callee)))
    await asyncio.sleep(after_s)
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    assert callee.cancelled == callee.attempts == (1 if after_s < 0.1 else 2)
    assert pipeline.snapshot()["in_flight"] == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_loser_is_awaited_even_while_the_call_is_being_cancelled(runtime):
    cleaned_up = []

    async def stubborn() -> str:
        try:
            await asyncio.sleep(9.0)
        except asyncio.CancelledError:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(1.0)  # closing takes time, and is cancelled as well
            await asyncio.sleep(1.0)
            cleaned_up.append(now())
            raise
        return "never"

    steps = iter([stubborn, Script(After(0.1, "quick"))])

    async def attempt() -> str:
        return await next(steps)()

    call = asyncio.create_task(_await(Policy(hedge=SOON).bind("x", runtime).call(attempt)))
    await asyncio.sleep(0.5)  # won at 0.2, dismissing the loser
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    assert cleaned_up == [pytest.approx(1.5)]
    assert asyncio.all_tasks() == {asyncio.current_task()}


# When


async def test_the_delay_is_learned_from_recent_successes(runtime, events):
    pipeline = Policy(hedge=Hedge()).bind("x", runtime, [events])
    for number in range(1, 21):
        assert pipeline.snapshot()["hedge_after_s"] is None
        await pipeline.call(Script(After(number / 10, "answer")))
    assert events.of("hedge") == []
    assert pipeline.snapshot()["hedge_after_s"] == pytest.approx(1.9)  # 95 % were faster or as fast
    for _ in range(100):
        await pipeline.call(Script("at once"))
    assert pipeline.snapshot()["hedge_after_s"] == 0.05  # never less


async def test_beaten_attempts_count_with_their_time_so_the_delay_does_not_shrink(runtime):
    policy = Policy(hedge=Hedge(min_calls=1, window=1))
    pipeline = policy.bind("x", runtime)
    await pipeline.call(Script(After(1.0, "answer")))
    await pipeline.call(Script(After(9.0, "slow"), After(0.1, "quick")))
    assert pipeline.snapshot()["hedge_after_s"] == pytest.approx(1.1)


async def test_failures_teach_nothing(runtime):
    pipeline = Policy(hedge=Hedge(min_calls=1, window=1)).bind("x", runtime)
    with pytest.raises(ConnectionResetError):
        await pipeline.call(Script(BROKEN))
    assert pipeline.snapshot()["hedge_after_s"] is None


@pytest.mark.parametrize(
    "fields",
    [{"after_s": 0}, {"quantile": 1.0}, {"quantile": 0.0}, {"min_calls": 200}, {"min_calls": 0}],
)
def test_nonsense_is_refused(fields):
    with pytest.raises(ValueError, match=r"positive|between|min_calls"):
        Hedge(**fields)


# What it costs


async def test_hedges_leave_retries_half_of_the_quota(runtime, events):
    pipeline = Policy(retry=Retry(3), hedge=SOON).bind("x", runtime, [events])
    for _ in range(4):
        await pipeline.call(Script(After(0.2, "slow")))
    # 100 - 20, +1 for the success, - 20, +1, then not enough above 50.
    assert events.kinds().count("hedge") == 2
    assert events.kinds().count("hedge_skipped") == 2
    assert pipeline.snapshot()["quota"] == 64


@pytest.mark.parametrize("retry", [None, Retry(3), Retry(3, quota=None), Retry(2, quota=Quota(40))])
async def test_in_a_brownout_one_call_in_twenty_is_hedged(runtime, retry):
    pipeline = Policy(retry=retry, hedge=SOON).bind("x", runtime)
    callee = Script(After(0.2, "slow"))
    for _ in range(400):
        await pipeline.call(callee)
    assert 400 * 1.05 - 1 <= callee.attempts <= 400 * 1.05 + 3


async def test_what_was_learned_outlives_a_new_policy_with_the_same_hedge(runtime):
    hedge = Hedge(min_calls=1, window=1)
    pipeline = Policy(retry=Retry(3), hedge=hedge).bind("x", runtime)
    await pipeline.call(Script(After(1.0, "answer")))
    pipeline = pipeline.rebound(Policy(attempt_s=3.0, retry=Retry(2), hedge=hedge))
    assert pipeline.snapshot()["hedge_after_s"] == pytest.approx(1.0)
    pipeline = pipeline.rebound(Policy(retry=Retry(2, quota=Quota(10)), hedge=hedge))
    assert pipeline.snapshot()["hedge_after_s"] is None  # another purse


async def test_a_full_limit_refuses_the_hedge_but_not_the_call(runtime):
    pipeline = Policy(limit=Limit(fixed=1), hedge=SOON).bind("x", runtime)
    assert await pipeline.call(Script(After(0.5, "slow"))) == "slow"
    busy = asyncio.create_task(_await(pipeline.call(Script(After(0.5, "slow")))))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(LimitFull):
        await pipeline.call(Script("other"))
    assert await busy == "slow"


async def _await(awaitable):
    return await awaitable
