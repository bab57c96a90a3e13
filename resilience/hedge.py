"""Hedge: a second attempt beside a slow first one; the first good answer wins.

For reads only, since both attempts may be carried out. Cuts the tail of a callee that is slow now
and then; it cannot help one that is slow throughout, and the quota keeps it from making that worse.

Invariants: at most one extra attempt per try; the loser is cancelled and awaited, so it holds no
slot and no connection once the call has returned; a cancellation of the call ends both.

Not here: retries after failures (`retry.py`), which address a hedge goes to (`balance.py`: another
one). The delay runs on the loop's timers, like the attempt timeout. Sources: Dean and Barroso, "The
Tail at Scale" (2013); paying from the retry budget as in Finagle's `BackupRequestFilter`.
"""

import asyncio
import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from resilience.errors import never_sent
from resilience.events import Emitter
from resilience.layer import Call, Layer, Wrap
from resilience.quota import Quota, QuotaBucket
from resilience.runtime import Runtime

READS: Final = frozenset({"GET", "HEAD"})
"""Methods whose requests are hedged (RFC 9110, 9.2.1: safe). Others are made once, as ever."""


@dataclass(frozen=True)
class Hedge:
    """When to send a second attempt. Giving one to `Policy.call` says that the work is a read.

    Attributes:
        after_s: Seconds after which the second attempt goes out; None: learned from successes.
        quantile: Share of recent successes that were faster than the learned delay, in (0, 1).
        min_after_s: The learned delay is never shorter, seconds.
        min_calls: Successes to learn from before the first hedge.
        window: Latest successes that are remembered, >= min_calls.
        cost: Tokens of the retry quota for a hedge, never refunded. A success earns one, so 20
            means at most 5 % extra calls in the long run. Hedges leave retries half of the quota.
            A policy whose retry has no quota hedges from one of its own.
    """

    after_s: float | None = None
    quantile: float = 0.95
    min_after_s: float = 0.05
    min_calls: int = 20
    window: int = 100
    cost: float = 20.0

    def __post_init__(self) -> None:
        if self.after_s is not None and self.after_s <= 0:
            raise ValueError("after_s is a positive number of seconds")
        if not 0 < self.quantile < 1:
            raise ValueError("a quantile is between 0 and 1")
        if not 1 <= self.min_calls <= self.window:
            raise ValueError("1 <= min_calls <= window does not hold")

    def build(self, quota: QuotaBucket | None) -> "HedgeState":
        """State of its own, paying from `quota`, or from a bucket of its own that it also fills."""
        return HedgeState(self, quota)


class HedgeState:
    """What is known of one destination's latencies, and the purse. One per event loop."""

    def __init__(self, config: Hedge, quota: QuotaBucket | None) -> None:
        self._config = config
        self._earns = quota is None  # else the retry layer fills it
        self._quota = Quota().build() if quota is None else quota
        # The latest durations, in order of arrival and of size.
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []

    def after_s(self) -> float | None:
        """How long to wait for the first attempt, seconds; None while still learning."""
        config = self._config
        if config.after_s is not None:
            return config.after_s
        known = len(self._sorted)
        if known < config.min_calls:
            return None
        return max(config.min_after_s, self._sorted[math.ceil(config.quantile * known) - 1])

    def took(self, duration_s: float) -> None:
        """Remember how long an attempt took. O(log n), n is at most `Hedge.window`."""
        if len(self._recent) == self._config.window:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]
        self._recent.append(duration_s)
        insort(self._sorted, duration_s)

    def pay(self) -> bool:
        """Pay for a hedge if half of the quota remains."""
        return self._quota.withdraw(self._config.cost, keep=self._quota.capacity / 2)

    def earn(self) -> None:
        """A call succeeded."""
        if self._earns:
            self._quota.deposit(1.0)


class _Race:
    """One try: an attempt and, if that is slow, another one."""

    def __init__(
        self, proceed: Layer, fn: Call, state: HedgeState, runtime: Runtime, emitter: Emitter
    ) -> None:
        self._proceed = proceed
        self._fn = fn
        self._state = state
        self._clock = runtime.clock
        self._emitter = emitter
        self._runners: list[asyncio.Task[Any]] = []

    async def run(self, after_s: float) -> Any:
        began_s = self._clock()
        try:
            self._start()
            done, _ = await asyncio.wait(self._runners, timeout=after_s)
            if not done:
                self._start_another(after_s)
            winner = await self._first_good()
            if winner is not self._runners[0]:
                # It would have taken longer still; leaving it out would make the delay shrink.
                self._state.took(self._clock() - began_s)
                self._emitter.emit("hedge_won")
            return winner.result()
        finally:
            await _dismiss(self._runners)

    def _start(self) -> None:
        attempt = _timed(self._proceed, self._fn, self._state, self._clock)
        self._runners.append(asyncio.get_running_loop().create_task(attempt))

    def _start_another(self, after_s: float) -> None:
        if self._state.pay():
            self._emitter.emit("hedge", after_s=after_s)
            self._start()
        else:
            self._emitter.emit("hedge_skipped", reason="quota")

    async def _first_good(self) -> asyncio.Task[Any]:
        """The first attempt that succeeds. Raises as `_verdict` says if none does."""
        while running := [runner for runner in self._runners if not runner.done()]:
            if winner := self._winner():
                return winner
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        if winner := self._winner():
            return winner
        raise self._verdict()

    def _winner(self) -> asyncio.Task[Any] | None:
        for runner in self._runners:
            if runner.done() and (runner.cancelled() or runner.exception() is None):
                return runner
        return None

    def _verdict(self) -> BaseException:
        """Of two failures the one that claims less: an unknown outcome before "never sent"."""
        failures = [exc for runner in self._runners if (exc := runner.exception()) is not None]
        return next((exc for exc in failures if not never_sent(exc)), failures[0])


async def _timed(proceed: Layer, fn: Call, state: HedgeState, clock: Callable[[], float]) -> Any:
    began_s = clock()
    result = await proceed(fn)
    state.took(clock() - began_s)
    state.earn()
    return result


async def _dismiss(runners: list[asyncio.Task[Any]]) -> None:
    """Cancel what still runs and see it end, even if we are cancelled ourselves meanwhile."""
    cancelled: asyncio.CancelledError | None = None
    while running := [runner for runner in runners if not runner.done()]:
        for runner in running:
            runner.cancel()
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as exc:
            cancelled = exc
    for runner in runners:
        if not runner.cancelled():
            runner.exception()  # seen: asyncio need not complain about it
    if cancelled is not None:
        raise cancelled


def hedged(hedge: HedgeState, runtime: Runtime, emitter: Emitter) -> Wrap:
    """Layer that hedges reads. Costs two task switches per read, nothing for other requests."""

    def wrap(proceed: Layer) -> Layer:
        async def doubled(fn: Call) -> Any:
            request = getattr(fn, "request", None)
            if request is not None and request.method not in READS:
                return await proceed(fn)
            after_s = hedge.after_s()
            if after_s is None:
                return await _timed(proceed, fn, hedge, runtime.clock)
            return await _Race(proceed, fn, hedge, runtime, emitter).run(after_s)

        return doubled

    return wrap
