"""The loop: time that jumps, processes that die without a last word, and nothing real."""

import asyncio
import contextvars

import pytest

from chaos.simulate.loop import PROCESS, Process, SimulationError, SimulationLoop


def born(loop, name="one"):
    process = Process(name, 1)
    loop.processes.append(process)
    context = contextvars.Context()
    context.run(PROCESS.set, process)
    return process, context


@pytest.fixture
def loop():
    loop = SimulationLoop()
    yield loop
    loop.bury()


def test_time_jumps_to_the_next_timer(loop):
    async def main():
        await asyncio.sleep(3600)
        return loop.time()

    assert loop.run_until_complete(main()) == 3600


def test_timers_of_one_moment_run_in_the_order_in_which_they_were_set(loop):
    seen = []
    for number in range(5):
        loop.call_later(1.0, seen.append, number)
    loop.run_until_complete(asyncio.sleep(2))
    assert seen == [0, 1, 2, 3, 4]


def test_a_killed_process_says_nothing_more(loop):
    process, context = born(loop)
    said = []

    async def work():
        try:
            await asyncio.sleep(10)
            said.append("done")
        except BaseException:
            said.append("caught")
            raise
        finally:
            said.append("finally")

    async def main():
        loop.create_task(work(), context=context)
        await asyncio.sleep(1)
        process.alive = False
        await asyncio.sleep(60)
        assert said == []

    loop.run_until_complete(main())


def test_a_stopped_process_goes_on_where_it_was(loop):
    process, context = born(loop)
    ticks = []

    async def work():
        for _ in range(3):
            await asyncio.sleep(1)
            ticks.append(loop.time())

    async def main():
        loop.create_task(work(), context=context)
        await asyncio.sleep(1.5)
        process.stopped = True
        await asyncio.sleep(10)
        assert ticks == [1]
        loop.resume(process)
        await asyncio.sleep(5)

    loop.run_until_complete(main())
    assert ticks == [1, 11.5, 12.5]


def test_a_process_can_die_between_any_two_steps(loop):
    def steps_before_death(dies_in):
        process, context = born(loop)
        process.dies_in, steps = dies_in, []
        process.die = lambda _why: setattr(process, "alive", False)

        async def work():
            for number in range(10):
                steps.append(number)
                await asyncio.sleep(0)

        async def main():
            loop.create_task(work(), context=context)
            await asyncio.sleep(1)

        loop.run_until_complete(main())
        return len(steps)

    assert [steps_before_death(dies_in) for dies_in in (1, 2, 5)] == [0, 1, 4]


def test_waiting_for_nothing_is_an_error_and_not_for_ever(loop):
    with pytest.raises(SimulationError, match="no timer"):
        loop.run_until_complete(loop.create_future())


def test_tasks_stand_in_sets_in_the_order_of_their_creation(loop):
    async def main():
        tasks = {asyncio.create_task(asyncio.sleep(1), name=str(number)) for number in range(40)}
        done, _ = await asyncio.wait(tasks)
        return [int(task.get_name()) for task in done]

    order = loop.run_until_complete(main())
    assert sorted(order) == list(range(40))
    again = SimulationLoop()
    try:
        assert order == again.run_until_complete(main())
    finally:
        again.bury()


@pytest.mark.parametrize(
    "what", ["run_in_executor", "create_connection", "add_reader", "getaddrinfo"]
)
def test_nothing_real_is_to_be_had(loop, what):
    with pytest.raises(SimulationError, match="real"):
        getattr(loop, what)(None, None)
