"""Admission: whether a Shield lets a guarded request in, and why not.

Asked in this order: how often its client comes (`rate_limit.py`), whether there is a slot (`limit.py`), and
whether it may wait for one (`queue.py`). Nothing here sends anything.
"""

import math
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from resilience.errors import LimitFull
from resilience.limit import Limiter
from resilience.queue import CLASSES, Queue, WaitingRoom
from resilience.rate_limit import KeyedBuckets
from resilience.runtime import Runtime

Scope = MutableMapping[str, Any]


@dataclass(frozen=True)
class Refusal:
    """Why a request was not let in.

    Attributes:
        reason: `full` (no slot, or no place in the queue), `waited` (no slot came in time),
            `thinned` (less important than what is let in now), `rate` (this client comes too
            often) or `deadline` (too late for its caller). Nothing is wrong with the request; all
            but `deadline` may come back.
        retry_after_s: Whole seconds to stay away, jittered; None for `deadline`.
    """

    reason: Literal["full", "waited", "thinned", "rate", "deadline"]
    retry_after_s: int | None = None


class Passed(NamedTuple):
    """What a request carries in its scope when it was looked at before the Shield saw it.

    Attributes:
        came_at: When that was, by `Runtime.clock`; what the limit learns begins there.
        level: Its level, drawn then.
    """

    came_at: float
    level: float


PASSED: Final = "resilience.passed"
"""Where in the scope."""


def read_priority(scope: Scope) -> float:
    """A `priority` for servers whose callers are trusted: the header `X-Priority`, else 5.

    From 0 (the first to be shed) to 9. A whole number is a class, within which a level is drawn; a
    number with a fraction is a level that somebody upstream has drawn, so that all servers behind
    one edge shed the same requests. What is not such a number counts as absent.
    """
    value = header(scope, b"x-priority")
    if value is None or len(value) > 16 or not value.replace(b".", b"", 1).isdigit():
        return _USUAL
    return min(float(value), _HIGHEST)


_USUAL = 5.0
_HIGHEST = CLASSES - 1e-9


def peer(scope: Scope) -> str:
    """The default `client`: the address of the connection's other end."""
    address = scope.get("client")
    return str(address[0]) if address else ""


class Door:
    """Lets a guarded request in, or says why not: its client's rate, then a slot."""

    def __init__(
        self,
        limiter: Limiter,
        runtime: Runtime,
        *,
        queue: Queue | None,
        priority: Callable[[Scope], float] | None,
        buckets: KeyedBuckets | None,
        client: Callable[[Scope], str],
    ) -> None:
        self._limiter = limiter
        self._clock = runtime.clock
        self._random = runtime.random
        self._priority = priority
        self._buckets = buckets
        self._client = client
        self._room: WaitingRoom | None = None
        if queue is not None:
            self._room = WaitingRoom(queue, limiter, runtime, ranked=priority is not None)

    def look(self, scope: Scope, coming: int) -> Refusal | None:
        """Why a request would find no room, or None: then the scope says that it was looked at.

        Takes nothing, and does not ask how often its client comes.

        Args:
            scope: The request.
            coming: How many others were looked at, but have not entered yet.
        """
        level = self._level(scope)
        reason: str | None = None
        if self._room is not None:
            reason = self._room.refusal(level, coming)
        elif self._limiter.in_flight + coming >= self._limiter.limit:
            reason = "full"
        if reason is not None:
            return Refusal("thinned" if reason == "thinned" else "full", self._moment_s())
        scope[PASSED] = Passed(self._clock(), level)
        return None

    async def enter(self, scope: Scope) -> int | Refusal:
        """A ticket for `Limiter.release`, at once or after a wait, or why there is none."""
        if self._buckets is not None:
            wait_s = self._buckets.take(self._client(scope))
            if wait_s > 0:
                return Refusal("rate", math.ceil(wait_s) + int(self._random() * 2))
        if self._room is None:
            try:
                return await self._limiter.acquire()
            except LimitFull:
                return Refusal("full", self._moment_s())
        passed: Passed | None = scope.get(PASSED)
        level = self._level(scope) if passed is None else passed.level
        verdict = await self._room.enter(level, is_admitted=passed is not None)
        if isinstance(verdict, int):
            return verdict
        return Refusal(verdict, None if verdict == "deadline" else self._moment_s())

    async def let_in(self) -> None:
        """Somebody has left. Never suspends."""
        if self._room is not None:
            await self._room.let_in()

    def snapshot(self) -> dict[str, Any]:
        """`queued`, `lag_s` and `threshold`, if there is a queue."""
        if self._room is None:
            return {}
        return {
            "queued": self._room.length,
            "lag_s": self._room.lag_s,
            "threshold": self._room.threshold,
        }

    def _level(self, scope: Scope) -> float:
        if self._priority is None:
            return self._random()
        level = min(max(0.0, self._priority(scope)), _HIGHEST)
        return level if level % 1 else level + self._random()

    def _moment_s(self) -> int:
        # One, two or three seconds: the refused must not come back in step.
        return 1 + int(self._random() * 3)


def header(scope: Scope, wanted: bytes) -> bytes | None:
    """The header's first value."""
    for name, value in scope["headers"]:
        if name == wanted:
            return bytes(value)
    return None
