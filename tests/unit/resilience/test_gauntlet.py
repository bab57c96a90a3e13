"""The gauntlet: breaker and limit under concurrency and cancellation, through real pipelines.

Five of eight Python breakers fail some of these; one stays open for ever after a cancelled probe.
"""

import asyncio
import math

import httpx
import pytest

from resilience import (
    AttemptTimeout,
    Breaker,
    BreakerOpen,
    DeadlineExceeded,
    FailedResponse,
    Limit,
    LimitFull,
    Policy,
    deadline,
)
from resilience.testing import After, Script

BROKEN = ConnectionResetError("reset")


@pytest.fixture
def pipeline(runtime):
    return Policy(attempt_s=1.0, breaker=Breaker(jitter_ratio=0.0)).bind("callee", runtime)


async def trip(pipeline) -> None:
    for _ in range(5):
        with pytest.raises(ConnectionResetError):
            await pipeline.call(Script(BROKEN))
    assert pipeline.snapshot()["breaker"]["phase"] == "open"


async def half_open(pipeline) -> None:
    await trip(pipeline)
    await asyncio.sleep(1.0)


async def recovers(pipeline) -> bool:
    for _ in range(2):
        if await pipeline.call(Script("good")) != "good":
            return False
    return pipeline.snapshot()["breaker"]["phase"] == "closed"


async def test_fifty_callers_at_half_open_send_exactly_one_probe(pipeline):
    await half_open(pipeline)
    callee = Script(After(0.1, "good"))
    calls = (pipeline.call(callee) for _ in range(50))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert callee.attempts == 1
    assert results.count("good") == 1
    assert sum(isinstance(result, BreakerOpen) for result in results) == 49


async def test_it_recovers_after_a_cancelled_probe(pipeline):
    await half_open(pipeline)
    probe = asyncio.ensure_future(pipeline.call(Script(After(math.inf))))
    await asyncio.sleep(0.1)
    probe.cancel()
    await asyncio.wait([probe])
    assert await recovers(pipeline)


@pytest.mark.parametrize(
    "ignored",
    [
        ValueError("our own bug"),
        LimitFull("bulkhead"),
        httpx.PoolTimeout("no connection free"),
        FailedResponse(httpx.Response(503), shed=True),
        FailedResponse(httpx.Response(504), expired=True),
        DeadlineExceeded("the caller's", sent=True),
    ],
)
async def test_it_recovers_after_a_probe_that_says_nothing(pipeline, ignored):
    await half_open(pipeline)
    with pytest.raises(type(ignored)):
        await pipeline.call(Script(ignored))
    assert await recovers(pipeline)


async def test_a_stale_success_lets_nobody_in(pipeline):
    callee = Script(After(1.9, "stale"))
    slow = Policy(attempt_s=None, breaker=Breaker(jitter_ratio=0.0)).bind(
        "callee", pipeline._runtime
    )
    early = [asyncio.ensure_future(slow.call(callee)) for _ in range(5)]
    await asyncio.sleep(0)
    await half_open(slow)
    probe = asyncio.ensure_future(slow.call(Script(After(5.0, "good"))))
    await asyncio.wait(early)  # they succeed while the probe is out
    late = Script("let in")
    calls = (slow.call(late) for _ in range(5))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert late.attempts == 0
    assert all(isinstance(result, BreakerOpen) for result in results)
    assert await probe == "good"


@pytest.mark.parametrize(
    ("failure", "counted"),
    [
        (httpx.ReadError("reset"), True),
        (httpx.RemoteProtocolError("bad bytes"), True),
        (httpx.ConnectError("refused"), True),
        (AttemptTimeout("slow"), True),
        (FailedResponse(httpx.Response(500)), True),
        (OSError("broken"), True),
        (FailedResponse(httpx.Response(503), shed=True), False),
        (FailedResponse(httpx.Response(504), expired=True), False),
        (LimitFull("full"), False),
        (DeadlineExceeded("gone", sent=True), False),
        (httpx.UnsupportedProtocol("foo://"), False),
        (ValueError("bug"), False),
    ],
)
async def test_what_counts_as_a_failure(pipeline, failure, counted):
    for _ in range(5):
        with pytest.raises(type(failure)):
            await pipeline.call(Script(failure))
    assert pipeline.snapshot()["breaker"]["failed"] == (5 if counted else 0)


async def test_cancellations_and_the_callers_deadline_are_not_counted(pipeline):
    for _ in range(10):
        call = asyncio.ensure_future(pipeline.call(Script(After(math.inf))))
        await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.wait([call])
        with pytest.raises(DeadlineExceeded):
            async with deadline(0.01):
                await pipeline.call(Script(After(math.inf)))
    assert pipeline.snapshot()["breaker"]["calls"] == 0


async def test_on_replaces_what_counts(runtime):
    breaker = Breaker(on=lambda exc: isinstance(exc, KeyError))
    pipeline = Policy(breaker=breaker).bind("callee", runtime)
    for _ in range(5):
        with pytest.raises(KeyError):
            await pipeline.call(Script(KeyError("gone")))
    with pytest.raises(BreakerOpen):
        await pipeline.call(Script("good"))


async def test_a_full_limit_refuses_at_once_and_is_not_the_callees_failure(runtime, events):
    policy = Policy(breaker=Breaker(), limit=Limit(fixed=2))
    pipeline = policy.bind("callee", runtime, [events])
    callee = Script(After(1.0, "good"))
    calls = (pipeline.call(callee) for _ in range(30))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert results.count("good") == 2
    assert sum(isinstance(result, LimitFull) for result in results) == 28
    assert pipeline.snapshot()["breaker"]["calls"] == 2
    assert pipeline.snapshot()["breaker"]["failed"] == 0
    assert len(events.of("rejected")) == 28
