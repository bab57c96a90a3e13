"""Properties, for any mix of arrivals, classes, deadlines, cancellations, fixed and adaptive limits:

* never more run at once than the limit says;
* everybody who stays is served or refused, nobody waits longer than the interval allows;
* afterwards no slot is taken, nobody is left in the queue, and newcomers are served at once.
"""

import asyncio
import random
from contextlib import nullcontext

from hypothesis import given, settings
from hypothesis import strategies as st

from resilience import Limit, Queue, deadline
from resilience.events import Emitter
from resilience.limit import Outcome
from resilience.queue import WaitingRoom
from resilience.testing import run_virtual, virtual_runtime

SLOTS = 4
QUEUE = Queue(length=20)
REFUSALS = {"full", "waited", "thinned", "deadline"}


class _Server:
    def __init__(self, limit: Limit, seed: int) -> None:
        runtime = virtual_runtime(seed)
        self.rng = random.Random(seed)
        self.limiter = limit.build(runtime, Emitter("server", (), runtime))
        self.room = WaitingRoom(QUEUE, self.limiter, runtime, ranked=True)
        self.running = self.most = 0
        self.refused: set[str] = set()

    async def request(self) -> None:
        rng, loop = self.rng, asyncio.get_running_loop()
        began_s = loop.time()
        hurry = deadline(rng.choice([0.003, 0.05, 1.0])) if rng.random() < 0.3 else nullcontext()
        with hurry:
            verdict = await self.room.enter(rng.uniform(0, 10))
        assert loop.time() - began_s <= QUEUE.interval_s + 1e-6
        if isinstance(verdict, str):
            self.refused.add(verdict)
            return
        outcome = Outcome.SILENT
        try:
            self.running += 1
            self.most = max(self.most, self.running)
            await asyncio.sleep(rng.choice([0.0, 0.01, 0.01, 0.3]))
            outcome = rng.choice([*Outcome])
        finally:
            self.running -= 1
            self.limiter.release(verdict, 0.01, outcome)
            await self.room.let_in()


async def _storm(server: _Server, requests: int) -> None:
    rng, loop = server.rng, asyncio.get_running_loop()
    tasks = []
    for _ in range(requests):
        task = asyncio.create_task(server.request())
        tasks.append(task)
        if rng.random() < 0.4:
            loop.call_later(rng.choice([0.0, 0.002, 0.02, 0.1]), task.cancel)
        await asyncio.sleep(rng.choice([0.0, 0.0, 0.002, 0.01]))
    await asyncio.wait(tasks)
    for task in tasks:
        assert task.cancelled() or task.exception() is None


async def _holds(limit: Limit, most: int, seed: int) -> None:
    server = _Server(limit, seed)
    await _storm(server, 1000)
    assert 1 < server.most <= most
    assert server.refused <= REFUSALS
    assert server.running == server.limiter.in_flight == server.room.length == 0
    await asyncio.sleep(1.0)
    tickets = [await server.room.enter(0.5) for _ in range(server.limiter.limit)]
    assert all(isinstance(ticket, int) for ticket in tickets)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_nothing_is_lost_in_front_of_a_fixed_limit(seed):
    run_virtual(_holds(Limit(fixed=SLOTS), SLOTS, seed))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_nothing_is_lost_in_front_of_an_adaptive_limit(seed):
    run_virtual(_holds(Limit(start=SLOTS, max=16), 16, seed))
