# ruff: noqa: PLC0415 - imported when asked for, because a library may be missing
"""The breakers and bulkheads of `gauntlet.py`: each library's own, set up to the same rule.

A breaker trips after two counted failures and stays open for `OPEN_S`, with one probe and no jitter
where the library lets us say so; a bulkhead has two slots. Nothing is imported before it is asked for.
"""

import datetime as dt
import inspect
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from bench.peers import Work

OPEN_S = 0.15
CLOCKS = {"time": "wall", "monotonic": "monotonic", "perf_counter": "monotonic"}

Guard = Callable[[Work], Awaitable[Any]]
"""Makes one call under the policy."""


class CountedFailure(Exception):
    """Counts against the callee."""


class IgnoredFailure(Exception):
    """Says nothing about the callee, as a 404 does."""


# --------------------------------------------------------------------------- the breakers
def decorated(decorator: Callable[[Work], Work]) -> Guard:
    """A call under a decorator, which wants to see a coroutine function."""

    def call(fn: Work) -> Awaitable[Any]:
        async def plain() -> Any:
            return await fn()

        return decorator(plain)()

    return call


def our_breaker() -> tuple[Any, Guard]:
    """Ours. Like each one below: what takes a clock when it is made, and the guard."""
    from resilience import Breaker, Policy, Runtime

    rule = Breaker(
        consecutive=2,
        open_s=OPEN_S,
        jitter_ratio=0.0,
        probes_to_close=1,
        on=lambda exc: isinstance(exc, CountedFailure),
    )
    return Runtime, Policy(breaker=rule).bind("gauntlet").call


def interlock_breaker() -> tuple[Any, Guard]:
    """Interlock."""
    import interlock

    class OnlyCounted:
        def is_failure(self, *, result: Any, exception: BaseException | None) -> bool:  # noqa: ARG002 - protocol
            return isinstance(exception, CountedFailure)

    config = interlock.Config(
        failure_rate_threshold=0.5,
        minimum_number_of_calls=2,
        window_size=4,
        permitted_calls_in_half_open=1,
        wait_duration_in_open=OPEN_S,
    )
    made = interlock.CircuitBreaker(name="gauntlet", config=config, classifier=OnlyCounted())
    return interlock.CircuitBreaker, made.call_async


def nopanic_breaker() -> tuple[Any, Guard]:
    """Nopanic."""
    import nopanic

    made = nopanic.circuit_breaker(min_calls=2, reset_timeout=OPEN_S, on=CountedFailure)
    return nopanic.circuit_breaker, decorated(made)


def fluxgate_breaker() -> tuple[Any, Guard]:
    """Fluxgate."""
    from fluxgate import AsyncCircuitBreaker, permits, retries, trackers, trippers, windows

    streak = trippers.FailureStreak
    made = AsyncCircuitBreaker(
        window=windows.CountWindow(10),
        tracker=trackers.TypeOf(CountedFailure),
        tripper=(trippers.Closed() & streak(2)) | (trippers.HalfOpened() & streak(1)),
        retry=retries.Cooldown(OPEN_S),
        permit=permits.All(),
        max_half_open_calls=1,
    )
    return AsyncCircuitBreaker, decorated(made)


def grit_breaker() -> tuple[Any, Guard]:
    """Grit."""
    import grit

    return grit.breaker, decorated(grit.breaker(fails=2, reset_after=OPEN_S, on=CountedFailure))


def hyx_breaker() -> tuple[Any, Guard]:
    """Hyx."""
    from hyx.circuitbreaker import consecutive_breaker

    made = consecutive_breaker(
        exceptions=CountedFailure,
        failure_threshold=2,
        recovery_time_secs=OPEN_S,
        recovery_threshold=1,
    )
    return consecutive_breaker, decorated(made)


def purgatory_breaker() -> tuple[Any, Guard]:
    """Purgatory."""
    from purgatory import AsyncCircuitBreakerFactory as Factory

    made = Factory(default_threshold=2, default_ttl=OPEN_S, exclude=[IgnoredFailure])
    return Factory, decorated(made("gauntlet"))


def aiobreaker_breaker() -> tuple[Any, Guard]:
    """Aiobreaker."""
    from aiobreaker import CircuitBreaker

    open_for = dt.timedelta(seconds=OPEN_S)
    made = CircuitBreaker(fail_max=2, timeout_duration=open_for, exclude=[IgnoredFailure])
    return CircuitBreaker, decorated(made)


def aioresilience_breaker() -> tuple[Any, Guard]:
    """Aioresilience."""
    from aioresilience import CircuitBreaker, CircuitConfig

    config = CircuitConfig(
        failure_threshold=2,
        recovery_timeout=OPEN_S,
        success_threshold=1,
        failure_exceptions=(CountedFailure,),
    )
    made = CircuitBreaker("gauntlet", config)
    return CircuitBreaker, decorated(lambda fn: partial(made.call, fn))


BREAKERS: dict[str, Callable[[], tuple[Any, Guard]]] = {
    "resilience": our_breaker,
    "interlock-cb": interlock_breaker,
    "nopanic": nopanic_breaker,
    "fluxgate": fluxgate_breaker,
    "grit-toolkit": grit_breaker,
    "hyx": hyx_breaker,
    "purgatory": purgatory_breaker,
    "aiobreaker": aiobreaker_breaker,
    "aioresilience": aioresilience_breaker,
}
"""By distribution. tenacity and stamina have none."""


# --------------------------------------------------------------------------- the bulkheads, 2 slots
def our_limit() -> Guard:
    """Ours, fixed."""
    from resilience import Limit, Policy

    return Policy(limit=Limit(fixed=2)).bind("gauntlet").call


def our_adaptive_limit() -> Guard:
    """Ours, adaptive, held at 2."""
    from resilience import Limit, Policy

    return Policy(limit=Limit(start=2, min=2, max=2)).bind("gauntlet").call


def interlock_bulkhead() -> Guard:
    """Interlock."""
    from interlock.pipeline import Pipeline

    return decorated(Pipeline.builder().bulkhead(2, max_wait=0.01).build())


def nopanic_bulkhead() -> Guard:
    """Nopanic."""
    import nopanic

    return decorated(nopanic.bulkhead(2, max_wait=0.01))


def grit_bulkhead() -> Guard:
    """Grit."""
    import grit

    return decorated(grit.bulkhead(2, timeout=0.01))


def hyx_bulkhead() -> Guard:
    """Hyx."""
    from hyx.bulkhead import bulkhead

    return decorated(bulkhead(max_concurrency=2, max_capacity=4))


def aioresilience_bulkhead() -> Guard:
    """Aioresilience."""
    from aioresilience import Bulkhead, BulkheadConfig

    made = Bulkhead("gauntlet", BulkheadConfig(max_concurrent=2, max_waiting=50, timeout=0.01))
    return decorated(lambda fn: partial(made.execute, fn))


BULKHEADS: dict[str, tuple[str, Callable[[], Guard]]] = {
    "resilience Limit(fixed)": ("resilience", our_limit),
    "resilience Limit, adaptive": ("resilience", our_adaptive_limit),
    "interlock": ("interlock-cb", interlock_bulkhead),
    "nopanic": ("nopanic", nopanic_bulkhead),
    "grit": ("grit-toolkit", grit_bulkhead),
    "hyx": ("hyx", hyx_bulkhead),
    "aioresilience": ("aioresilience", aioresilience_bulkhead),
}
"""Name, distribution, how to make one."""


# --------------------------------------------------------------------------- clocks
class Clocks:
    """Sees which clocks each package reads. Made before the packages are imported."""

    def __init__(self) -> None:
        self._seen: dict[str, set[str]] = {}
        for name, kind in CLOCKS.items():
            setattr(time, name, self._watched(getattr(time, name), kind))
            setattr(time, f"{name}_ns", self._watched(getattr(time, f"{name}_ns"), kind))
        note = self._note

        class Watched(dt.datetime):
            @classmethod
            def now(cls, tz: dt.tzinfo | None = None) -> "Watched":
                note("wall")
                return super().now(tz)

            @classmethod
            def utcnow(cls) -> "Watched":
                note("wall")
                return super().utcnow()

        setattr(dt, "datetime", Watched)  # noqa: B010 - mypy and readers both see that it is meant

    def read_by(self, package: str) -> str:
        """The kinds that the package has read so far."""
        return " + ".join(sorted(self._seen.get(package, {"not seen"})))

    def _watched(self, clock: Callable[[], Any], kind: str) -> Callable[[], Any]:
        def read() -> Any:
            self._note(kind)
            return clock()

        return read

    def _note(self, kind: str) -> None:
        frame = inspect.currentframe()
        reader = frame and frame.f_back and frame.f_back.f_back
        if reader:
            package = str(reader.f_globals.get("__name__", "")).partition(".")[0]
            self._seen.setdefault(package, set()).add(kind)
