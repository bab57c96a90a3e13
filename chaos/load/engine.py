"""The engine of both loops: it starts requests, counts what they came to, and notes every one in the journal.

Open loop: a request starts when the schedule says so, whatever became of those before it, and its latency counts from
that intended start. If the client comes late (it had something else to do, or its timers are coarse), the lateness is
part of the latency, and stands apart as *lag*. So a stall of the server cannot make the client measure less often,
which is coordinated omission (Gil Tene, "How NOT to Measure Latency"; wrk2). Who finds all room taken is not
sent, and counts as that.

Closed loop: each worker starts its next request when it has its answer; there is no intended start but that.

No request is ever repeated: a 429 is an answer.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, Protocol

from chaos.journal import Journal, entry_of
from chaos.load.plan import Share
from chaos.load.tally import NOT_SENT, Second
from chaos.load.wire import Answer, Told
from chaos.ports import LOOPBACK

_SHORTEST_WAIT_S: Final = 0.001
"""Event loops count milliseconds; a shorter wait would be a spin that takes the core from the mesh."""

_MOST_AT_ONCE: Final = 64
"""Requests that start before answers are read again, when the client is behind its schedule."""


class Sends(Protocol):
    """What `wire.Client` is to the engine."""

    def send(self, wire: bytes, told: Told) -> None:
        """Send a request; `told` is called once, later."""


class Engine:
    """One process's share of a plan, on the running event loop.

    Attributes:
        in_flight: Requests without an answer.

    Args:
        share: What to send.
        client: Sends.
        clock: Monotonic seconds.
        journal: Takes down what was asked and told.
    """

    def __init__(
        self,
        share: Share,
        client: Sends,
        clock: Callable[[], float],
        journal: Journal | None = None,
    ) -> None:
        self._share, self._plan = share, share.plan
        self._client = client
        self._clock = clock
        self._journal = journal
        self._loop = asyncio.get_running_loop()
        self._over = self._loop.create_future()
        self._begin_s = 0.0
        self._starts_ended = False
        self.in_flight = 0
        # By number; an answer counts in the second in which it came.
        self._seconds: defaultdict[int, Second] = defaultdict(Second)
        # What is left to start: numbers in a closed loop; number and intended start in an open one, the next apart.
        self._numbers: Iterator[int] = iter(())
        self._starts: Iterator[tuple[int, float]] = iter(())
        self._next: tuple[int, float] | None = None

    async def run(self, begin_s: float) -> None:
        """Do it all; returns when the last answer is there. `begin_s` is the schedule's zero, on the clock.

        Raises:
            Exception: What `fail` was given.
        """
        self._begin_s = begin_s
        if self._plan.is_open:
            self._starts = self._share.starts()
            self._next = next(self._starts, None)
        else:
            self._numbers = iter(self._share.indices)
        begin = self._tick if self._plan.is_open else self._set_to_work
        self._loop.call_later(max(0.0, begin_s - self._clock()), begin)
        await self._over

    def stop(self) -> None:
        """Start nothing more; `run` returns when what is in flight has its answer."""
        self._numbers, self._next = iter(()), None
        self._starts_end()

    def fail(self, error: Exception) -> None:
        """End the run with an error: the journal cannot be written, or there is a bug."""
        if not self._over.done():
            self._over.set_exception(error)

    def take_seconds(self, before: int | None = None) -> Iterator[tuple[int, Second]]:
        """Seconds that are over, by number, each once; all that there are without `before`."""
        for number in sorted(self._seconds):
            if before is None or number < before:
                yield number, self._seconds.pop(number)

    @property
    def now_s(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._begin_s

    def number(self, number: int) -> Second:
        """A second by its number; made if nothing has happened in it."""
        return self._seconds[number]

    def _second(self, now: float) -> Second:
        return self._seconds[max(0, int(now - self._begin_s))]

    # Open loop.

    def _tick(self) -> None:
        """Start all that are due."""
        now, left = self._clock(), _MOST_AT_ONCE
        while self._next is not None and left:
            index, due_s = self._next
            due_s += self._begin_s
            if due_s > now:
                break
            self._start(index, due_s)
            self._next = next(self._starts, None)
            now, left = self._clock(), left - 1
        if self._next is None:
            self._starts_end()
        elif left:
            due_s = self._next[1] + self._begin_s
            self._loop.call_later(max(_SHORTEST_WAIT_S, due_s - now), self._tick)
        else:
            self._loop.call_soon(self._tick)

    # Closed loop.

    def _set_to_work(self) -> None:
        for _ in range(self._share.workers):
            self._work()

    def _work(self) -> None:
        index = next(self._numbers, None)  # shared: each worker takes the next one
        if index is None:
            self._starts_end()
        else:
            self._start(index, self._clock())

    # Both.

    def _start(self, index: int, due_s: float) -> None:
        now = self._clock()
        second = self._second(now)
        second.due += 1
        if self.in_flight >= self._share.room:
            self._told(index, due_s, now, Answer(0, NOT_SENT), was_sent=False)
            return
        second.sent += 1
        second.sent_until_s = now - self._begin_s
        second.lag.add(now - due_s)
        self.in_flight += 1
        self._client.send(self._request(index), partial(self._told, index, due_s, now))

    def _told(
        self, index: int, due_s: float, sent_s: float, answer: Answer, *, was_sent: bool = True
    ) -> None:
        now = self._clock()
        status, code, body = answer.status, answer.failure, {}
        if status:
            body = _body(answer)
            code = str(body.get("code") or body.get("status") or "?")
        wait = answer.retry_after
        second = self._second(now)
        second.add(status, code, now - due_s, float(wait) if wait.isdigit() else None)
        second.until_s = now - self._begin_s
        if self._journal is not None:
            began_s = self._journal.at_s(sent_s)
            self._journal.note(
                entry_of(
                    "reserve",
                    self._asked(index),
                    body,
                    status=status,
                    code=code,
                    at_s=(began_s, self._journal.at_s(now)),
                )
            )
        if was_sent:
            self.in_flight -= 1
        if not self._plan.is_open:
            self._work()
        self._end_if_over()

    def _starts_end(self) -> None:
        self._starts_ended = True
        self._end_if_over()

    def _end_if_over(self) -> None:
        if self._starts_ended and not self.in_flight and not self._over.done():
            self._over.set_result(None)

    def _asked(self, index: int) -> dict[str, Any]:
        return {
            "key": f"load-{self._share.run}-{index:06d}",
            "user_id": f"load-{index}" if self._plan.unique_users else "load",
            "event_id": self._plan.event_id,
            "quantity": 1,
        }

    def _request(self, index: int) -> bytes:
        asked = self._asked(index)
        key = asked.pop("key")
        body = json.dumps(asked)
        return (
            f"POST /api/reserve HTTP/1.1\r\nHost: {LOOPBACK}\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


def _body(answer: Answer) -> dict[str, Any]:
    try:
        found = json.loads(answer.body)
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {**found, "replayed": True} if answer.replayed else found
