"""Concurrency limit: how many calls may be in flight at once. No queue: full means refused.

`Limit(fixed=16)` is a bulkhead; `Limit(start=20, max=200)` adapts to what the callee can do.

Not here: rates per second, and the Shield's queue. Source of the adaptive rule: Netflix
concurrency-limits `VegasLimit.java`, with 0.25 s windows and a drop that cuts to 80 %: of eleven
limiters simulated it alone kept all reachable goodput in every phase and also closed down in a
total hang (`bench/limits.py`).
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

    With L the limit, k = max(1, sqrt(L) / 4) and q = ceil(L * (1 - rtt0 / rtt)) the calls that seem
    to queue at the callee: after a drop L * drop_ratio; else, if at least half of L was in use,
    q <= k: L + 6k, q < 3k: L + k, q > 6k: L - k. rtt is the mean of a window of `window_s` and at
    least 10 samples; rtt0, the time without a queue, is the least mean seen.

    rtt0 is measured anew every 40 * U(0.5, 1) windows, and after 4 if rtt > 2 * rtt0: then either
    much is queueing or the callee has become slower. Half the limit for a moment tells which
    (`_Probe`); if less than half is in use, the window's mean will do.

    Netflix's Vegas differs: k = log10 L, to which the usual jitter of 60 workers looks like a
    queue; and rtt0 is measured under full load, so that it drifts up, and so rarely that a callee
    that became slower loses goodput for a minute.
    """

    learns = True
    _MIN_SAMPLES = 10
    _REMEASURE_WINDOWS = 40
    _SUSPICIOUS_WINDOWS = 4
    _SUSPICIOUS_RATIO = 2.0

    def __init__(self, config: Limit, runtime: Runtime, emitter: Emitter) -> None:
        self._config = config
        self._clock = runtime.clock
        self._random = runtime.random
        self._emitter = emitter
        self.limit = config.start
        self.in_flight = 0
        # The limit without a probe's cut, and not rounded.
        self._exact = float(config.start)
        self._fastest_s = 0.0
        self._windows = 0
        self._remeasure = self._jitter()
        self._probe: _Probe | None = None
        # The window that is being filled: written by `_sample` and `_open_window` only.
        self._samples = 0
        self._total_s = 0.0
        self._busiest = 0
        self._dropped = False
        self._window_ends: float | None = None

    async def acquire(self) -> int:
        """Take a slot; does not suspend. Raises LimitFull when there is none."""
        if self.in_flight >= self.limit:
            raise _full(self.limit)
        self.in_flight += 1
        return self.in_flight

    def release(self, ticket: int, duration_s: float, outcome: Outcome) -> None:
        """Give the slot back and learn from the outcome."""
        self.in_flight -= 1
        if outcome is Outcome.SILENT:
            return
        if self._probe is None or outcome is Outcome.DROPPED:
            self._end_probe()
            self._sample(ticket, duration_s, dropped=outcome is Outcome.DROPPED)
            return
        is_drained = self.in_flight <= self.limit
        fastest_s = self._probe.sample(self._clock(), duration_s, is_drained=is_drained)
        if fastest_s is not None:
            self._measured(fastest_s)
            self._end_probe(settling_s=2 * fastest_s)

    def _sample(self, in_flight: int, duration_s: float, *, dropped: bool) -> None:
        now = self._clock()
        if self._window_ends is None:
            self._open_window(now)
        self._samples += 1
        self._total_s += duration_s
        self._busiest = max(self._busiest, in_flight)
        self._dropped = self._dropped or dropped
        if now >= (self._window_ends or 0.0) and self._samples >= self._MIN_SAMPLES:
            self._move(self._total_s / self._samples)
            self._open_window(now)

    def _open_window(self, now: float, settling_s: float = 0.0) -> None:
        self._samples = self._busiest = 0
        self._total_s = 0.0
        self._dropped = False
        self._window_ends = now + self._config.window_s + settling_s

    def _move(self, rtt_s: float) -> None:
        self._windows += 1
        is_used = self._busiest * 2 >= self._exact
        # The drop comes first: a hang with a short timeout may well be the fastest window so far.
        if self._dropped:
            self._set(self._exact * self._config.drop_ratio)
        elif self._fastest_s == 0.0 or rtt_s < self._fastest_s:
            self._fastest_s = rtt_s
        elif not is_used:
            if self._windows >= self._remeasure * self._REMEASURE_WINDOWS:
                self._measured(rtt_s)
        elif self._is_doubtful(rtt_s):
            self._probe = _Probe(self._config.window_s, self._MIN_SAMPLES)
            self._show(max(self._config.min, int(self._exact / 2)))
        else:
            self._set(self._exact + self._step(rtt_s))

    def _is_doubtful(self, rtt_s: float) -> bool:
        if rtt_s > self._SUSPICIOUS_RATIO * self._fastest_s:
            return self._windows >= self._SUSPICIOUS_WINDOWS
        return self._windows >= self._remeasure * self._REMEASURE_WINDOWS

    def _step(self, rtt_s: float) -> float:
        k = max(1.0, math.sqrt(self._exact) / 4)
        queued = math.ceil(self._exact * (1 - self._fastest_s / rtt_s))
        if queued <= k:
            return 6 * k
        if queued < 3 * k:
            return k
        return -k if queued > 6 * k else 0.0

    def _measured(self, fastest_s: float) -> None:
        self._fastest_s = fastest_s
        self._windows = 0
        self._remeasure = self._jitter()

    def _end_probe(self, settling_s: float = 0.0) -> None:
        """Back to the whole limit; the next window is longer, for it begins with fast calls."""
        if self._probe is not None:
            self._probe = None
            self._show(int(self._exact))
            self._open_window(self._clock(), settling_s)

    def _set(self, exact: float) -> None:
        self._exact = max(float(self._config.min), min(float(self._config.max), exact))
        self._show(int(self._exact))

    def _show(self, limit: int) -> None:
        before, self.limit = self.limit, limit
        if before != limit:
            self._emitter.emit("limit_changed", limit=limit, before=before)

    def _jitter(self) -> float:
        return 0.5 + 0.5 * self._random()


class _Probe:
    """Half the limit for a moment: how fast is the callee when nothing queues at it?

    Once the limit has drained, the mean of the calls begun since, for at least a window, the time
    of three calls, and `min_samples`: less would favour the calls that happen to be quick.
    """

    def __init__(self, window_s: float, min_samples: int) -> None:
        self._window_s = window_s
        self._min_samples = min_samples
        self._drained_at: float | None = None
        self._samples = 0
        self._total_s = 0.0

    def sample(self, now: float, duration_s: float, *, is_drained: bool) -> float | None:
        """Tell it of a call that ended well. Returns the mean, once it is known, seconds."""
        if self._drained_at is None:
            self._drained_at = now if is_drained else None
            return None
        if now - duration_s < self._drained_at:
            return None
        self._samples += 1
        self._total_s += duration_s
        mean_s = self._total_s / self._samples
        is_long = now - self._drained_at >= max(self._window_s, 3 * mean_s)
        return mean_s if is_long and self._samples >= self._min_samples else None


def _full(limit: int) -> LimitFull:
    return LimitFull(f"all {limit} slots are taken")


def limited(limiter: Limiter, runtime: Runtime, emitter: Emitter) -> Wrap:
    """Layer that takes a slot for each attempt. A refusal says nothing about the callee."""
    return _taught(limiter, runtime, emitter) if limiter.learns else _counted(limiter, emitter)


def _counted(limiter: Limiter, emitter: Emitter) -> Wrap:
    """For a limit that does not learn: no clock is read, no outcome judged."""

    def wrap(proceed: Layer) -> Layer:
        async def bounded(fn: Call) -> Any:
            try:
                ticket = await limiter.acquire()
            except LimitFull:
                emitter.emit("rejected", reason="full", retry_after_s=None)
                raise
            try:
                return await proceed(fn)
            finally:
                limiter.release(ticket, 0.0, Outcome.SILENT)

        return bounded

    return wrap


def _taught(limiter: Limiter, runtime: Runtime, emitter: Emitter) -> Wrap:
    """For a limit that learns from how long calls take and how they end."""
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
