"""Whom reservations calls, with which policy, and what their answers mean here.

Every call is keyed, so that repeating it is safe; each edge's numbers are the time budget of docs/architecture.md.
Answers that decide become this service's own words; anything else stays `NotSent` or `InDoubt`, for the saga to
resolve.
"""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, cast

from chassis.clients import InDoubt, Refused, Upstream
from chassis.runtime import Runtime
from reservations.domain import Parcel, Reservation, Try
from resilience import Breaker, Event, Policy, Retry

_BREAKER: Final = Breaker(
    open_cap_s=5.0
)  # a lab that was broken for minutes must be back in seconds

HOLD: Final = Policy(
    attempt_s=0.8, retry=Retry(3, base_s=0.1, cap_s=0.3, patience_s=0.8), breaker=_BREAKER
)
AUTHORIZE: Final = Policy(attempt_s=3.0, breaker=_BREAKER)
SELL: Final = Policy(attempt_s=0.8, retry=Retry(3, base_s=0.05, cap_s=0.3), breaker=_BREAKER)
UNDO_NOW: Final = Policy(attempt_s=0.5)
UNDO: Final = Policy(attempt_s=2.0, breaker=_BREAKER)
CAPTURE: Final = Policy(attempt_s=3.0, breaker=_BREAKER)
NOTIFY_NOW: Final = Policy(attempt_s=0.5)
NOTIFY: Final = Policy(attempt_s=3.0, breaker=_BREAKER)


MOST_TRIES: Final = 16
"""So many of the tries of one step are kept."""

_trail: ContextVar[list[Event] | None] = ContextVar("trail", default=None)
"""Where events are noted while somebody follows; tasks that a step starts note in the same place."""


def note(event: Event) -> None:
    """Listener of the policies of every edge: notes what `Trail` tells."""
    events = _trail.get()
    if events is not None and event.kind in _NOTED and len(events) < MOST_TRIES:
        events.append(event)


class Trail:
    """What is tried within a `with` block: attempts, waits between them, refusals of our own policies."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def __enter__(self) -> Self:
        self._token = _trail.set(self._events)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _trail.reset(self._token)

    @property
    def is_plain(self) -> bool:
        """Whether that was one attempt that went well."""
        events = self._events
        return len(events) == 1 and events[0].detail.get("outcome") == "ok"

    def tries(self, runtime: Runtime) -> tuple[Try, ...]:
        """All of it, in order."""
        # Events tell the monotonic time, and people another.
        since = runtime.now().timestamp() - runtime.mono()
        return tuple(_NOTED[event.kind](event, since + event.at) for event in self._events)


def _attempt(event: Event, at: float) -> Try:
    fact = event.detail
    outcome, took_s = str(fact["outcome"]), cast("float", fact["duration_s"])
    why = None if outcome == "ok" else str(fact["status"] or fact["error"])
    return Try(at, took_s, _service(event), "attempt", outcome, why)


def _wait(event: Event, at: float) -> Try:
    wait_s = cast("float", event.detail["wait_s"])  # it only begins
    return Try(at + wait_s, wait_s, _service(event), "wait", "waited", str(event.detail["error"]))


def _rejected(event: Event, at: float) -> Try:
    return Try(at, 0.0, _service(event), "error", "rejected", str(event.detail["reason"]))


def _service(event: Event) -> str:
    return event.name.partition(".")[0]


_NOTED: Final[Mapping[str, Callable[[Event, float], Try]]] = {
    "attempt": _attempt,
    "retry": _wait,
    "rejected": _rejected,
}


class HoldRefused(Exception):
    """Inventory decided that there is no hold: `reason` is the code, `problem` what it said."""

    def __init__(self, reason: str, problem: Mapping[str, Any]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.problem = problem


class HoldGone(Exception):
    """The hold was released, has expired or was refused for good."""


class Declined(Exception):
    """The provider declined the payment."""


class PaymentGone(Exception):
    """The payment was cancelled before it could be authorized."""


@dataclass(frozen=True, slots=True)
class Held:
    """A granted hold. Money in minor units."""

    token: str
    seats: list[str]
    unit_price: int
    currency: str


def _undecided(refused: Refused) -> InDoubt:
    """An answer outside the contract: what the callee did is unknown."""
    return InDoubt(f"unexpected refusal {refused}")


class Inventory:
    """Calls to inventory."""

    def __init__(self, upstream: Upstream) -> None:
        self._hold = upstream.edge("hold", HOLD)
        self._sell = upstream.edge("sell", SELL)
        self._release_now = upstream.edge("release_now", UNDO_NOW)
        self._release = upstream.edge("release", UNDO)

    async def hold(self, row: Reservation) -> Held:
        """Hold the seats of this attempt.

        Raises:
            HoldRefused: Inventory decided against it.
            HoldGone: This attempt's hold is already over.
            NotSent, InDoubt: No decision.
        """
        body = {
            "hold_id": row.ref,
            "event_id": row.event_id,
            "quantity": row.quantity,
            "seats": row.wanted,
            "price": row.price_minor,
        }
        try:
            answer = await self._hold.post("/reserve", body, key=row.ref)
        except Refused as refused:
            if refused.code in ("sold_out", "seat_taken", "price_changed", "event_not_found"):
                raise HoldRefused(refused.code, refused.problem) from refused
            if refused.code == "hold_gone":
                raise HoldGone from refused
            raise _undecided(refused) from refused
        return Held(answer["token"], answer["seats"], answer["unit_price"], answer["currency"])

    async def sell(self, row: Reservation) -> None:
        """Confirm the hold; carries no deadline of the buyer's.

        Raises:
            HoldGone: It cannot be sold any more.
            NotSent, InDoubt: No decision.
        """
        try:
            await self._sell.post(
                "/confirm", {"hold_id": row.ref, "token": row.hold_token}, key=row.ref
            )
        except Refused as refused:
            if refused.code == "hold_gone":
                raise HoldGone from refused
            raise _undecided(refused) from refused

    async def release(self, row: Reservation, *, inline: bool) -> None:
        """Release the hold, or leave a tombstone; `inline` while a buyer waits.

        Raises:
            NotSent, InDoubt: No decision.
        """
        edge = self._release_now if inline else self._release
        try:
            await edge.post("/release", {"hold_id": row.ref}, key=row.ref)
        except Refused as refused:
            raise _undecided(refused) from refused


class Payments:
    """Calls to payments."""

    def __init__(self, upstream: Upstream) -> None:
        self._authorize = upstream.edge("authorize", AUTHORIZE)
        self._cancel_now = upstream.edge("cancel_now", UNDO_NOW)
        self._cancel = upstream.edge("cancel", UNDO)
        self._capture = upstream.edge("capture", CAPTURE)

    async def authorize(self, row: Reservation) -> None:
        """Authorize the total.

        Raises:
            Declined: The provider said no.
            PaymentGone: It was cancelled before.
            NotSent, InDoubt: No decision.
        """
        body = {
            "payment_ref": row.ref,
            "amount_minor": row.total_minor,
            "currency": row.currency,
        }
        try:
            await self._authorize.post("/pay", body, key=row.ref)
        except Refused as refused:
            if refused.code == "payment_declined":
                raise Declined from refused
            if refused.code == "payment_cancelled":
                raise PaymentGone from refused
            raise _undecided(refused) from refused

    async def cancel(self, row: Reservation, *, inline: bool) -> None:
        """Void or refund, whichever it takes; done once payments has it durably.

        Raises:
            NotSent, InDoubt: No decision.
        """
        edge = self._cancel_now if inline else self._cancel
        try:
            await edge.post("/cancel", {"payment_ref": row.ref}, key=row.ref)
        except Refused as refused:
            raise _undecided(refused) from refused

    async def capture(self, parcels: Sequence[Parcel]) -> dict[str, str]:
        """Capture a batch; each payment's status by reference.

        Raises:
            Refused, NotSent, InDoubt: No decision about any of them.
        """
        return await _statuses(
            self._capture.post(
                "/capture", {"items": [dict(parcel.payload) for parcel in parcels]}, key="batch"
            ),
            "payment_ref",
        )


class Notifications:
    """Calls to notifications."""

    def __init__(self, upstream: Upstream) -> None:
        self._send_now = upstream.edge("send_now", NOTIFY_NOW)
        self._send = upstream.edge("send", NOTIFY)

    async def send(self, parcels: Sequence[Parcel], *, inline: bool) -> dict[str, str]:
        """Hand over a batch of notices; each one's status by key.

        Raises:
            Refused, NotSent, InDoubt: No decision about any of them.
        """
        edge = self._send_now if inline else self._send
        return await _statuses(
            edge.post(
                "/send", {"items": [dict(parcel.payload) for parcel in parcels]}, key="batch"
            ),
            "notification_id",
        )


async def _statuses(call: Any, key: str) -> dict[str, str]:
    answer = await call
    try:
        return {item[key]: item["status"] for item in answer["items"]}
    except (KeyError, TypeError) as error:
        raise InDoubt(f"an answer without {error}") from error
