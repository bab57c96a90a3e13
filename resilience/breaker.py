"""Breaker: stop calling a callee that keeps failing, and find out cheaply when it is back.

    closed ── trip ──▶ open ── time is up, a probe goes out ──▶ half-open ── enough good probes ──▶
    closed
                        ▲                                          │
                        └────────── a probe failed, was slow, or never came back (open twice as
                        long)

Invariants: at most one probe is out; a probe that is cancelled or says nothing gives its slot back;
every change of state has a new generation, and an outcome with an older stamp is dropped; local
rejections are never counted.

`BreakerState` does no I/O and reads time only through the injected clock; `guarded` is the layer
around it.

Not here: what counts as a failure (`errors.is_counted_failure`). Sources: Nygard, Release It! (2nd
ed.), ch. 5; open time that backs off as in Linkerd's failure accrual; time window and single probe
as in Polly v8.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from resilience.errors import BreakerOpen, is_counted_failure
from resilience.events import Emitter
from resilience.layer import Call, Layer, Wrap
from resilience.runtime import Runtime


@dataclass(frozen=True)
class Breaker:
    """When to stop calling, and for how long.

    Trips when the last `window_s` hold at least `min_calls` counted calls of which `failure_ratio`
    failed or `slow_ratio` were slow, or after `consecutive` failures in a row (a process sees only
    its share of the traffic and may never reach `min_calls`). Judged whenever a bad outcome
    arrives. O(1) per call.

    Attributes:
        window_s: Length of the sliding window, seconds.
        buckets: Steps the window slides in.
        min_calls: Calls in the window below which ratios mean nothing.
        failure_ratio: Share of failed calls that trips, in (0, 1].
        slow_ratio: Share of slow calls that trips, in (0, 1].
        slow_share: A call is slow above this share of the policy's `attempt_s`; without `attempt_s`
            none is.
        consecutive: Failures in a row that trip.
        open_s: First open time, seconds; doubled after each failed probe.
        open_cap_s: Longest open time, seconds.
        jitter_ratio: Open times vary by this share, so that callers do not probe in step.
        probes_to_close: Good probes in a row that close.
        probe_limit_s: A probe older than this has failed, where the policy has no `attempt_s`.
        on: Which failures count, instead of `errors.is_counted_failure`.
    """

    window_s: float = 10.0
    buckets: int = 10
    min_calls: int = 20
    failure_ratio: float = 0.5
    slow_ratio: float = 0.8
    slow_share: float = 0.8
    consecutive: int = 5
    open_s: float = 1.0
    open_cap_s: float = 30.0
    jitter_ratio: float = 0.2
    probes_to_close: int = 2
    probe_limit_s: float = 10.0
    on: Callable[[Exception], bool] | None = None

    def counts(self, exc: BaseException) -> bool:
        """Whether the failure is evidence against the callee."""
        if not isinstance(exc, Exception):
            return False
        return is_counted_failure(exc) if self.on is None else self.on(exc)

    def build(self, attempt_s: float | None, runtime: Runtime, emitter: Emitter) -> "BreakerState":
        """A breaker of its own with this rule, closed."""
        return BreakerState(self, attempt_s, runtime, emitter)


class Phase(StrEnum):
    """What the breaker does with calls."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class _Window:
    """Counts of the last seconds, in a ring of buckets with running totals."""

    def __init__(self, config: Breaker) -> None:
        self._bucket_s = config.window_s / config.buckets
        self._ring = [[0, 0, 0] for _ in range(config.buckets)]
        self._epoch = -1  # before any time: a breaker may be built before its clock runs
        self._bucket, self._turns_at = self._ring[-1], -math.inf
        self.calls = self.failed = self.slow = 0

    def add(self, now: float, failed: bool, slow: bool) -> None:
        if now >= self._turns_at:
            self._turn(int(now // self._bucket_s))
        bucket = self._bucket
        bucket[0] += 1
        self.calls += 1
        if failed or slow:
            bucket[1] += failed
            bucket[2] += slow
            self.failed += failed
            self.slow += slow

    def _turn(self, epoch: int) -> None:
        size = len(self._ring)
        for step in range(1, min(epoch - self._epoch, size) + 1):
            bucket = self._ring[(self._epoch + step) % size]
            self.calls -= bucket[0]
            self.failed -= bucket[1]
            self.slow -= bucket[2]
            bucket[:] = 0, 0, 0
        self._epoch = epoch
        self._bucket, self._turns_at = self._ring[epoch % size], (epoch + 1) * self._bucket_s


class BreakerState:
    """The state machine of one destination: `admit` a call, then `record` or `ignore` its end.

    One per destination and event loop; not for several threads.

    Args:
        config: Thresholds.
        attempt_s: The policy's attempt timeout; what slow means and how long a probe may take
            follow from it.
        runtime: Clock and jitter.
        emitter: Told of every change.
    """

    def __init__(
        self, config: Breaker, attempt_s: float | None, runtime: Runtime, emitter: Emitter
    ) -> None:
        self.config = config
        self.attempt_s = attempt_s
        self._clock = runtime.clock
        self._random = runtime.random
        self._emitter = emitter
        # The machine. Written only by the methods below, none of which awaits, so each change is
        # atomic on the loop.
        self.phase = Phase.CLOSED
        self._generation = 0
        self._window = _Window(config)
        self._in_a_row = 0
        self._trips = 0
        self._open_until = 0.0
        self._good_probes = 0
        self._probe_began: float | None = None

    def admit(self) -> int:
        """Let a call through.

        Returns:
            The stamp to give back with its outcome.

        Raises:
            BreakerOpen: Not now; `retry_after_s` says when a probe is due.
        """
        if self.phase is Phase.CLOSED:
            return self._generation
        now = self._clock()
        if self.phase is Phase.OPEN:
            if now < self._open_until:
                raise self._refusal(self._open_until - now)
            self._become(Phase.HALF_OPEN)
            self._good_probes = 0
            self._emitter.emit("breaker_half_open")
        elif self._probe_began is not None:
            left_s = self._probe_began + self._probe_limit_s() - now
            if left_s >= 0:
                raise self._refusal(min(left_s, self.config.open_s))
            self._trip("probe_overdue", now)
            raise self._refusal(self._open_until - now)
        self._generation += 1  # each probe has a stamp of its own
        self._probe_began = now
        return self._generation

    def record(self, stamp: int, failed: bool, began_s: float) -> None:
        """Count the outcome of a call that began at `began_s` (the runtime's clock)."""
        if stamp != self._generation:
            return
        now = self._clock()
        slow = (
            self.attempt_s is not None and now - began_s > self.attempt_s * self.config.slow_share
        )
        if self.phase is Phase.HALF_OPEN:
            self._probed(now, good=not (failed or slow))
            return
        self._window.add(now, failed, slow)
        self._in_a_row = self._in_a_row + 1 if failed else 0
        if (failed or slow) and (reason := self._verdict()):
            self._trip(reason, now)

    def ignore(self, stamp: int) -> None:
        """A call ended without saying anything about the callee: a probe gives its slot back."""
        if stamp == self._generation:
            self._probe_began = None

    def snapshot(self) -> dict[str, object]:
        """Phase, counts of the window, and seconds until a probe is due (0 unless open)."""
        return {
            "phase": self.phase.value,
            "calls": self._window.calls,
            "failed": self._window.failed,
            "slow": self._window.slow,
            "retry_after_s": (
                max(0.0, self._open_until - self._clock()) if self.phase is Phase.OPEN else 0.0
            ),
        }

    def _verdict(self) -> str | None:
        config, window = self.config, self._window
        if self._in_a_row >= config.consecutive:
            return "consecutive"
        if window.calls < config.min_calls:
            return None
        if window.failed >= config.failure_ratio * window.calls:
            return "ratio"
        return "slow" if window.slow >= config.slow_ratio * window.calls else None

    def _probed(self, now: float, *, good: bool) -> None:
        self._probe_began = None
        if not good:
            self._trip("probe", now)
            return
        self._good_probes += 1
        if self._good_probes >= self.config.probes_to_close:
            self._become(Phase.CLOSED)
            self._window = _Window(self.config)
            self._in_a_row = self._trips = 0
            self._emitter.emit("breaker_closed")

    def _trip(self, reason: str, now: float) -> None:
        config = self.config
        open_s = min(config.open_cap_s, config.open_s * 2.0 ** min(self._trips, 62))
        open_s *= 1.0 + config.jitter_ratio * (2.0 * self._random() - 1.0)
        self._trips += 1
        self._open_until = now + open_s
        self._become(Phase.OPEN)
        window = self._window
        self._emitter.emit(
            "breaker_opened",
            reason=reason,
            open_s=open_s,
            calls=window.calls,
            failed=window.failed,
            slow=window.slow,
        )

    def _become(self, phase: Phase) -> None:
        self.phase = phase
        self._generation += 1
        self._probe_began = None

    def _probe_limit_s(self) -> float:
        return self.config.probe_limit_s if self.attempt_s is None else self.attempt_s

    def _refusal(self, retry_after_s: float) -> BreakerOpen:
        self._emitter.emit("rejected", reason="open", retry_after_s=retry_after_s)
        return BreakerOpen(f"{self._emitter.name} keeps failing", retry_after_s=retry_after_s)


def guarded(state: BreakerState, runtime: Runtime) -> Wrap:
    """Layer that asks the breaker before each attempt and tells it the outcome."""
    clock = runtime.clock
    counts = state.config.counts

    def wrap(proceed: Layer) -> Layer:
        async def careful(fn: Call) -> Any:
            stamp = state.admit()
            began_s = clock()
            try:
                result = await proceed(fn)
            except BaseException as exc:
                if counts(exc):
                    state.record(stamp, True, began_s)
                else:
                    state.ignore(stamp)
                raise
            state.record(stamp, False, began_s)
            return result

        return careful

    return wrap
