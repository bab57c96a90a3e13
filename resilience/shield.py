"""Shield: a server's own admission, as pure ASGI middleware.

Per HTTP request, before any work: expired work is refused (504, `X-Deadline-Expired: 1`), a client
that comes too often is refused (429), a full server refuses (503; both with `X-Shed: 1` and a
jittered `Retry-After`), everything else runs inside the deadline that its caller sent as
`X-Deadline-Ms`. With a `Queue` a full server lets requests wait for a moment first.

A running request is never cut at its deadline: a cancelled database call may still commit. It ends
by the timeouts of its own outgoing calls, which all see the deadline.

Not here: the rules of waiting (`queue.py`), of rates (`rate_limit.py`), and what a refusal looks
like to people (`refuse`).
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from resilience.admission import PASSED, Door, Passed, Refusal, Scope, header, peer
from resilience.deadline import deadline, without_deadline
from resilience.events import Emitter, Listener
from resilience.limit import Limit, Outcome
from resilience.queue import Queue
from resilience.rate_limit import RateLimit
from resilience.runtime import Runtime

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

Refuse = Callable[[Refusal, Scope], tuple[int, Headers, bytes]]
"""Renders a refusal: status, headers, body. The Shield adds its own marks and the length."""


def plain_problem(refusal: Refusal, scope: Scope) -> tuple[int, Headers, bytes]:  # noqa: ARG001 - a Refuse
    """The default `refuse`: RFC 9457; code `overloaded`, `rate_limited` or `deadline_exceeded`."""
    status, code, title = _PROBLEMS.get(refusal.reason, _OVERLOADED)
    problem = {"type": "about:blank", "code": code, "title": title, "status": status}
    return status, [(b"content-type", b"application/problem+json")], json.dumps(problem).encode()


_OVERLOADED = (503, "overloaded", "Too many requests in flight")
_PROBLEMS = {
    "rate": (429, "rate_limited", "Too many requests from this client"),
    "deadline": (504, "deadline_exceeded", "The caller's deadline has passed"),
}


class Shield:
    """Limits requests in flight and honours callers' deadlines. Other scopes pass through.

    Args:
        app: The application behind it.
        limit: How many guarded requests may be in flight.
        name: Put on events.
        runtime: Time and chance; the real ones by default.
        exempt: Requests that neither limit nor deadline concern: health, metrics, control, endless
            streams.
        guards: When given, only these requests are counted by limit, queue and rate; deadlines
            apply to all but exempt ones.
        on_event: Listeners, see `events.py`.
        refuse: Renders refusals; `plain_problem` by default.
        queue: Where guarded requests wait while the limit is reached; None refuses them at once.
        priority: How important a request is, as `read_priority` says; needs a queue. By default
            all are equal.
        rate: How often each client may come; its buckets are bounded in number.
        client: Names the client of a request, for `rate`; by default its address.

    Raises:
        ValueError: `priority` without `queue`: where nobody waits, nobody can be preferred.
    """

    def __init__(  # noqa: PLR0913 - keyword-only options
        self,
        app: App,
        *,
        limit: Limit,
        name: str,
        runtime: Runtime | None = None,
        exempt: Callable[[Scope], bool] | None = None,
        guards: Callable[[Scope], bool] | None = None,
        on_event: Sequence[Listener] = (),
        refuse: Refuse | None = None,
        queue: Queue | None = None,
        priority: Callable[[Scope], float] | None = None,
        rate: RateLimit | None = None,
        client: Callable[[Scope], str] | None = None,
    ) -> None:
        if priority is not None and queue is None:
            raise ValueError("a priority needs a queue")
        runtime = runtime or Runtime.real()
        self._app = app
        self._clock = runtime.clock
        self._emitter = Emitter(name, on_event, runtime)
        self._limiter = limit.build(runtime, self._emitter)
        self._exempt = exempt
        self._guards = guards
        self._refuse = refuse or plain_problem
        self._door = Door(
            self._limiter,
            runtime,
            queue=queue,
            priority=priority,
            buckets=None if rate is None else rate.buckets(runtime),
            client=client or peer,
        )
        # Refusals since the start, by reason; written by `count` only.
        self._refused: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or (self._exempt is not None and self._exempt(scope)):
            await self._app(scope, receive, send)
            return
        budget_s = _budget_s(scope)
        if budget_s is not None and budget_s <= 0:
            await self._turn_away(Refusal("deadline"), scope, send)
            return
        # In-process callers share our context, and a request has the deadline it brought, no other.
        with without_deadline() if budget_s is None else deadline(budget_s):
            if self._guards is None or self._guards(scope):
                await self._admit(scope, receive, send)
            else:
                await self._app(scope, receive, send)

    def look(self, scope: Scope, coming: int) -> Refusal | bool:
        """Why this request would find no room, asked before anything was made of it.

        For servers that can refuse when no more than the head of a request is there, which costs
        them a tenth. Nothing is taken and nothing counted: whoever refuses then says so by
        `answer` and `count`, and who is let through still passes the Shield. How often its client
        comes and whether it is too late is asked there only.

        Args:
            scope: Of the connection, as far as it is known: type, method, path and headers.
            coming: How many guarded requests were let through, but have not reached the Shield yet.

        Returns:
            True if there is room; False if room is not what matters, because the request is exempt,
            not guarded, or too late for its caller.
        """
        if scope["type"] != "http" or (self._exempt is not None and self._exempt(scope)):
            return False
        if self._guards is not None and not self._guards(scope):
            return False
        refusal = self._door.look(scope, coming)
        if refusal is None:
            return True
        budget_s = _budget_s(scope)
        return False if budget_s is not None and budget_s <= 0 else refusal

    def answer(self, refusal: Refusal, scope: Scope) -> tuple[int, Headers, bytes]:
        """Status, headers and body of a refusal, with the Shield's own marks."""
        status, headers, body = self._refuse(refusal, scope)
        headers = [*headers, (b"content-length", str(len(body)).encode())]
        if refusal.reason == "deadline":
            headers.append((b"x-deadline-expired", b"1"))
        else:
            headers.append((b"x-shed", b"1"))
            headers.append((b"retry-after", str(refusal.retry_after_s).encode()))
        return status, headers, body

    def count(self, refusal: Refusal) -> None:
        """Count a refusal and tell the listeners."""
        self._refused[refusal.reason] += 1
        if refusal.reason == "deadline":
            self._emitter.emit("deadline_expired")
            return
        self._emitter.emit(
            "shed",
            reason=refusal.reason,
            retry_after_s=refusal.retry_after_s,
            in_flight=self._limiter.in_flight,
        )

    def snapshot(self) -> dict[str, Any]:
        """What is inside now, and what was refused since the start.

        `limit`, `in_flight`, `refused_total` and `refused` (by reason); with a queue also `queued`,
        `lag_s` (of the event loop) and `threshold` (the lowest level let in).
        """
        return {
            "limit": self._limiter.limit,
            "in_flight": self._limiter.in_flight,
            "refused_total": self._refused.total(),
            "refused": dict(self._refused),
            **self._door.snapshot(),
        }

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        passed: Passed | None = scope.get(PASSED)
        # The event loop's lag before us belongs to what a request took; its time in the queue not.
        lag_s = 0.0 if passed is None else self._clock() - passed.came_at
        ticket = await self._door.enter(scope)
        if isinstance(ticket, Refusal):
            await self._turn_away(ticket, scope, send)
            return
        began_s = self._clock() - lag_s
        watch = _Watch(send) if self._limiter.learns else None
        outcome = Outcome.SILENT
        try:
            await self._app(scope, receive, send if watch is None else watch.send)
            outcome = Outcome.OK if watch is None else watch.outcome()
        finally:
            self._limiter.release(ticket, self._clock() - began_s, outcome)
            await self._door.let_in()

    async def _turn_away(self, refusal: Refusal, scope: Scope, send: Send) -> None:
        self.count(refusal)
        status, headers, body = self.answer(refusal, scope)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class _Watch:
    """Sees the answer go by, for a limit that learns from it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._status = 0
        self._final = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._final = (b"x-outcome", b"final") in [tuple(pair) for pair in message["headers"]]
        await self._send(message)

    def outcome(self) -> Outcome:
        """Dropped if we were too slow for somebody; other failures say nothing about the load."""
        left_s = deadline.remaining_s()
        if left_s is not None and left_s <= 0:
            return Outcome.DROPPED
        if self._status < 500 or self._final:
            return Outcome.OK
        return Outcome.DROPPED if self._status in (503, 504) else Outcome.SILENT


def _budget_s(scope: Scope) -> float | None:
    """Seconds the caller gives, None without a usable header."""
    value = header(scope, b"x-deadline-ms")
    if value is None:
        return None
    digits = value.removeprefix(b"-")
    usable = digits.isdigit() and len(digits) <= 9
    return int(value) / 1000 if usable else None
