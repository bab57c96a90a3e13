"""The attempt timeout: what it cuts, whose time it was, and that it never eats a cancellation."""

import asyncio
import math

import pytest

from resilience import AttemptTimeout, DeadlineExceeded, Policy, deadline, without_deadline
from resilience.testing import After, Script


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def test_an_attempt_is_cut_after_attempt_s(runtime):
    callee = Script(After(math.inf))
    with pytest.raises(AttemptTimeout) as caught:
        await Policy(attempt_s=0.8).bind("x", runtime).call(callee)
    assert now_s() == pytest.approx(0.8)
    assert callee.cancelled == 1
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


async def test_a_quick_answer_leaves_no_timer_behind(runtime):
    pipeline = Policy(attempt_s=5.0).bind("x", runtime)
    assert await pipeline.call(Script("answer")) == "answer"
    await asyncio.sleep(10)  # the timer of a finished attempt must not cancel its task later


async def test_the_ambient_deadline_cuts_first_and_says_so(runtime):
    callee = Script(After(math.inf))
    with pytest.raises(DeadlineExceeded) as caught:
        async with deadline(0.3):
            await Policy(attempt_s=0.8).bind("x", runtime).call(callee)
    assert now_s() == pytest.approx(0.3)
    assert caught.value.sent is True


async def test_the_deadline_cuts_a_policy_without_attempt_timeout(runtime):
    with pytest.raises(DeadlineExceeded):
        async with deadline(0.3):
            await Policy().bind("x", runtime).call(Script(After(math.inf)))
    assert now_s() == pytest.approx(0.3)


async def test_a_passed_deadline_refuses_before_the_call(runtime):
    callee = Script("answer")
    with pytest.raises(DeadlineExceeded) as caught:
        async with deadline(0.0):
            await Policy(attempt_s=1.0).bind("x", runtime).call(callee)
    assert callee.attempts == 0
    assert caught.value.sent is False


async def test_without_deadline_runs_as_long_as_it_needs(runtime):
    async with deadline(0.1):
        with without_deadline():
            assert deadline.remaining_s() is None
            answer = await Policy().bind("x", runtime).call(Script(After(5.0, "late")))
    assert answer == "late"


async def test_an_outside_cancellation_is_never_swallowed(runtime):
    """Neither alone nor in the same instant as the timeout."""
    for cancel_at_s in (0.5, 1.0):
        call = Policy(attempt_s=1.0).bind("x", runtime).call(Script(After(math.inf)))
        task = asyncio.ensure_future(call)
        asyncio.get_running_loop().call_later(cancel_at_s, task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()


async def test_a_timeout_works_in_a_task_that_was_cancelled_before(runtime):
    """Clean-up code runs with a cancellation pending in the count; its attempts still time out."""

    async def clean_up_when_cancelled() -> str:
        try:
            await asyncio.sleep(math.inf)
        except asyncio.CancelledError:
            with pytest.raises(AttemptTimeout):
                await Policy(attempt_s=1.0).bind("x", runtime).call(Script(After(math.inf)))
            return "cleaned"

    task = asyncio.create_task(clean_up_when_cancelled())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "cleaned"


async def test_a_callee_that_shields_itself_still_leaves_a_clean_task(runtime):
    """Work that swallows our cancellation and answers late: the answer counts, nothing lingers."""

    async def stubborn() -> str:
        try:
            await asyncio.sleep(math.inf)
        except asyncio.CancelledError:
            return "late"

    assert await Policy(attempt_s=1.0).bind("x", runtime).call(stubborn) == "late"
    assert asyncio.current_task().cancelling() == 0


async def test_the_callees_own_timeout_is_not_ours(runtime):
    async def impatient() -> None:
        async with asyncio.timeout(0.1):
            await asyncio.sleep(1)

    with pytest.raises(TimeoutError):
        await Policy(attempt_s=1.0).bind("x", runtime).call(impatient)


async def test_nested_attempt_timeouts_each_name_their_own(runtime):
    inner = Policy(attempt_s=2.0).bind("inner", runtime)
    outer = Policy(attempt_s=1.0).bind("outer", runtime)
    with pytest.raises(AttemptTimeout, match=r"within 1\.0 s"):
        await outer.call(lambda: inner.call(Script(After(math.inf))))


def test_attempt_s_must_be_positive():
    with pytest.raises(ValueError, match="positive"):
        Policy(attempt_s=0)
