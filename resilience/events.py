"""What happened, told to whoever listens. Metrics, logs and tests are listeners.

Kinds are a contract (renaming one is a breaking change):

| kind | when | detail |
|---|---|---|
| `attempt` | a try was made | outcome (ok failed timeout cancelled), duration_s, status, error |
| `retry` | before the wait | attempt (that failed), wait_s, error |
| `retry_stopped` | no further try | attempt, error, reason |
| `hedge` | a second attempt goes out | after_s |
| `hedge_won` | it was the first good one | – |
| `hedge_skipped` | it would have gone out | reason (quota) |
| `fallback` | a failure was answered for | error |
| `rejected` | refused here | reason (open full throttled), retry_after_s |
| `breaker_opened` | tripped | reason, open_s, calls, failed, slow |
| `breaker_half_open` | the first probe goes out | – |
| `breaker_closed` | enough good probes | – |
| `limit_changed` | the adaptive limit moved | limit, before |
| `host_ejected` | an address is out for a while | reason (consecutive unreachable), eject_s |
| `host_returned` | an ejected address answered again | – |
| `policy_replaced` | a transport got a new policy | – |
| `shed` | a Shield refused | reason (full waited thinned rate), retry_after_s, in_flight |
| `deadline_expired` | a Shield got expired work | – |

A transport's events also carry `host`: the one in the URL or, with several addresses, the address
that the event is about.

Retrying stops because of: attempts, patience, wait, deadline, quota.
A breaker opens because of: ratio, slow, consecutive, probe, probe_overdue.

Cost: none without listeners; the layers that only tell are not even built then.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from resilience.errors import is_timeout
from resilience.layer import Call, Layer, Wrap
from resilience.runtime import Runtime

KINDS: Final = (
    "attempt",
    "retry",
    "retry_stopped",
    "hedge",
    "hedge_won",
    "hedge_skipped",
    "fallback",
    "rejected",
    "breaker_opened",
    "breaker_half_open",
    "breaker_closed",
    "limit_changed",
    "host_ejected",
    "host_returned",
    "policy_replaced",
    "shed",
    "deadline_expired",
)
"""Every kind of event, in the order of the table above."""

_log = logging.getLogger("resilience")


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: One of `KINDS`.
        name: Name of the pipeline or Shield that tells it.
        at: `Runtime.clock` when it happened, seconds.
        detail: Facts by name; the table above says which.
    """

    kind: str
    name: str
    at: float
    detail: Mapping[str, object] = field(default_factory=dict)


Listener = Callable[[Event], None]
"""Called on the event loop, in line with the call: it must be quick and must not block."""


class Emitter:
    """Tells a fixed tuple of listeners. False when nobody listens, so callers can skip the work.

    Args:
        name: Put on every event.
        listeners: Told in order; an error in one is logged and harms nobody else.
        runtime: Clock of the events.
        common: Facts added to every event's detail.
    """

    def __init__(
        self,
        name: str,
        listeners: Sequence[Listener],
        runtime: Runtime,
        common: Mapping[str, object] | None = None,
    ) -> None:
        self.name = name
        self._listeners = tuple(listeners)
        self._runtime = runtime
        self._clock = runtime.clock
        self._common = dict(common or {})

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def about(self, **common: object) -> "Emitter":
        """The same listeners, with these facts on every event."""
        return Emitter(self.name, self._listeners, self._runtime, {**self._common, **common})

    def emit(self, kind: str, **detail: object) -> None:
        """Tell every listener; never raises an `Exception`."""
        if not self._listeners:
            return
        event = Event(kind, self.name, self._clock(), {**self._common, **detail})
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - a broken listener must not fail the call it watches
                _log.exception("event listener failed on %s of %s", kind, self.name)


def observed(emitter: Emitter, runtime: Runtime) -> Wrap:
    """Layer that tells each attempt. Folded in only when somebody listens."""
    clock = runtime.clock

    def wrap(proceed: Layer) -> Layer:
        async def attempted(fn: Call) -> Any:
            began_s = clock()
            try:
                result = await proceed(fn)
            except BaseException as exc:
                emitter.emit(
                    "attempt",
                    outcome=_outcome(exc),
                    duration_s=clock() - began_s,
                    error=type(exc).__name__,
                    status=_status(getattr(exc, "response", None)),
                )
                raise
            emitter.emit(
                "attempt", outcome="ok", duration_s=clock() - began_s, status=_status(result)
            )
            return result

        return attempted

    return wrap


def _outcome(exc: BaseException) -> str:
    if isinstance(exc, asyncio.CancelledError):
        return "cancelled"
    return "timeout" if is_timeout(exc) else "failed"


def _status(answer: object) -> int | None:
    status = getattr(answer, "status_code", None)
    return status if isinstance(status, int) else None
