"""What goes to one callee, as the last seconds saw it: calls, attempts, success, speed, and what its breakers do.

A *call* is what a caller wanted; it makes one *attempt* or, with retries, more. How often calls end well is the
*effective* success, how often attempts do the *actual* one: retries are what lies between the two.

Plain counters in a ring of buckets, and the last durations: every call of every service passes here. The durations of
attempts are also counted for ever; `chassis.telemetry` makes a histogram of them when it is scraped. Not here: who
asks (`/readyz?verbose=1`, for the gateway's live stream).
"""

import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from resilience import Event

WINDOW_S: Final = 10
"""How far back everything looks, seconds; up to a bucket less, so that nothing changes while nothing happens."""

DURATIONS: Final = 512
"""So many of the last durations are kept for percentiles."""

BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Upper bounds of the durations of attempts, seconds: those that the semantic conventions advise."""

WHY: Final[Mapping[object, str]] = {
    "consecutive": "consecutive_failures",
    "ratio": "failure_ratio",
    "slow": "slow_ratio",
    "probe": "probe_failed",
    "probe_overdue": "probe_overdue",
}
"""What opened a breaker, by the reason in its event: stable words for people's eyes."""

_PER_S: Final = 2  # buckets in a second: as often as the live stream looks
_SIZE: Final = WINDOW_S * _PER_S
_PHASES: Final = ("closed", "half_open", "open")
_CALLS, _GOOD, _ATTEMPTS, _GOOD_ATTEMPTS = range(4)


class Traffic:
    """Counters of one callee. One event loop; every method is O(1) but `picture`.

    Args:
        clock: Monotonic seconds.

    Attributes:
        in_flight: Calls that have begun and not ended.
        attempts: Since the start, by status or (where no answer came) class of the error: how many in each of
            `BUCKETS_S` and above, and the sum of their seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.in_flight = 0
        self._clock = clock
        # By number modulo the size; `_last` is the number of the one that is running.
        self._ring = [[0, 0, 0, 0] for _ in range(_SIZE)]
        self._last = -1
        # The last durations and when each ended, written round and round.
        self._took_s, self._ended_s = _doubles(0.0), _doubles(-math.inf)
        self._next = 0
        # When each policy was last asked for something, by name.
        self._used_s: dict[str, float] = {}
        # Why each open breaker opened, by name of its policy and host.
        self._why: dict[tuple[str, object], str] = {}
        # For ever, by status or, where there was none, class of the error: attempts by bucket, and their seconds.
        self.attempts: dict[object, tuple[list[int], list[float]]] = {}

    def began(self) -> float:
        """A call begins; give what this returns back to `ended`."""
        self.in_flight += 1
        return self._clock()

    def ended(self, began_s: float, *, well: bool) -> None:
        """A call that began at `began_s` has ended: well, if it was decided by the callee."""
        now_s, at = self._clock(), self._next
        self.in_flight -= 1
        bucket = self._bucket(now_s)
        bucket[_CALLS] += 1
        bucket[_GOOD] += well
        self._took_s[at] = now_s - began_s
        self._ended_s[at] = now_s
        self._next = at + 1 if at + 1 < DURATIONS else 0

    def left(self) -> None:
        """A call's caller did not wait for its end: that says nothing about the callee."""
        self.in_flight -= 1

    def on_event(self, event: Event) -> None:
        """Listener of the policies on the way to the callee."""
        if event.kind == "attempt":
            self._used_s[event.name] = event.at
            outcome = event.detail["outcome"]
            if outcome != "cancelled":
                bucket = self._bucket(event.at)
                bucket[_ATTEMPTS] += 1
                bucket[_GOOD_ATTEMPTS] += outcome == "ok"
                self._time(event.detail)
        elif event.kind == "rejected":
            self._used_s[event.name] = event.at
        elif event.kind == "breaker_opened":
            reason = event.detail["reason"]
            self._why[event.name, event.detail.get("host")] = WHY.get(reason, str(reason))
        elif event.kind == "breaker_closed":
            self._why.pop((event.name, event.detail.get("host")), None)

    def picture(
        self, policies: Mapping[str, Mapping[str, Any]], *, has_breaker: bool
    ) -> dict[str, Any]:
        """How it goes, rounded so that an idle edge always looks the same.

        Args:
            policies: Live states of the policies on the way (`ResilientTransport.snapshot`), by name.
            has_breaker: Whether any of them has a breaker; one that was never called has no state yet.

        Returns:
            `phase` of the breaker that is worst off (None without one) among those that were asked lately, or else
            last: one that opened in bad times and that nobody has needed since says nothing about now; `retry_after_s`
            until its probe (None unless it is open) and `why` it opened (None if it is closed); `in_flight`; `per_s`
            and `attempts_per_s`; `effective` and `actual`, shares from 0 to 1; `p50_ms` and `p95_ms` of calls. None
            where nothing was called lately.
        """
        self._bucket(self._clock())  # what is too old is gone
        calls, good, attempts, good_attempts = map(sum, zip(*self._ring, strict=True))
        return {
            **self._worst(policies, has_breaker=has_breaker),
            "in_flight": self.in_flight,
            "per_s": round(calls / WINDOW_S, 1),
            "attempts_per_s": round(attempts / WINDOW_S, 1),
            "effective": _share(good, calls),
            "actual": _share(good_attempts, attempts),
            **self._percentiles(),
        }

    def _time(self, attempt: Mapping[str, Any]) -> None:
        # What is not HTTP and went well has neither.
        ended = attempt["status"] or attempt.get("error", "")
        timed = self.attempts.get(ended)
        if timed is None:
            timed = self.attempts[ended] = [0] * (len(BUCKETS_S) + 1), [0.0]
        took_s = attempt["duration_s"]
        timed[0][bisect_left(BUCKETS_S, took_s)] += 1
        timed[1][0] += took_s

    def _bucket(self, now_s: float) -> list[int]:
        number = int(now_s * _PER_S)
        if number > self._last:
            for step in range(min(number - self._last, _SIZE)):
                self._ring[(number - step) % _SIZE][:] = (0, 0, 0, 0)
            self._last = number
        return self._ring[number % _SIZE]

    def _percentiles(self) -> dict[str, float | None]:
        since_s = (self._last - _SIZE + 1) / _PER_S
        recent = sorted(
            took_s
            for took_s, ended_s in zip(self._took_s, self._ended_s, strict=True)
            if ended_s >= since_s
        )
        return {"p50_ms": _rank_ms(recent, 0.5), "p95_ms": _rank_ms(recent, 0.95)}

    def _worst(
        self, policies: Mapping[str, Mapping[str, Any]], *, has_breaker: bool
    ) -> dict[str, Any]:
        phase, wait_s, why = "closed" if has_breaker else None, None, None
        last_s = max((self._used_s.get(name, 0.0) for name in policies), default=0.0)
        since_s = min(last_s, (self._last - _SIZE + 1) / _PER_S)
        for name, hosts in policies.items():
            for host, breaker in _breakers(hosts) if self._used_s.get(name, 0.0) >= since_s else ():
                found = str(breaker["phase"])
                rank = _PHASES.index(found)
                left_s = round(float(breaker["retry_after_s"]), 1) if found == "open" else 0.0
                worst = (_PHASES.index(phase or "closed"), wait_s or 0.0)
                if rank and (rank, left_s) >= worst:
                    phase, wait_s, why = found, left_s, self._why.get((name, host))
        return {"phase": phase, "retry_after_s": wait_s if phase == "open" else None, "why": why}


def _breakers(hosts: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every breaker in a transport's live state, with its host."""
    for host, state in hosts.items():
        if "breaker" in state:
            yield host, state["breaker"]
        yield from _breakers(state.get("hosts", {}))


def _doubles(value: float) -> "array[float]":
    return array("d", [value]) * DURATIONS


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 3) if whole else None


def _rank_ms(ordered_s: list[float], share: float) -> float | None:
    """Nearest-rank percentile, milliseconds, to two digits; None of nothing."""
    if not ordered_s:
        return None
    value_ms = ordered_s[max(1, math.ceil(share * len(ordered_s))) - 1] * 1000
    return round(value_ms, 1) if value_ms < 10 else float(f"{value_ms:.2g}")
