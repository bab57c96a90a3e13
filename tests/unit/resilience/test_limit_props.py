"""Properties:

* no slot is lost after 1,000 random ends (success, failure, timeout, cancellation at any moment);
* never more calls run at once than the limit says;
* whatever happened, a half-open breaker behind the same calls can still be closed.
"""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience import Breaker, Limit, LimitFull, Pipeline, Policy, Rejected
from resilience.testing import After, Script, run_virtual, virtual_runtime

SLOTS = 4


class _Callee:
    """Succeeds, fails or hangs at random, and counts how many calls are in it."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.running = self.most = 0

    async def __call__(self) -> str:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.rng.choice([0.0, 0.01, 0.2, 9.0]))
            if self.rng.random() < 0.3:
                raise ConnectionResetError
            return "good"
        finally:
            self.running -= 1


async def _storm(pipeline: Pipeline, callee: _Callee, calls: int) -> None:
    """Random calls, most of them cancelled before, while or after they run."""
    rng, loop = callee.rng, asyncio.get_running_loop()
    tasks = []
    for _ in range(calls):
        task = asyncio.ensure_future(pipeline.call(callee))
        tasks.append(task)
        if rng.random() < 0.7:
            loop.call_later(rng.choice([0.0, 0.005, 0.2, 0.5]), task.cancel)
        if rng.random() < 0.2:
            task.cancel()
        await asyncio.sleep(rng.choice([0.0, 0.0, 0.01]))
    await _ended(tasks)


async def _ended(tasks: list[asyncio.Future[object]]) -> None:
    await asyncio.wait(tasks)
    for task in tasks:
        task.cancelled() or task.exception()


async def _no_slot_is_lost(limit: Limit, most: int, seed: int) -> None:
    pipeline = Policy(attempt_s=0.5, limit=limit).bind("callee", virtual_runtime(seed))
    callee = _Callee(random.Random(seed))
    await _storm(pipeline, callee, calls=1000)
    assert 1 < callee.most <= most
    assert pipeline.snapshot()["in_flight"] == callee.running == 0
    free = pipeline.snapshot()["limit"]
    holders = [asyncio.ensure_future(pipeline.call(Script(After(0.1, "in")))) for _ in range(free)]
    await asyncio.sleep(0.01)
    with pytest.raises(LimitFull):
        await pipeline.call(Script("one too many"))
    assert await asyncio.gather(*holders) == ["in"] * free


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_slot_of_a_fixed_limit_is_lost_in_a_thousand_random_ends(seed):
    run_virtual(_no_slot_is_lost(Limit(fixed=SLOTS), SLOTS, seed))


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_slot_of_an_adaptive_limit_is_lost_in_a_thousand_random_ends(seed):
    run_virtual(_no_slot_is_lost(Limit(start=SLOTS, max=16), 16, seed))


async def _shaken_breaker(seed: int) -> None:
    rng = random.Random(seed)
    pipeline = Policy(attempt_s=0.5, breaker=Breaker()).bind("callee", virtual_runtime(seed))
    outcomes = ["good", ConnectionResetError("reset"), ValueError("ours"), After(9.0), After(0.2)]
    tasks = []
    for _ in range(200):
        task = asyncio.ensure_future(pipeline.call(Script(rng.choice(outcomes))))
        tasks.append(task)
        if rng.random() < 0.3:
            asyncio.get_running_loop().call_later(rng.choice([0.0, 0.1, 0.5]), task.cancel)
        await asyncio.sleep(rng.choice([0.0, 0.1, 1.0]))
    await _ended(tasks)
    await asyncio.sleep(40)  # longer than the longest open time
    for _ in range(2):
        try:
            await pipeline.call(Script("good"))
        except Rejected as refusal:  # pragma: no cover - the property that must hold
            pytest.fail(f"stuck: {refusal!r}")
    assert pipeline.snapshot()["breaker"]["phase"] == "closed"


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_history_keeps_a_breaker_open_for_ever(seed):
    run_virtual(_shaken_breaker(seed))
