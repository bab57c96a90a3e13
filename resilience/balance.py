"""Balance: several addresses of one upstream, and which of them gets the next attempt.

Two addresses are drawn at random and the one with the lower load is taken (power of two choices);
load is (attempts in flight + 1) * moving average of latency. An address that keeps failing is
ejected for a while. Breaker and limit are per address, inside this layer.

Invariants:
- An address that cannot be connected to, or whose breaker or limit refuses, is passed over within
  the attempt: nothing was sent there, so trying the next address costs no retry and no quota.
- A retry or hedge goes to an address that the call has not tried, as long as there is one.
- When every address is ejected, all are used: a wrong verdict must never stop the traffic.
- Outcomes of attempts that began before an ejection neither prolong nor end it.

Not here: discovery. The addresses are given. Sources: Mitzenmacher, "The Power of Two Choices"
(2001); time-weighted average as in Finagle's `PeakEwma`; a fast refusal counts as slow as in
Linkerd's load biaser; ejection as in gRPC A50 and Envoy's outlier detection.
"""

import asyncio
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from resilience.errors import (
    DeadlineExceeded,
    FailedResponse,
    Rejected,
    is_counted_failure,
    is_unreachable,
)
from resilience.events import Emitter
from resilience.layer import Call, Layer
from resilience.runtime import Runtime


@dataclass(frozen=True)
class Balance:
    """How attempts are spread over the addresses of one upstream.

    Attributes:
        consecutive: Counted failures in a row that eject an address.
        eject_s: It stays out this long, times the number of its ejections, seconds. One ejection is
            forgotten for each `eject_s` in good standing.
        eject_cap_s: Longest ejection, seconds.
        unreachable_s: It stays out this long when no connection comes about, doubled each time up
            to `eject_s`, seconds.
        penalty_s: A failure or refusal counts as an answer at least this slow, seconds.
        weight: Weight of the newest answer in the average latency, in (0, 1].
        forget_s: Time constant with which the average fades, so that a slow address is tried again,
            seconds.
    """

    consecutive: int = 5
    eject_s: float = 30.0
    eject_cap_s: float = 300.0
    unreachable_s: float = 1.0
    penalty_s: float = 5.0
    weight: float = 0.1
    forget_s: float = 2.0


class Routed(Protocol):
    """A call that can be made at any of several addresses.

    Attributes:
        tried: Addresses of its attempts so far, written by the balancer.
    """

    tried: list[str]

    def at(self, address: str) -> Call:
        """The same call, at this address."""

    def is_refusal(self, result: Any) -> bool:
        """Whether the result, though not a failure, says that the address has too much to do."""


class Endpoint:
    """One address: what is known of its load and health. Written by the balancer only.

    Attributes:
        address: Its name.
        pending: Attempts in flight.
        latency_s: Moving average when it was last updated; None before the first answer.
        ejected_until: On the runtime's clock; in the past unless ejected.
    """

    def __init__(self, address: str, config: Balance) -> None:
        self.address = address
        self._config = config
        self.pending = 0
        self.latency_s: float | None = None
        self.ejected_until = 0.0
        self._updated_at = 0.0
        self._ejected_at = -math.inf
        self._is_out = False
        self._times = 0
        self._unreachable = 0
        self._failed = 0

    def load(self, now: float) -> float:
        """What the lower of two is taken of. Unknown latency: free until somebody waits for it."""
        if self.latency_s is None:
            return self.pending * self._config.penalty_s
        faded = math.exp((self._updated_at - now) / self._config.forget_s)
        return (self.pending + 1) * self.latency_s * faded

    def answered(self, now: float, duration_s: float) -> None:
        """Move the average towards one more answer."""
        if self.latency_s is None:
            self.latency_s = duration_s
        else:
            faded = math.exp((self._updated_at - now) / self._config.forget_s)
            keep = min(1 - self._config.weight, faded)
            self.latency_s = self.latency_s * keep + duration_s * (1 - keep)
        self._updated_at = now

    def succeeded(self, now: float, began_s: float) -> bool:
        """An attempt ended well. Returns whether that ended an ejection."""
        if began_s <= self._ejected_at:
            return False
        self._failed = self._unreachable = 0
        was_out, self._is_out = self._is_out, False
        self.ejected_until = min(self.ejected_until, now)
        return was_out

    def failed(self, now: float, began_s: float) -> float | None:
        """A counted failure. Returns for how long the address is ejected, if it now is."""
        if began_s <= self._ejected_at:
            return None
        self._failed += 1
        if self._failed < self._config.consecutive:
            return None
        config = self._config
        good_s = max(0.0, now - self.ejected_until)
        self._times = max(0, self._times - int(good_s / config.eject_s)) + 1
        return self._eject(min(config.eject_cap_s, config.eject_s * self._times), now)

    def unreachable(self, now: float, began_s: float) -> float | None:
        """No connection came about. Returns for how long the address is ejected, if it now is."""
        if began_s <= self._ejected_at:
            return None
        out_s = self._config.unreachable_s * 2.0 ** min(self._unreachable, 62)
        self._unreachable += 1
        return self._eject(min(self._config.eject_s, out_s), now)

    def _eject(self, seconds: float, now: float) -> float:
        self._failed = 0
        self._is_out = True
        self._ejected_at = now
        self.ejected_until = now + seconds
        return seconds


class Balancer:
    """The layer itself: picks an endpoint per attempt and learns from the outcome.

    Args:
        config: The rules, the endpoints' too.
        endpoints: All addresses; at least one.
        attempts: The layers around one attempt, by address.
        runtime: Clock and chance.
        emitter: Told of ejections and returns.
    """

    def __init__(
        self,
        config: Balance,
        endpoints: Sequence[Endpoint],
        attempts: Mapping[str, Layer],
        runtime: Runtime,
        emitter: Emitter,
    ) -> None:
        self.endpoints = tuple(endpoints)
        self._attempts = attempts
        self._penalty_s = config.penalty_s
        self._clock = runtime.clock
        self._random = runtime.random
        self._emitter = emitter

    async def call(self, fn: Call) -> Any:
        """Make one attempt, at the first picked address that lets it out.

        Raises:
            Rejected: Every address refused here; the one with the shortest wait.
            Exception: What the attempt raised.
        """
        routed = cast("Routed", fn)
        refused: dict[str, Exception] = {}
        while True:
            endpoint = self.pick(routed.tried, refused)
            if endpoint is None:
                raise _verdict(list(refused.values()))
            routed.tried.append(endpoint.address)
            try:
                return await self._attempt(endpoint, routed)
            except Exception as exc:
                if not (isinstance(exc, Rejected) or is_unreachable(exc)):
                    raise
                refused[endpoint.address] = exc

    def pick(self, tried: Sequence[str], refused: Collection[str]) -> Endpoint | None:
        """An address for the next attempt, None when all that may be used have refused."""
        now = self._clock()
        usable = [one for one in self.endpoints if one.ejected_until <= now] or self.endpoints
        usable = [one for one in usable if one.address not in refused]
        fresh = [one for one in usable if one.address not in tried]
        fresh = fresh or [one for one in usable if one.address != tried[-1]] or usable
        if len(fresh) < 2:
            return fresh[0] if fresh else None
        first = int(self._random() * len(fresh))
        second = int(self._random() * (len(fresh) - 1))
        one, other = fresh[first], fresh[second + (second >= first)]
        return one if one.load(now) <= other.load(now) else other

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """By address: `ejected_s` (0 unless ejected), `latency_s` (or None) and `pending`."""
        now = self._clock()
        return {
            one.address: {
                "ejected_s": max(0.0, one.ejected_until - now),
                "latency_s": one.latency_s,
                "pending": one.pending,
            }
            for one in self.endpoints
        }

    async def _attempt(self, endpoint: Endpoint, routed: Routed) -> Any:
        began_s = self._clock()
        endpoint.pending += 1
        try:
            result = await self._attempts[endpoint.address](routed.at(endpoint.address))
        except BaseException as exc:
            self._learn_from(exc, endpoint, began_s)
            raise
        else:
            self._learn(endpoint, began_s, is_refusal=routed.is_refusal(result))
            return result
        finally:
            endpoint.pending -= 1

    def _learn(self, endpoint: Endpoint, began_s: float, *, is_refusal: bool) -> None:
        now = self._clock()
        least_s = self._penalty_s if is_refusal else 0.0
        endpoint.answered(now, max(least_s, now - began_s))
        if endpoint.succeeded(now, began_s):
            self._emitter.emit("host_returned", host=endpoint.address)

    def _learn_from(self, exc: BaseException, endpoint: Endpoint, began_s: float) -> None:
        now, penalty_s = self._clock(), self._penalty_s
        took_s = now - began_s
        if isinstance(exc, DeadlineExceeded | asyncio.CancelledError):
            # It would have taken longer; that is news only if it was slower than usual already.
            if endpoint.latency_s is not None and took_s > endpoint.latency_s:
                endpoint.answered(now, took_s)
        elif is_unreachable(exc):
            self._tell(endpoint, "unreachable", endpoint.unreachable(now, began_s))
        elif is_counted_failure(exc):
            endpoint.answered(now, max(penalty_s, took_s))
            self._tell(endpoint, "consecutive", endpoint.failed(now, began_s))
        elif isinstance(exc, FailedResponse) and exc.shed:
            endpoint.answered(now, max(penalty_s, took_s))

    def _tell(self, endpoint: Endpoint, reason: str, eject_s: float | None) -> None:
        if eject_s is not None:
            self._emitter.emit(
                "host_ejected", host=endpoint.address, reason=reason, eject_s=eject_s
            )


def _verdict(refusals: Sequence[Exception]) -> Exception:
    """Of several refusals a fact about the callee, else the one that may be repeated soonest."""
    for exc in refusals:
        if not isinstance(exc, Rejected):
            return exc
    return min(refusals, key=lambda exc: getattr(exc, "retry_after_s", None) or math.inf)
