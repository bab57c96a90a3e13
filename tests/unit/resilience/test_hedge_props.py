"""Properties of hedging, for any pair of attempts and any moment of cancellation:

1. after the call nothing runs on and no slot is taken, whatever happened;
2. a call succeeds if one of its attempts does, and takes no longer than the quicker good one;
3. at most two attempts are made.
"""

import asyncio
from contextlib import suppress

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from resilience import Breaker, Hedge, Limit, Policy
from resilience.testing import After, Script, run_virtual, virtual_runtime

BROKEN = ConnectionResetError("reset")
AFTER_S = 0.1
attempts = st.tuples(st.floats(0.01, 2.0), st.booleans())  # how long, and whether it ends well


def script(*outcomes: tuple[float, bool]) -> Script:
    return Script(*(After(takes_s, "good" if good else BROKEN) for takes_s, good in outcomes))


def bind():
    policy = Policy(breaker=Breaker(), limit=Limit(fixed=2), hedge=Hedge(after_s=AFTER_S))
    return policy.bind("x", virtual_runtime())


@settings(max_examples=300)
@given(attempts, attempts, st.floats(0, 3))
def test_a_cancelled_call_leaves_nothing_behind(first, second, cancel_after_s):
    async def scenario() -> None:
        pipeline, callee = bind(), script(first, second)

        async def call() -> None:
            with suppress(ConnectionResetError):
                await pipeline.call(callee)

        task = asyncio.create_task(call())
        asyncio.get_running_loop().call_later(cancel_after_s, task.cancel)
        await asyncio.wait([task])
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert pipeline.snapshot()["in_flight"] == 0
        assert callee.attempts <= 2

    run_virtual(scenario())


@settings(max_examples=300)
@given(attempts, attempts)
def test_the_quicker_good_attempt_decides(first, second):
    assume(first[0] != AFTER_S)  # ending and hedging in the same instant: either may come first

    async def scenario() -> None:
        loop, callee = asyncio.get_running_loop(), script(first, second)
        hedged = first[0] > AFTER_S
        ends = [first[0]] if first[1] else []
        ends += [AFTER_S + second[0]] if hedged and second[1] else []
        try:
            assert await bind().call(callee) == "good"
            assert ends
            assert abs(loop.time() - min(ends)) < 1e-6
        except ConnectionResetError:
            assert not ends

    run_virtual(scenario())
