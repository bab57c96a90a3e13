"""Pairs of policies: what each does when the other one acts. The order is fixed, so this is too."""

import asyncio
import math

import pytest

from resilience import (
    AttemptTimeout,
    Breaker,
    BreakerOpen,
    DeadlineExceeded,
    Fallback,
    Hedge,
    Limit,
    LimitFull,
    Policy,
    Quota,
    RateLimit,
    Retry,
    Throttled,
    deadline,
)
from resilience.testing import After, Script

BROKEN = ConnectionResetError("reset")
SOON = Hedge(after_s=0.1)


@pytest.fixture
def bind(runtime, events):
    return lambda **parts: Policy(**parts).bind("x", runtime, [events])


async def _await(awaitable):
    return await awaitable


# Fallback and …


@pytest.mark.parametrize(
    "parts",
    [
        {"retry": Retry(2, base_s=0.01)},
        {"breaker": Breaker(consecutive=1)},
        {"rate_limit": RateLimit(1, burst=1)},
        {"attempt_s": 0.5},
        {"hedge": SOON},
    ],
    ids=lambda parts: next(iter(parts)),
)
async def test_fallback_answers_for_what_any_other_part_raises(bind, parts):
    pipeline = bind(fallback=Fallback("stale"), **parts)
    callee = Script(BROKEN, After(math.inf) if "attempt_s" in parts else BROKEN)
    assert [await pipeline.call(callee) for _ in range(3)] == ["stale"] * 3


async def test_fallback_and_limit(bind):
    pipeline = bind(fallback=Fallback("stale"), limit=Limit(fixed=1))
    busy = asyncio.create_task(_await(pipeline.call(Script(After(1.0, "fresh")))))
    await asyncio.sleep(0)
    assert await pipeline.call(Script("never")) == "stale"
    assert await busy == "fresh"


async def test_fallback_and_retry_a_covered_failure_earns_no_tokens(bind):
    pipeline = bind(fallback=Fallback("stale"), retry=Retry(2, base_s=0.01))
    await pipeline.call(Script(BROKEN))
    assert pipeline.snapshot()["quota"] == 95


async def test_fallback_and_breaker_a_covered_failure_is_still_counted(bind):
    pipeline = bind(fallback=Fallback("stale"), breaker=Breaker())
    await pipeline.call(Script(BROKEN))
    assert pipeline.snapshot()["breaker"]["failed"] == 1


# Retry and …


async def test_retry_and_hedge_each_try_may_be_hedged_and_the_purse_is_one(bind):
    pipeline = bind(retry=Retry(2, base_s=0.01), hedge=SOON)
    callee = Script(After(0.2, BROKEN))
    with pytest.raises(ConnectionResetError):
        await pipeline.call(callee)
    assert callee.attempts == 4
    assert pipeline.snapshot()["quota"] == 100 - 20 - 5 - 20


async def test_retry_and_hedge_a_retry_that_succeeds_gets_its_own_cost_back_only(bind):
    pipeline = bind(retry=Retry(2, base_s=0.01), hedge=SOON)
    assert await pipeline.call(Script(After(0.2, BROKEN), BROKEN, "second try")) == "second try"
    assert pipeline.snapshot()["quota"] == 100 - 20 - 5 + 5


async def test_retry_and_rate_limit_a_refused_first_try_is_not_repeated(bind, events):
    pipeline = bind(retry=Retry(3), rate_limit=RateLimit(1, burst=1))
    await pipeline.call(Script("answer"))
    callee = Script("answer")
    with pytest.raises(Throttled):
        await pipeline.call(callee)
    assert callee.attempts == 0
    assert events.of("retry") == []


async def test_retry_and_limit_a_full_limit_is_not_waited_out(bind):
    pipeline = bind(retry=Retry(3), limit=Limit(fixed=1))
    busy = asyncio.create_task(_await(pipeline.call(Script(After(1.0, "busy")))))
    await asyncio.sleep(0)
    with pytest.raises(LimitFull):
        await pipeline.call(Script("other"))
    assert asyncio.get_running_loop().time() == 0.0
    await busy


async def test_retry_and_attempt_timeout_a_retry_after_a_timeout_costs_double(bind):
    pipeline = bind(attempt_s=0.5, retry=Retry(2, base_s=0.01))
    with pytest.raises(AttemptTimeout):
        await pipeline.call(Script(After(math.inf)))
    assert pipeline.snapshot()["quota"] == 90


async def test_retry_and_deadline_no_try_begins_that_cannot_end(bind):
    pipeline = bind(retry=Retry(9, base_s=1.0, cap_s=1.0, quota=None))
    callee = Script(After(0.4, BROKEN))
    with pytest.raises((ConnectionResetError, DeadlineExceeded)):
        async with deadline(1.0):
            await pipeline.call(callee)
    assert asyncio.get_running_loop().time() <= 1.0


# Hedge and …


async def test_hedge_and_rate_limit_the_hedge_pays_too_and_its_refusal_ends_nothing(bind):
    pipeline = bind(hedge=SOON, rate_limit=RateLimit(0.1, burst=1))
    callee = Script(After(0.3, "first"))
    assert await pipeline.call(callee) == "first"
    assert callee.attempts == 1


async def test_hedge_and_breaker_the_loser_says_nothing(bind):
    pipeline = bind(hedge=SOON, breaker=Breaker())
    await pipeline.call(Script(After(9.0, "slow"), "quick"))
    assert pipeline.snapshot()["breaker"]["calls"] == 1


async def test_hedge_and_breaker_a_probe_is_not_hedged_by_a_second_probe(bind):
    pipeline = bind(hedge=SOON, breaker=Breaker(consecutive=1, jitter_ratio=0.0))
    with pytest.raises(ConnectionResetError):
        await pipeline.call(Script(BROKEN))
    await asyncio.sleep(1.0)
    probe = Script(After(0.5, "good"))
    assert await pipeline.call(probe) == "good"
    assert probe.attempts == 1
    assert await pipeline.call(Script("good")) == "good"
    assert pipeline.snapshot()["breaker"]["phase"] == "closed"


async def test_hedge_and_breaker_a_cancelled_hedged_probe_gives_its_slot_back(bind):
    pipeline = bind(hedge=SOON, breaker=Breaker(consecutive=1, jitter_ratio=0.0))
    with pytest.raises(ConnectionResetError):
        await pipeline.call(Script(BROKEN))
    await asyncio.sleep(1.0)
    call = asyncio.create_task(_await(pipeline.call(Script(After(math.inf)))))
    await asyncio.sleep(0.5)
    call.cancel()
    await asyncio.wait([call])
    assert await pipeline.call(Script("good")) == "good"


async def test_hedge_and_adaptive_limit_the_loser_gives_its_slot_back_silently(bind):
    pipeline = bind(hedge=SOON, limit=Limit(start=20))
    for _ in range(10):
        await pipeline.call(Script(After(9.0, "slow"), "quick"))
    assert pipeline.snapshot()["limit"] == 20
    assert pipeline.snapshot()["in_flight"] == 0


async def test_hedge_and_attempt_timeout_the_hedge_has_its_own_time(bind):
    pipeline = bind(attempt_s=0.3, hedge=SOON)
    callee = Script(After(math.inf), After(0.25, "second"))
    assert await pipeline.call(callee) == "second"
    assert asyncio.get_running_loop().time() == pytest.approx(0.35)


# Rate limit and …


async def test_rate_limit_and_breaker_a_refusal_takes_no_probe(bind):
    breaker = Breaker(consecutive=1, jitter_ratio=0.0)
    pipeline = bind(rate_limit=RateLimit(0.5, burst=1), breaker=breaker)
    with pytest.raises(ConnectionResetError):
        await pipeline.call(Script(BROKEN))
    await asyncio.sleep(1.0)
    with pytest.raises(Throttled):
        await pipeline.call(Script("good"))
    await asyncio.sleep(1.0)
    assert await pipeline.call(Script("good")) == "good"


async def test_rate_limit_and_limit_the_refused_hold_no_slot(bind):
    pipeline = bind(rate_limit=RateLimit(1, burst=1), limit=Limit(fixed=9))
    await pipeline.call(Script("answer"))
    with pytest.raises(Throttled):
        await pipeline.call(Script("answer"))
    assert pipeline.snapshot()["in_flight"] == 0


# Breaker and …


async def test_breaker_and_attempt_timeout_slow_calls_open_it_too(bind):
    pipeline = bind(attempt_s=1.0, breaker=Breaker())
    slow = Script(After(0.85, "slow but fine"))
    await asyncio.gather(*(_await(pipeline.call(slow)) for _ in range(20)))
    with pytest.raises(BreakerOpen):
        await pipeline.call(Script("answer"))


async def test_breaker_and_deadline_the_callers_haste_opens_nothing(bind):
    pipeline = bind(breaker=Breaker(consecutive=1))
    with pytest.raises(DeadlineExceeded):
        async with deadline(0.1):
            await pipeline.call(Script(After(math.inf)))
    assert await pipeline.call(Script("answer")) == "answer"


# All of them


async def test_all_parts_together_are_one_call(bind, events):
    pipeline = bind(
        attempt_s=1.0,
        fallback=Fallback("stale"),
        retry=Retry(3, base_s=0.01, quota=Quota()),
        hedge=SOON,
        rate_limit=RateLimit(100, burst=50),
        breaker=Breaker(),
        limit=Limit(fixed=4),
    )
    async with deadline(5.0):
        assert await pipeline.call(Script("fresh")) == "fresh"
        assert await pipeline.call(Script(After(0.5, "slow"), "quick")) == "quick"
        assert await pipeline.call(Script(BROKEN, "again")) == "again"
        assert await pipeline.call(Script(BROKEN)) == "stale"
    assert events.kinds()[-1] == "fallback"
    state = pipeline.snapshot()
    assert set(state) == {
        "quota",
        "hedge_after_s",
        "rate_tokens",
        "breaker",
        "limit",
        "in_flight",
    }
    assert state["in_flight"] == 0
