"""The waiting room: who waits, for how long, who goes first, and that no slot is ever lost."""

import asyncio

import pytest

from resilience import Limit, Queue, Runtime, deadline
from resilience.events import Emitter
from resilience.limit import Outcome
from resilience.overload import Standing, Thinning
from resilience.queue import WaitingRoom
from resilience.testing import Stuck, run_virtual, virtual_runtime

BUSY_S = 0.3


class Server:
    """A waiting room in front of `slots`, and who was served in which order."""

    def __init__(self, slots: int = 1, *, ranked: bool = False, runtime=None, **bounds) -> None:
        runtime = runtime or virtual_runtime(1)
        self.limiter = Limit(fixed=slots).build(runtime, Emitter("server", (), runtime))
        self.room = WaitingRoom(Queue(**bounds), self.limiter, runtime, ranked=ranked)
        self.served: list[object] = []
        self.ended_at: dict[object, float] = {}

    async def request(self, name: object, takes_s: float = 0.0, level: float = 5.5) -> object:
        verdict = await self.room.enter(level)
        if isinstance(verdict, int):
            self.served.append(name)
            try:
                await asyncio.sleep(takes_s)
            finally:
                self.limiter.release(verdict, takes_s, Outcome.OK)
                await self.room.let_in()
            verdict = "served"
        self.ended_at[name] = asyncio.get_running_loop().time()
        return verdict

    def start(self, name: object, takes_s: float = 0.0, level: float = 5.5) -> asyncio.Task:
        return asyncio.create_task(self.request(name, takes_s, level))


async def test_with_a_free_slot_nobody_waits():
    server = Server(slots=2)
    assert (
        await asyncio.gather(server.request("a", 1.0), server.request("b", 1.0)) == ["served"] * 2
    )
    assert server.ended_at == {"a": 1.0, "b": 1.0}


async def test_a_short_burst_is_served_in_the_order_of_arrival():
    server = Server()
    names = [*range(5)]
    assert await asyncio.gather(*(server.request(n, 0.01) for n in names)) == ["served"] * 5
    assert server.served == names


async def test_nobody_waits_longer_than_the_interval_even_if_no_slot_comes():
    server = Server()
    hog = server.start("hog", 60.0)
    await asyncio.sleep(0)
    assert await server.request("late") == "waited"
    assert server.ended_at["late"] == pytest.approx(0.1)
    assert server.room.length == 0
    hog.cancel()
    await asyncio.wait([hog])


async def _standing(server: Server) -> list[asyncio.Task]:
    """Keep the only slot busy and somebody waiting for longer than the interval."""
    tasks = [server.start("hog", BUSY_S)]
    for number in range(3):
        await asyncio.sleep(0.06)
        tasks.append(server.start(number))
    await asyncio.sleep(0)
    return tasks


async def test_in_a_standing_queue_newcomers_get_the_target_only():
    server = Server()
    tasks = await _standing(server)
    began_s = asyncio.get_running_loop().time()
    assert await server.request("newcomer") == "waited"
    assert server.ended_at["newcomer"] - began_s == pytest.approx(0.005)
    await asyncio.gather(*tasks)


async def test_a_standing_queue_serves_the_newest_first_and_then_is_fair_again():
    server = Server()
    tasks = await _standing(server)  # 0.18 s have passed, and number 1 waits since 0.12 s
    await asyncio.sleep(BUSY_S - 0.18 - 0.003)
    newest = server.start("newest", 0.001)
    verdicts = await asyncio.gather(*tasks, newest)
    assert verdicts[0] == verdicts[-1] == "served"
    assert server.served[:2] == ["hog", "newest"]
    assert await asyncio.gather(*(server.request(n, 0.01) for n in "xyz")) == ["served"] * 3
    assert server.served[-3:] == ["x", "y", "z"]


async def test_the_length_is_bounded():
    server = Server(length=2)
    hog = server.start("hog", 0.05)
    await asyncio.sleep(0)
    verdicts = await asyncio.gather(*(server.request(n) for n in range(4)))
    assert verdicts == ["served", "served", "full", "full"]
    await hog


async def test_higher_classes_go_first_and_take_the_place_of_lower_ones():
    server = Server(ranked=True, length=2)
    hog = server.start("hog", 0.05)
    await asyncio.sleep(0)
    low, middle = server.start("low", 0.01, 2.5), server.start("middle", 0.01, 5.5)
    await asyncio.sleep(0)
    assert await server.request("lower", level=1.5) == "full"
    high = server.start("high", 0.01, 8.5)
    assert await asyncio.gather(hog, low, middle, high) == ["served", "full", "served", "served"]
    assert server.served == ["hog", "high", "middle"]


async def test_who_waits_past_its_deadline_is_told_so_at_once():
    server = Server()
    hog = server.start("hog", BUSY_S)
    await asyncio.sleep(0)
    with deadline(0.02):
        assert await server.request("hurried") == "deadline"
    assert server.ended_at["hurried"] == pytest.approx(0.02)
    await hog


async def test_the_deadline_is_checked_when_the_slot_comes():
    """The loop may be late: then the slot comes before the timer, but too late all the same."""
    server = Server()
    hog = server.start("hog", 0.02)
    await asyncio.sleep(0)
    with deadline(0.02):
        hurried = server.start("hurried")
    assert await hurried == "deadline"
    await hog
    assert server.served == ["hog"]


async def test_a_cancelled_waiter_leaves_the_queue():
    server = Server()
    hog = server.start("hog", 0.05)
    await asyncio.sleep(0)
    gone, next_one = server.start("gone"), server.start("next")
    await asyncio.sleep(0)
    gone.cancel()
    assert await asyncio.gather(hog, next_one) == ["served"] * 2
    assert server.served == ["hog", "next"]
    assert (server.limiter.in_flight, server.room.length) == (0, 0)


async def test_a_slot_given_to_somebody_cancelled_goes_to_the_next():
    server = Server()
    ticket = await server.limiter.acquire()
    gone, next_one = server.start("gone"), server.start("next")
    await asyncio.sleep(0)
    server.limiter.release(ticket, 0.0, Outcome.OK)
    await server.room.let_in()
    gone.cancel()  # it has the slot, but has not run yet
    assert await next_one == "served"
    assert gone.cancelled()
    assert (server.limiter.in_flight, server.room.length) == (0, 0)


def test_an_idle_server_has_no_timer():
    server = Server()

    async def scenario() -> None:
        await asyncio.gather(*(server.request(n, 0.01) for n in range(5)))
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck):
        run_virtual(scenario())


@pytest.mark.parametrize(
    "wrong", [{"target_s": 0}, {"target_s": 0.2}, {"length": 0}, {"beat_s": 0}]
)
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"does not hold|at least one|positive"):
        Queue(**wrong)


# The event loop as part of the queue


class Late:
    """A runtime on the loop's time whose clock can be pushed, as by code that blocks the loop."""

    def __init__(self) -> None:
        self.blocked_s = 0.0
        virtual = virtual_runtime(2)
        self.runtime = Runtime(
            clock=lambda: virtual.clock() + self.blocked_s,
            sleep=virtual.sleep,
            random=virtual.random,
        )

    async def lag(self, seconds: float, beats: int) -> None:
        for _ in range(beats):
            self.blocked_s += seconds
            await asyncio.sleep(0.01)


async def test_a_loop_that_stays_late_sheds_though_slots_are_free():
    late = Late()
    server = Server(slots=100, runtime=late.runtime)
    held = server.start("held", 60.0)
    await asyncio.sleep(0)
    await late.lag(0.05, beats=10)
    assert server.room.lag_s == pytest.approx(0.05)
    verdicts = []
    for _ in range(400):
        verdicts.append(await server.request("x", level=late.runtime.random()))
        await late.lag(0.05, beats=1)
    assert "thinned" not in verdicts[:20]
    assert verdicts[-100:].count("thinned") > 80
    await asyncio.sleep(0.1)  # the loop is in time again
    assert server.room.lag_s == 0
    assert await server.request("x") == "served"
    held.cancel()
    await asyncio.wait([held])


async def test_one_hiccup_of_the_loop_is_none():
    late = Late()
    server = Server(slots=100, runtime=late.runtime)
    held = server.start("held", 1.0)
    await asyncio.sleep(0)
    await late.lag(2.0, beats=1)
    assert server.room.lag_s == 0
    assert await server.request("x") == "served"
    await held


# Thinning


class Gate:
    """A threshold fed with arrivals of two classes, a fifth of them of class 8."""

    def __init__(self) -> None:
        self.thinning = Thinning(0.1, Standing(0.005, 0.1, late_s=0.02))
        self.random = virtual_runtime(3).random
        self.now = 0.0

    def interval(self, *, room_for: int = 100, spare: bool = False) -> dict[int, float]:
        """Admitted share by class, of 100 arrivals; those without room are refused blindly."""
        got_in = {5: 0, 8: 0}
        for number in range(100):
            self.now += 0.0011
            class_ = 8 if number % 5 == 0 else 5
            if self.thinning.admits(class_ + self.random(), self.now, spare=spare):
                got_in[class_] += 1
                if sum(got_in.values()) > room_for:
                    self.thinning.refused()
        return {5: got_in[5] / 80, 8: got_in[8] / 20}


def test_what_would_be_refused_is_taken_from_the_lowest_class_and_not_all_of_it():
    gate = Gate()
    shares = [gate.interval(room_for=60) for _ in range(30)][10:]
    assert all(share[8] == 1.0 for share in shares)
    assert sum(share[5] for share in shares) / len(shares) == pytest.approx(0.5, abs=0.1)


def test_it_is_forgotten_when_nobody_is_refused_any_more():
    gate = Gate()
    for _ in range(5):
        gate.interval(room_for=60)
    for _ in range(25):
        gate.interval()
    assert gate.interval() == {5: 1.0, 8: 1.0}
    assert gate.thinning.threshold == 0


def test_nobody_is_thinned_where_there_is_room():
    gate = Gate()
    for _ in range(5):
        gate.interval(room_for=10)
    assert gate.interval(spare=True) == {5: 1.0, 8: 1.0}
