"""The Shield's queue: who waits for a slot, for how long, who goes first, and who is not let in.

Three rules share one idea, that a queue which does not empty is not a buffer but a delay:

* **Time.** Whoever comes may wait `interval_s`; once the queue has been *standing* (not empty for
  longer than `interval_s`) only `target_s`. So bursts are absorbed and overload is shed early.
* **Order.** First come, first served; while the queue is standing last come, first served: the
  newest has the most time left. Higher priority classes always go first.
* **Thinning.** With priorities, the share of arrivals that could not be served lately is turned
  away at the door, by level: class 3 is levels 3.0 to 4.0, drawn at random, and who is below a
  moving threshold goes, unless there is a free slot. So a class is thinned, not cut, and before the
  next higher one is touched.

Part of every asyncio server's queue is the event loop itself. A heartbeat measures how late it is;
a loop that stays late counts as a queue that is not empty, and thins too.

Invariants: while somebody waits there is no free slot; a slot given to somebody who is gone is given
back; no waiter outlives its time, its caller's deadline, or its task. Timers are the event loop's,
times are `Runtime.clock`'s; no task is started.

Sources: Maurer, "Fail at Scale" (ACM Queue 2015), CoDel with M = 5 ms, N = 100 ms and adaptive LIFO;
the idea of levels and a threshold from failsafe-go `priority/`.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Literal

from resilience.deadline import ends_at
from resilience.limit import Limiter, Outcome
from resilience.overload import Heartbeat, Standing, Thinning
from resilience.runtime import Runtime

Reason = Literal["full", "waited", "thinned", "deadline"]
"""Why somebody was not let in: no place, no slot in time, not important enough, too late."""

CLASSES: Final = 10
"""Priorities go from 0 (the first to be shed) up to, not including, this."""


@dataclass(frozen=True)
class Queue:
    """A waiting room in front of a limit, bounded by time, and by length as a last resort.

    Attributes:
        target_s: How long a newcomer may wait while the queue is standing, seconds, > 0. For slow
            services make it about a tenth of a usual request.
        interval_s: How long a newcomer may wait otherwise, and how long the queue may be not empty
            before it counts as standing, seconds, >= target_s.
        length: At most so many wait, >= 1; one more is refused, or takes the place of somebody of
            a lower class.
        beat_s: How often the lag of the event loop is measured while requests are inside, seconds,
            > 0. A loop that is later than two beats counts as a queue that is not empty.
    """

    target_s: float = 0.005
    interval_s: float = 0.1
    length: int = 500
    beat_s: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.target_s <= self.interval_s:
            raise ValueError("0 < target_s <= interval_s does not hold")
        if self.length < 1:
            raise ValueError("a queue has room for at least one")
        if self.beat_s <= 0:
            raise ValueError("beat_s is a positive number of seconds")


class _Waiter:
    """Somebody in the queue. `verdict` becomes the ticket, or why there is none."""

    __slots__ = ("came_at", "deadline_at", "patience_s", "verdict")

    def __init__(self, came_at: float, patience_s: float) -> None:
        self.came_at = came_at
        self.patience_s = patience_s
        self.deadline_at = ends_at()
        self.verdict: asyncio.Future[int | Reason] = asyncio.get_running_loop().create_future()


class WaitingRoom:
    """A queue at work, in front of one limiter. One per event loop; O(1) per request.

    Args:
        config: Its bounds.
        limiter: Whose slots are waited for; nobody else may take any.
        runtime: Time.
        ranked: Whether levels mean something; if not, only a lag of the loop thins.
    """

    def __init__(
        self, config: Queue, limiter: Limiter, runtime: Runtime, *, ranked: bool = False
    ) -> None:
        self._config = config
        self._limiter = limiter
        self._clock = runtime.clock
        self._ranked = ranked
        self._standing = Standing(config.target_s, config.interval_s, late_s=2 * config.beat_s)
        self._thinning = Thinning(config.interval_s, self._standing)
        self._heart = Heartbeat(config.beat_s, self._standing, runtime, self._inside)
        # Written by `_wait`, `_pop` and `_drop` only.
        self._lanes: list[OrderedDict[_Waiter, None]] = [OrderedDict() for _ in range(CLASSES)]
        self.length = 0

    @property
    def lag_s(self) -> float:
        """How late the event loop is, seconds; 0 when idle."""
        return self._standing.lag_s

    @property
    def threshold(self) -> float:
        """The lowest level that is let in now."""
        return self._thinning.threshold

    def refusal(self, level: float, coming: int) -> Reason | None:
        """Why somebody is not worth the work of letting them in to wait; None if they are.

        While the queue is standing, one of each class who waits is enough: the slots never stay
        free, and who comes after that one would mostly wait in vain.

        Args:
            level: In [0, CLASSES); its whole part is the priority class.
            coming: How many were found worth it, but have not entered yet.
        """
        now = self._clock()
        reason = self._thinned(level, now, coming)
        excess = self._limiter.in_flight + coming - self._limiter.limit
        if reason is not None or (excess < 0 and not self.length):
            return reason
        ahead = max(0, excess) + sum(len(lane) for lane in self._lanes[int(level) :])
        if ahead < (1 if self._standing.holds(now) else self._config.length):
            return None
        self._standing.turned_away(now)
        if self._ranked:
            self._thinning.refused()
        return "full"

    async def enter(self, level: float, *, is_admitted: bool = False) -> int | Reason:
        """A ticket for `Limiter.release`, at once or after a wait, or why there is none.

        Args:
            level: In [0, CLASSES); its whole part is the priority class.
            is_admitted: `refusal` had nothing against it.
        """
        now = self._clock()
        reason = None if is_admitted else self._thinned(level, now, 0)
        if reason is not None:
            return reason
        if not self.length and self._limiter.in_flight < self._limiter.limit:
            return await self._limiter.acquire()
        verdict = await self._wait(int(level), now)
        if self._ranked and verdict in ("full", "waited"):
            self._thinning.refused()
        return verdict

    def _thinned(self, level: float, now: float, coming: int) -> Reason | None:
        """Count an arrival; whether it has to go so that more important ones need not."""
        self._heart.start()
        if not self.length:
            self._standing.empty(now)
        free = not self.length and self._limiter.in_flight + coming < self._limiter.limit
        spare = free and not self._standing.lagging
        return None if self._thinning.admits(level, now, spare=spare) else "thinned"

    async def let_in(self) -> None:
        """Give free slots to those who wait; after each release. Never suspends."""
        now = self._clock()
        while self.length and self._limiter.in_flight < self._limiter.limit:
            waiter = self._pop(now)
            reason = self._too_late(waiter, now)
            if not waiter.verdict.done():
                waiter.verdict.set_result(reason or await self._limiter.acquire())

    async def _wait(self, lane: int, now: float) -> int | Reason:
        if self.length >= self._config.length and not self._evict_below(lane):
            return "full"
        waiter = _Waiter(now, self._standing.patience_s(now))
        self._lanes[lane][waiter] = None
        self.length += 1
        loop = asyncio.get_running_loop()
        wait_s = waiter.patience_s
        if waiter.deadline_at is not None:
            wait_s = min(wait_s, waiter.deadline_at - loop.time())
        timer = loop.call_later(wait_s, self._give_up, lane, waiter)
        try:
            return await waiter.verdict
        except asyncio.CancelledError:
            self._drop(lane, waiter)
            await self._give_back(waiter)
            raise
        finally:
            timer.cancel()

    def _pop(self, now: float) -> _Waiter:
        lane = next(lane for lane in reversed(self._lanes) if lane)
        waiter, _ = lane.popitem(last=self._standing.holds(now))
        self._left()
        return waiter

    def _drop(self, lane: int, waiter: _Waiter) -> None:
        if waiter in self._lanes[lane]:
            del self._lanes[lane][waiter]
            self._left()

    def _left(self) -> None:
        self.length -= 1
        if not self.length:
            self._standing.empty(self._clock())

    def _too_late(self, waiter: _Waiter, now: float) -> Reason | None:
        deadline_at = waiter.deadline_at
        if deadline_at is not None and deadline_at <= asyncio.get_running_loop().time():
            return "deadline"
        return "waited" if now - waiter.came_at > waiter.patience_s else None

    def _give_up(self, lane: int, waiter: _Waiter) -> None:
        self._drop(lane, waiter)
        if not waiter.verdict.done():
            waiter.verdict.set_result(self._too_late(waiter, self._clock()) or "waited")

    def _evict_below(self, lane: int) -> bool:
        """Refuse the oldest of the lowest class, if that is below `lane`."""
        lowest = next(number for number in range(CLASSES) if self._lanes[number])
        if lowest >= lane:
            return False
        waiter = next(iter(self._lanes[lowest]))
        self._drop(lowest, waiter)
        if not waiter.verdict.done():
            waiter.verdict.set_result("full")
        return True

    async def _give_back(self, waiter: _Waiter) -> None:
        """The slot of somebody who was let in but is gone."""
        verdict = waiter.verdict
        ticket = verdict.result() if verdict.done() and not verdict.cancelled() else None
        if isinstance(ticket, int):
            self._limiter.release(ticket, 0.0, Outcome.SILENT)
            await self.let_in()

    def _inside(self) -> int:
        return self._limiter.in_flight + self.length
