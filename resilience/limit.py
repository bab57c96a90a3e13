"""Concurrency limit: how many calls may be in flight at once. No queue: full means refused.

`Limit(fixed=16)` is a bulkhead; `Limit(start=20, max=200)` adapts to what the callee can do.

Not here: rates per second, and the Shield's queue. Source of the adaptive rule: Netflix
concurrency-limits `VegasLimit.java`, with 0.25 s windows and a drop that cuts to 80 %: of eleven
limiters simulated it alone kept all reachable goodput in every phase and also closed down in a
total hang.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from resilience.errors import LimitFull, is_overload
from resilience.events import Emitter
from resilience.layer import Call, Layer, Wrap
from resilience.runtime import Runtime


class Outcome(Enum):
    """What a finished call says about the callee's load."""

    OK = "ok"
    DROPPED = "dropped"
    SILENT = "silent"


class Limiter(Protocol):
    """Counts what is in flight. One per destination and event loop.

    Attributes:
        limit: How many may be in flight now.
        in_flight: How many are.
        learns: Whether outcomes and durations change the limit.
    """

    limit: int
    in_flight: int
    learns: bool

    async def acquire(self) -> int:
        """Take a slot and return a ticket for `release`; never waits. Raises LimitFull."""

    def release(self, ticket: int, duration_s: float, outcome: Outcome) -> None:
        """Give the slot back, whatever happened."""


@dataclass(frozen=True)
class Limit:
    """How many calls may be in flight.

    Attributes:
        fixed: A constant number; None means adaptive, by the other fields.
        start: First limit of the adaptive form.
        min: It never falls below this.
        max: It never rises above this.
        window_s: Samples are averaged over this long before the limit moves, seconds.
        drop_ratio: What remains of the limit when something was dropped.
    """

    fixed: int | None = None
    start: int = 20
    min: int = 1
    max: int = 200
    window_s: float = 0.25
    drop_ratio: float = 0.8

    def __post_init__(self) -> None:
        if self.fixed is not None and self.fixed < 1:
            raise ValueError("a limit lets at least one call through")
        if not 1 <= self.min <= self.start <= self.max:
            raise ValueError("1 <= min <= start <= max does not hold")

    def build(self, runtime: Runtime, emitter: Emitter) -> Limiter:
        """A limiter of its own with this rule."""
        if self.fixed is not None:
            return FixedLimiter(self.fixed)
        return AdaptiveLimiter(self, runtime, emitter)


class FixedLimiter:
    """A constant number of slots, on an `asyncio.Semaphore` that nobody ever waits for."""

    learns = False

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        self._slots = asyncio.Semaphore(limit)

    async def acquire(self) -> int:
        """Take a slot; does not suspend. Raises LimitFull when there is none."""
        if self._slots.locked():
            raise _full(self.limit)
        await self._slots.acquire()
        self.in_flight += 1
        return self.in_flight

    def release(self, ticket: int, duration_s: float, outcome: Outcome) -> None:  # noqa: ARG002 - protocol
        """Give the slot back."""
        self.in_flight -= 1
        self._slots.release()


class AdaptiveLimiter:
    """Grows while calls are fast, shrinks while they queue, cuts when something is dropped.

    With L the limit, k = max(1, floor(log10 L)) and q = ceil(L * (1 - rtt0 / rtt)) the calls that
    seem to queue at the
    callee: after a drop L * drop_ratio; else, if at least half of L was in use, q <= k: L + 6k, q <
        3k: L + k,
    q > 6k: L - k. rtt is the mean of a window of `window_s` and at least 10 samples; rtt0 is the
    least mean seen, measured anew every 30 * L * U(0.5, 1) windows.
    """

    learns = True
    _MIN_SAMPLES = 10

    def __init__(self, config: Limit, runtime: Runtime, emitter: Emitter) -> None:
        self._config = config
        self._clock = runtime.clock
        self._random = runtime.random
        self._emitter = emitter
        self.limit = config.start
        self.in_flight = 0
        self._exact = float(config.start)
        self._fastest_s = 0.0
        self._windows = 0
        self._remeasure = self._jitter()
        # The window that is being filled: written by `_sample` only.
        self._samples = 0
        self._total_s = 0.0
        self._busiest = 0
        self._dropped = False
        self._window_ends = 0.0

    async def acquire(self) -> int:
        """Take a slot; does not suspend. Raises LimitFull when there is none."""
        if self.in_flight >= self.limit:
            raise _full(self.limit)
        self.in_flight += 1
        return self.in_flight

    def release(self, ticket: int, duration_s: float, outcome: Outcome) -> None:
        """Give the slot back and learn from the outcome."""
        self.in_flight -= 1
        if outcome is not Outcome.SILENT:
            self._sample(ticket, duration_s, dropped=outcome is Outcome.DROPPED)

    def _sample(self, in_flight: int, duration_s: float, *, dropped: bool) -> None:
        self._samples += 1
        self._total_s += duration_s
        self._busiest = max(self._busiest, in_flight)
        self._dropped = self._dropped or dropped
        now = self._clock()
        if now < self._window_ends or self._samples < self._MIN_SAMPLES:
            return
        self._move(self._total_s / self._samples)
        self._samples = self._busiest = 0
        self._total_s = 0.0
        self._dropped = False
        self._window_ends = now + self._config.window_s

    def _move(self, rtt_s: float) -> None:
        self._windows += 1
        if self._windows >= self._remeasure * 30 * self._exact:
            self._windows = 0
            self._remeasure = self._jitter()
            self._fastest_s = rtt_s
            return
        # The drop comes first: a hang with a short timeout may well be the fastest window so far.
        if self._dropped:
            self._set(self._exact * self._config.drop_ratio)
        elif self._fastest_s == 0.0 or rtt_s < self._fastest_s:
            self._fastest_s = rtt_s
        elif self._busiest * 2 >= self._exact:
            self._set(self._exact + self._step(rtt_s))

    def _step(self, rtt_s: float) -> int:
        k = max(1, int(math.log10(self._exact)))
        queued = math.ceil(self._exact * (1 - self._fastest_s / rtt_s))
        if queued <= k:
            return 6 * k
        if queued < 3 * k:
            return k
        return -k if queued > 6 * k else 0

    def _set(self, exact: float) -> None:
        self._exact = max(float(self._config.min), min(float(self._config.max), exact))
        before, self.limit = self.limit, int(self._exact)
        if before != self.limit:
            self._emitter.emit("limit_changed", limit=self.limit, before=before)

    def _jitter(self) -> float:
        return 0.5 + 0.5 * self._random()


def _full(limit: int) -> LimitFull:
    return LimitFull(f"all {limit} slots are taken")


def limited(limiter: Limiter, runtime: Runtime, emitter: Emitter) -> Wrap:
    """Layer that takes a slot for each attempt. A refusal says nothing about the callee."""
    clock: Callable[[], float] = runtime.clock

    def wrap(proceed: Layer) -> Layer:
        async def bounded(fn: Call) -> Any:
            try:
                ticket = await limiter.acquire()
            except LimitFull:
                emitter.emit("rejected", reason="full", retry_after_s=None)
                raise
            began_s = clock()
            outcome = Outcome.SILENT
            try:
                result = await proceed(fn)
                outcome = Outcome.OK
            except Exception as exc:
                if is_overload(exc):
                    outcome = Outcome.DROPPED
                raise
            finally:
                limiter.release(ticket, clock() - began_s, outcome)
            return result

        return bounded

    return wrap
