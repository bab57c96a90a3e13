"""Fallback: answers for a call that came to nothing, outermost, and hides no bug and no cancellation."""

import asyncio
import math

import httpx
import pytest

from resilience import (
    AttemptTimeout,
    DeadlineExceeded,
    FailedResponse,
    Fallback,
    LimitFull,
    Policy,
    Retry,
    deadline,
)
from resilience.testing import After, Script

BROKEN = ConnectionResetError("reset")
STOCK = "http://stock:5002/seats"


async def test_a_good_answer_is_left_alone(runtime, events):
    pipeline = Policy(fallback=Fallback("stale")).bind("x", runtime, [events])
    assert await pipeline.call(Script("fresh")) == "fresh"
    assert events.kinds() == ["attempt"]


async def test_it_answers_when_every_try_has_failed(runtime, events):
    policy = Policy(retry=Retry(3, base_s=0.01), fallback=Fallback("stale"))
    callee = Script(BROKEN)
    assert await policy.bind("x", runtime, [events]).call(callee) == "stale"
    assert callee.attempts == 3
    assert events[-1].kind == "fallback"
    assert events[-1].detail["error"] == "ConnectionResetError"


async def test_a_function_gets_the_failure_and_may_be_asynchronous(runtime):
    async def look_up(exc: Exception) -> str:
        await asyncio.sleep(0.1)
        return f"stale because of {exc}"

    for function in (look_up, lambda exc: f"stale because of {exc}"):
        pipeline = Policy(fallback=Fallback(function)).bind("x", runtime)
        assert await pipeline.call(Script(BROKEN)) == "stale because of reset"


@pytest.mark.parametrize(
    ("failure", "replaced"),
    [
        (BROKEN, True),
        (httpx.ReadTimeout("slow"), True),
        (AttemptTimeout("slow"), True),
        (LimitFull("full"), True),
        (FailedResponse(httpx.Response(503)), True),
        (TimeoutError(), True),
        (ValueError("bug"), False),
        (httpx.UnsupportedProtocol("foo://"), False),
    ],
)
async def test_outages_are_answered_for_and_bugs_are_not(runtime, failure, replaced):
    pipeline = Policy(fallback=Fallback("stale")).bind("x", runtime)
    if replaced:
        assert await pipeline.call(Script(failure)) == "stale"
    else:
        with pytest.raises(type(failure)):
            await pipeline.call(Script(failure))


async def test_on_chooses_the_failures(runtime):
    fallback = Fallback(None, on=lambda exc: isinstance(exc, KeyError))
    pipeline = Policy(fallback=fallback).bind("x", runtime)
    assert await pipeline.call(Script(KeyError("gone"))) is None
    with pytest.raises(ConnectionResetError):
        await pipeline.call(Script(BROKEN))


async def test_it_answers_after_the_deadline_too(runtime):
    policy = Policy(fallback=Fallback("stale"))
    async with deadline(1.0):
        assert await policy.bind("x", runtime).call(Script(After(math.inf))) == "stale"
    with pytest.raises(DeadlineExceeded):
        async with deadline(1.0):
            await Policy().bind("x", runtime).call(Script(After(math.inf)))


async def test_a_cancellation_is_never_answered_for(runtime):
    fallback = Fallback("stale", on=lambda exc: True)
    callee = Script(After(math.inf))
    task = asyncio.create_task(_await(Policy(fallback=fallback).bind("x", runtime).call(callee)))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_failing_fallback_raises_its_own_error_with_the_cause_in_sight(runtime):
    def broken(exc: Exception) -> str:
        raise KeyError("not in the cache either")

    with pytest.raises(KeyError) as caught:
        await Policy(fallback=Fallback(broken)).bind("x", runtime).call(Script(BROKEN))
    assert caught.value.__context__ is BROKEN


# In a transport


@pytest.mark.parametrize("step", [503, httpx.ConnectError("refused")])
async def test_each_request_gets_a_response_of_its_own(open_client, step):
    stale = httpx.Response(200, headers={"X-Stale": "1"}, json={"seats": []})
    for fallback in (Fallback(stale), Fallback(lambda exc: stale)):
        async with open_client(Policy(fallback=fallback), step) as (http, _):
            one, other = await http.get(STOCK + "?1"), await http.get(STOCK + "?2")
        assert (one.json(), other.json()) == ({"seats": []}, {"seats": []})
        assert (one.headers["X-Stale"], one.headers["Content-Type"]) == ("1", "application/json")
        assert [str(one.request.url)[-1], str(other.request.url)[-1]] == ["1", "2"]
        assert one.elapsed.total_seconds() >= 0


async def test_answers_that_are_decisions_are_left_alone(open_client):
    fallback = Fallback(httpx.Response(200))
    final = httpx.Response(503, headers={"X-Outcome": "final"})
    async with open_client(Policy(fallback=fallback), final, 404) as (http, _):
        assert (await http.get(STOCK)).status_code == 503
        assert (await http.get(STOCK)).status_code == 404


async def _await(awaitable):
    return await awaitable
