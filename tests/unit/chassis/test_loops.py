"""Background loops survive their own errors, can be woken, and drain."""

import asyncio

from chassis import runtime
from chassis.loops import Loop, supervised
from chassis.telemetry import Metrics


def sample(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


async def test_a_failing_step_is_repeated_and_counted():
    metrics, rounds = Metrics(), []

    async def step():
        rounds.append(asyncio.get_running_loop().time())
        if len(rounds) < 4:
            raise RuntimeError

    loop = Loop("work", step, period_s=60)
    async with supervised([loop], runtime.simulated(1, {}), metrics, grace_s=1):
        await asyncio.sleep(10)
        assert sample(metrics, "loop_up", loop="work") == 1
    assert len(rounds) == 4
    assert sample(metrics, "loop_errors_total", loop="work") == 3
    assert sample(metrics, "loop_up", loop="work") == 0


async def test_wake_starts_a_round_at_once():
    woken = []

    async def step():
        woken.append(asyncio.get_running_loop().time())

    loop = Loop("work", step, period_s=None)
    async with supervised([loop], runtime.simulated(1, {}), Metrics(), grace_s=1):
        await asyncio.sleep(5)
        loop.wake()
        await asyncio.sleep(5)
    assert [round(at) for at in woken] == [0, 5]


async def test_more_work_skips_the_wait():
    left = [True, True, False]

    async def step():
        return left.pop(0)

    async with supervised(
        [Loop("work", step, period_s=60)], runtime.simulated(1, {}), Metrics(), grace_s=1
    ):
        await asyncio.sleep(1)
    assert left == []


async def test_leaving_lets_a_running_round_end():
    ended = []

    async def step():
        await asyncio.sleep(2)
        ended.append(True)

    loop = Loop("work", step, period_s=None)
    async with supervised([loop], runtime.simulated(1, {}), Metrics(), grace_s=5):
        await asyncio.sleep(1)
    assert ended == [True]


async def test_a_round_that_never_ends_is_cut_after_the_grace():
    loop = Loop("work", lambda: asyncio.sleep(1e6), period_s=None)
    clock = asyncio.get_running_loop().time
    started = clock()
    async with supervised([loop], runtime.simulated(1, {}), Metrics(), grace_s=3):
        await asyncio.sleep(1)
    assert 3.9 < clock() - started < 4.1


async def test_a_loop_without_a_wake_comes_back_after_its_period():
    rounds = []

    async def step():
        rounds.append(asyncio.get_running_loop().time())

    loop = Loop("work", step, period_s=2.0)
    async with supervised([loop], runtime.simulated(1, {}), Metrics(), grace_s=1):
        await asyncio.sleep(5)
    assert rounds == [0, 2, 4]


async def test_what_is_asked_for_together_is_done_together():
    rounds = []

    async def step():
        rounds.append(round(asyncio.get_running_loop().time(), 3))

    loop = Loop("work", step, period_s=None, gather_s=0.1)
    async with supervised([loop], runtime.simulated(1, {}), Metrics(), grace_s=1):
        await asyncio.sleep(1)
        for _ in range(5):
            loop.wake()
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)
    assert rounds == [0, 1.1]


async def test_a_step_may_let_its_loop_sleep_until_it_is_woken():
    rounds = []

    async def step():
        rounds.append(asyncio.get_running_loop().time())
        loop.period_s = None if len(rounds) == 2 else 1.0

    loop = Loop("work", step, period_s=1.0)
    async with supervised([loop], runtime.simulated(1, {}), Metrics(), grace_s=1):
        await asyncio.sleep(5)
        loop.wake()
        await asyncio.sleep(1.5)
    assert rounds == [0, 1, 5, 6]
