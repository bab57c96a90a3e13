"""The concurrency limit: a bulkhead when fixed; finds its own size when adaptive."""

import asyncio
import math
import random

import pytest

from resilience import AttemptTimeout, Limit, LimitFull, Policy
from resilience.events import Emitter
from resilience.limit import AdaptiveLimiter, Outcome
from resilience.testing import After, CapturedEvents, FakeClock, Script, fake_runtime

WORKERS, SERVICE_S = 8, 0.010
CAPACITY_PER_S = WORKERS / SERVICE_S


async def test_a_fixed_limit_lets_exactly_n_in(runtime):
    pipeline = Policy(limit=Limit(fixed=3)).bind("callee", runtime)
    callee = Script(After(1.0, "done"))
    calls = [asyncio.ensure_future(pipeline.call(callee)) for _ in range(5)]
    await asyncio.sleep(0.5)
    assert pipeline.snapshot() == {"limit": 3, "in_flight": 3}
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert results[:3] == ["done"] * 3
    assert all(isinstance(result, LimitFull) for result in results[3:])
    assert pipeline.snapshot() == {"limit": 3, "in_flight": 0}


async def test_a_slot_comes_back_after_every_kind_of_end(runtime):
    pipeline = Policy(attempt_s=0.5, limit=Limit(fixed=1)).bind("callee", runtime)
    with pytest.raises(ConnectionResetError):
        await pipeline.call(Script(ConnectionResetError()))
    with pytest.raises(AttemptTimeout):
        await pipeline.call(Script(After(math.inf)))
    cancelled = asyncio.ensure_future(pipeline.call(Script(After(math.inf))))
    await asyncio.sleep(0.1)
    cancelled.cancel()
    await asyncio.wait([cancelled])
    assert await pipeline.call(Script("in")) == "in"


@pytest.mark.parametrize("wrong", [{"fixed": 0}, {"start": 5, "min": 6}, {"start": 300}])
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"at least one|does not hold"):
        Limit(**wrong)


# The adaptive rule, step by step


class Bench:
    """An adaptive limiter fed with whole windows."""

    def __init__(self, limit: Limit) -> None:
        self.clock = FakeClock()
        self.events = CapturedEvents()
        runtime = fake_runtime(self.clock, chance=1.0)
        self.limiter = AdaptiveLimiter(limit, runtime, Emitter("callee", [self.events], runtime))
        self.limiter.in_flight = 1
        self.limiter.release(1, 0.010, Outcome.OK)  # opens the first window

    def window(self, rtt_s: float, *, busy: int = 0, dropped: bool = False) -> int:
        self.clock.advance(0.26)
        for _ in range(10):
            self.limiter.in_flight += 1
            outcome = Outcome.DROPPED if dropped else Outcome.OK
            self.limiter.release(busy or self.limiter.limit, rtt_s, outcome)
        return self.limiter.limit


def test_it_grows_while_calls_are_as_fast_as_ever():
    bench = Bench(Limit(start=20))
    bench.window(0.010)  # the first window only says what fast is
    assert [bench.window(0.010) for _ in range(3)] == [26, 34, 43]
    assert bench.events[0].detail == {"limit": 26, "before": 20}


def test_it_does_not_grow_without_use():
    bench = Bench(Limit(start=20))
    assert [bench.window(0.010, busy=9) for _ in range(4)] == [20, 20, 20, 20]


def test_it_shrinks_while_calls_queue():
    bench = Bench(Limit(start=20))
    bench.window(0.010)
    assert [bench.window(0.020) for _ in range(3)] == [18, 17, 16]


def test_a_drop_cuts_it_to_eighty_percent_but_not_below_min():
    bench = Bench(Limit(start=20, min=10))
    bench.window(0.010)
    assert [bench.window(1.0, dropped=True) for _ in range(4)] == [16, 12, 10, 10]


def test_it_never_grows_past_max():
    bench = Bench(Limit(start=20, max=30))
    bench.window(0.010)
    assert [bench.window(0.010) for _ in range(3)] == [26, 30, 30]


@pytest.mark.parametrize(("unqueued_s", "afterwards"), [(0.010, "shrinks"), (0.025, "grows")])
def test_when_calls_take_twice_as_long_half_the_limit_tells_why(unqueued_s, afterwards):
    """A queue of our own making: back off. A callee that became slower: that is its new normal."""
    bench = Bench(Limit(start=20, max=30))
    bench.window(0.010)
    limits = [bench.window(0.025) for _ in range(3)]
    assert limits[-1] == limits[-2] // 2
    restored = bench.window(unqueued_s)
    assert restored == limits[-2]
    bench.window(0.025)  # it settles
    after = bench.window(0.025)
    assert after > restored if afterwards == "grows" else after < restored


def test_a_drop_ends_the_probe():
    bench = Bench(Limit(start=20))
    bench.window(0.010)
    limits = [bench.window(0.025) for _ in range(3)]
    assert bench.window(1.0, dropped=True) == limits[-2]
    assert bench.window(1.0, dropped=True) == pytest.approx(limits[-2] * 0.8, abs=1)


def test_silent_ends_teach_it_nothing():
    bench = Bench(Limit(start=20))
    for _ in range(100):
        bench.clock.advance(0.1)
        bench.limiter.in_flight += 1
        bench.limiter.release(20, 0.001, Outcome.SILENT)
    assert bench.limiter.limit == 20


# The adaptive rule against a queue: 8 workers x 10 ms, open-loop arrivals, clients wait 1 s


async def _load(pipeline, per_s: float, seconds: float, serve) -> list[float]:
    """Latencies of what was answered."""
    rng = random.Random(5)
    loop = asyncio.get_running_loop()
    good: list[float] = []

    async def one() -> None:
        began_s = loop.time()
        try:
            await pipeline.call(serve)
        except (LimitFull, AttemptTimeout):
            return
        good.append(loop.time() - began_s)

    tasks = []
    end_s = loop.time() + seconds
    while loop.time() < end_s:
        tasks.append(asyncio.create_task(one()))
        await asyncio.sleep(rng.expovariate(per_s))
    await asyncio.wait(tasks)
    return good


def _server(workers: int = WORKERS):
    free = asyncio.Semaphore(workers)
    rng = random.Random(6)

    async def serve() -> None:
        async with free:
            await asyncio.sleep(workers / CAPACITY_PER_S * rng.uniform(0.6, 1.4))

    return serve


async def test_at_double_load_it_keeps_goodput_and_latency(runtime):
    pipeline = Policy(attempt_s=1.0, limit=Limit()).bind("callee", runtime)
    good = await _load(pipeline, 2 * CAPACITY_PER_S, 5.0, _server())
    assert len(good) / 5.0 > 0.95 * CAPACITY_PER_S
    assert sorted(good)[int(len(good) * 0.99)] < 0.12


async def test_a_callee_of_many_workers_is_used_though_its_times_vary(runtime):
    pipeline = Policy(attempt_s=1.0, limit=Limit()).bind("callee", runtime)
    serve = _server(workers=64)
    await _load(pipeline, CAPACITY_PER_S / 2, 5.0, serve)
    good = await _load(pipeline, 2 * CAPACITY_PER_S, 10.0, serve)
    assert len(good) / 10.0 > 0.95 * CAPACITY_PER_S
    assert sorted(good)[int(len(good) * 0.99)] < 0.2


async def test_in_a_total_hang_it_closes_down_and_then_recovers(runtime):
    pipeline = Policy(attempt_s=1.0, limit=Limit()).bind("callee", runtime)
    await _load(pipeline, 400, 2.0, _server())
    await _load(pipeline, 100, 60.0, Script(After(math.inf)))
    assert pipeline.snapshot()["limit"] <= 2
    good = await _load(pipeline, 400, 10.0, _server())
    assert len(good) / 10.0 > 0.8 * 400
