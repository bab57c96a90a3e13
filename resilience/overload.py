"""How a server notices that it is overloaded, and whom it turns away then: the state behind a `Queue`.

* `Standing`: CoDel's one question, whether something has been waiting without a break for too long.
* `Heartbeat`: how late the event loop is, which is part of every asyncio server's queue.
* `Thinning`: which arrivals are not worth their place, by priority level and a moving threshold.

Not here: the queue itself (`queue.py`).
"""

import asyncio
from collections import deque
from collections.abc import Callable

from resilience.runtime import Runtime


class Standing:
    """CoDel's state: since when there has been something to wait for without a break.

    Args:
        target_s: How long somebody may wait while the queue is standing, seconds.
        interval_s: After how long without a break it is standing, seconds.
        late_s: A loop that is later than this counts as something to wait for, seconds.
    """

    def __init__(self, target_s: float, interval_s: float, late_s: float) -> None:
        self._target_s = target_s
        self._interval_s = interval_s
        self._late_s = late_s
        self._clear_at = 0.0
        self._turned_away_at = float("-inf")
        # How late the loop is: the smaller of the last two beats, so that one hiccup is none.
        self.lag_s = 0.0

    @property
    def lagging(self) -> bool:
        """Whether the event loop is late enough to count as a queue."""
        return self.lag_s > self._late_s

    def empty(self, now: float) -> None:
        """Nobody waits now, which is no news while others are turned away at the door."""
        if not self.lagging and now - self._turned_away_at > self._interval_s:
            self._clear_at = now

    def turned_away(self, now: float) -> None:
        """Somebody found no place in the queue."""
        self._turned_away_at = now

    def holds(self, now: float) -> bool:
        """Whether the queue is standing."""
        return now - self._clear_at > self._interval_s

    def patience_s(self, now: float) -> float:
        """How long somebody who comes now may wait, seconds."""
        return self._target_s if self.holds(now) else self._interval_s


class Heartbeat:
    """Measures how late the event loop is, as long as there is something inside.

    A timer that sets itself again only while `busy()`: an idle server has none.
    """

    def __init__(
        self, beat_s: float, standing: Standing, runtime: Runtime, busy: Callable[[], int]
    ) -> None:
        self._beat_s = beat_s
        self._standing = standing
        self._clock = runtime.clock
        self._busy = busy
        self._timer: asyncio.TimerHandle | None = None
        self._due_at = 0.0
        self._late_s = 0.0

    def start(self) -> None:
        """Beat, if it does not yet."""
        if self._timer is None:
            self._due_at = self._clock() + self._beat_s
            self._timer = asyncio.get_running_loop().call_later(self._beat_s, self._beat)

    def _beat(self) -> None:
        late_s = max(0.0, self._clock() - self._due_at)
        self._standing.lag_s = min(late_s, self._late_s)
        self._late_s = late_s
        self._timer = None
        if self._busy():
            self.start()
        else:
            self._standing.lag_s = self._late_s = 0.0


class Thinning:
    """Turns away, least important first, the share of arrivals that would be refused anyway.

    Per interval of at least `interval_s` and 20 arrivals: if some were refused blindly, or the
    loop lags, the share becomes what was refused in all, blindly or not, and 0.1 more for a lag;
    else a fifth of it is forgotten. The threshold is that quantile of the last 200 levels.
    """

    _ENOUGH = 20
    _MOST = 0.95

    def __init__(self, interval_s: float, standing: Standing) -> None:
        self._interval_s = interval_s
        self._standing = standing
        self._levels: deque[float] = deque(maxlen=200)
        self.threshold = 0.0
        self._share = 0.0
        # The interval that is being filled.
        self._ends_at = 0.0
        self._arrived = self._thinned = self._refused = 0

    def admits(self, level: float, now: float, *, spare: bool) -> bool:
        """Whether somebody of this level may come in; counts the arrival.

        Args:
            level: Drawn at random within the priority class.
            now: The time, seconds.
            spare: There is room without waiting; then nobody has to go.
        """
        if now >= self._ends_at and self._arrived >= self._ENOUGH:
            self._move(now)
        self._arrived += 1
        self._levels.append(level)
        if spare or level >= self.threshold:
            return True
        self._thinned += 1
        return False

    def refused(self) -> None:
        """Somebody who was admitted was refused all the same."""
        self._refused += 1

    def _move(self, now: float) -> None:
        lagging = self._standing.lagging and self._standing.holds(now)
        if self._refused or lagging:
            measured = (self._refused + self._thinned) / self._arrived + 0.1 * lagging
            self._share = min(self._MOST, measured)
        else:
            self._share = 0.8 * self._share if self._share > 0.01 else 0.0
        self.threshold = self._quantile(self._share) if self._share else 0.0
        self._ends_at = now + self._interval_s
        self._arrived = self._thinned = self._refused = 0

    def _quantile(self, share: float) -> float:
        return sorted(self._levels)[int(share * len(self._levels))]
