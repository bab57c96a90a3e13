"""The shipped test tools are a product too."""

import asyncio
import math

import httpx
import pytest

from resilience import Policy, ResilientTransport, Retry
from resilience.testing import (
    After,
    FakeClock,
    Script,
    Stuck,
    capture_events,
    fake_runtime,
    run_virtual,
    virtual_runtime,
)


def test_time_jumps_to_the_next_timer():
    async def long_sleep() -> float:
        await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(7200))
        return asyncio.get_running_loop().time()

    assert run_virtual(long_sleep()) == pytest.approx(7200)


def test_waiters_wake_in_the_order_of_their_timers():
    async def scenario() -> list[int]:
        woken = []

        async def sleeper(number: int, seconds: float) -> None:
            await asyncio.sleep(seconds)
            woken.append(number)

        await asyncio.gather(sleeper(1, 3.0), sleeper(2, 1.0), sleeper(3, 2.0), sleeper(4, 0.0))
        return woken

    assert run_virtual(scenario()) == [4, 2, 3, 1]


def test_a_hang_is_an_error_at_once():
    async def hang() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck):
        run_virtual(hang())


def test_virtual_runtimes_with_one_seed_agree():
    first, second = virtual_runtime(4), virtual_runtime(4)
    assert [first.random() for _ in range(5)] == [second.random() for _ in range(5)]
    assert virtual_runtime(5).random() != virtual_runtime(4).random()


def test_the_example_of_the_module_works():
    callee = Script(httpx.ConnectError("refused"), 200)
    events = capture_events()

    async def scenario() -> int:
        transport = ResilientTransport(
            Policy(retry=Retry(3)), callee, runtime=virtual_runtime(), on_event=[events]
        )
        async with httpx.AsyncClient(transport=transport) as http:
            return (await http.get("http://stock/seats")).status_code

    assert run_virtual(scenario()) == 200
    assert events.kinds() == ["attempt", "retry", "attempt"]


async def test_a_script_plays_its_steps_and_repeats_the_last():
    async def later(number: int) -> int:
        return number + 1

    script = Script("first", KeyError, lambda number: number * 2, later, After(5.0, "slow"))
    assert await script(21) == "first"
    with pytest.raises(KeyError):
        await script(21)
    assert await script(21) == 42
    assert await script(21) == 22
    assert await script(21) == "slow"
    assert await script(21) == "slow"
    assert script.times_s == pytest.approx([0, 0, 0, 0, 0, 5])


async def test_a_script_counts_cancelled_attempts():
    script = Script(After(math.inf))
    task = asyncio.create_task(script())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert (script.attempts, script.cancelled) == (1, 1)


async def test_a_fake_clock_passes_waits_at_once():
    clock = FakeClock()
    runtime = fake_runtime(clock, chance=0.25)
    await runtime.sleep(30)
    clock.advance(5)
    assert (runtime.clock(), clock.waits_s, runtime.random()) == (35, [30], 0.25)


def test_a_script_needs_a_step():
    with pytest.raises(ValueError, match="at least one"):
        Script()
