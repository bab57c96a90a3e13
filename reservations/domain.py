"""The reservation and its state machine: all states, all arrows, and who may say what. Pure.

Rule 1: every transition of a reservation is in `ARROWS`; `store.py` makes no other.
Not here: what is called in which state (`saga.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from typing import Any, Final, NamedTuple


class State(StrEnum):
    """States of a reservation; AUTHORIZED is the pivot."""

    RECEIVED = "RECEIVED"
    HELD = "HELD"
    AUTHORIZED = "AUTHORIZED"
    CONFIRMED = "CONFIRMED"
    REFUNDING = "REFUNDING"
    REFUNDED = "REFUNDED"
    REFUSED = "REFUSED"
    CANCELLING = "CANCELLING"
    DECLINED = "DECLINED"
    PAYMENT_TIMEOUT = "PAYMENT_TIMEOUT"
    UNAVAILABLE = "UNAVAILABLE"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation as stored. Instants are epoch seconds, money minor units; `saga` is its number in the store."""

    saga: int
    reservation_id: str
    delivery_id: str
    run_id: str
    user_id: str
    event_id: str
    quantity: int
    wanted: list[str] | None
    price_minor: int | None
    email: str | None
    lang: str
    manage_token: str
    state: State
    reason: str | None
    refusal: Mapping[str, Any]
    attempt: int
    version: int
    hold_token: str | None
    seats: list[str]
    unit_price: int | None
    currency: str | None
    undo_payment: bool
    lease_owner: str
    tries: int

    @property
    def ref(self) -> str:
        """Id of this attempt's hold and payment."""
        return f"{self.reservation_id}.{self.attempt}"

    @property
    def total_minor(self) -> int | None:
        """What it costs, once the price is known."""
        return None if self.unit_price is None else self.unit_price * self.quantity


@dataclass(frozen=True, slots=True)
class Parcel:
    """One outbox row to send.

    Attributes:
        key: What the receiver dedupes by; unique.
        payload: The receiver's request.
        tries: How often it was sent in vain.
        trace: The recorded trace that it continues, by its reservation's id.
    """

    key: str
    payload: Mapping[str, Any]
    tries: int
    trace: Mapping[str, str] = field(default_factory=dict)


class Try(NamedTuple):
    """Something that happened on the way to a step's result.

    Attributes:
        at: When it ended, epoch seconds.
        took_s: How long it took.
        service: Whom it was about.
        kind: `attempt`, `wait` before the next one, or `error`: a policy of ours let nothing out.
        outcome: `ok`, `failed`, `timeout`, `cancelled`; `waited`; `rejected`.
        detail: Why.
    """

    at: float
    took_s: float
    service: str | None
    kind: str
    outcome: str
    detail: str | None


class Line(NamedTuple):
    """One line of a reservation's log: a step's result, or that it had none (then it leads nowhere)."""

    at: float
    step: str
    attempt: int
    from_state: str | None
    to_state: str
    detail: str | None
    tries: tuple[Try, ...]


class Errand(NamedTuple):
    """What a reservation owes to others, as the outbox has it. Instants are epoch seconds."""

    key: str
    kind: str
    state: str
    created_at: float
    sent_at: float | None
    detail: str | None


class Moment(NamedTuple):
    """One moment of a reservation's timeline: it ends at `at` (epoch seconds), after `took_s`; None of an instant."""

    at: float
    step: str
    attempt: int
    outcome: str
    detail: str | None
    took_s: float | None
    service: str | None
    kind: str


SERVICE_OF: Final = {
    "accept": "reservations",
    "hold": "inventory",
    "authorize": "payments",
    "sell": "inventory",
    "cancel": "reservations",
    "recover": "reservations",
    "capture": "payments",
    "notify": "notifications",
}
"""Who does a step; those that undo concern two."""

_INSTANTS: Final = ("accept", "cancel")  # somebody asked: what was before has nothing to do with it
_ERRAND_KINDS: Final = {"PENDING": "wait", "DEAD": "error"}


def timeline(log: Sequence[Line], errands: Sequence[Errand], attempt: int) -> list[Moment]:
    """Everything that happened to a reservation, in order.

    Args:
        log: Its log.
        errands: What it owes to others.
        attempt: The one that was confirmed, if any was: the last.
    """
    found: list[Moment] = []
    ended_at = 0.0
    for line in log:
        what = (line.step, line.attempt)
        tries = [
            Moment(one.at, *what, one.outcome, one.detail, one.took_s, one.service, one.kind)
            for one in line.tries
        ]
        began_at = min((one.at - one.took_s for one in line.tries), default=ended_at)
        took_s = None if line.step in _INSTANTS else max(0.0, line.at - began_at)
        service, kind = SERVICE_OF.get(line.step), _kind(line)
        told = Moment(line.at, *what, line.to_state, line.detail, took_s, service, kind)
        found += [one for one in tries if one.at <= line.at]
        # After a failure, the wait for the next try.
        found += [told, *(one for one in tries if one.at > line.at)]
        ended_at = found[-1].at
    # Instants of one clock may be equal, and those of two may contradict each other: the log's order counts.
    order = list(accumulate((moment.at for moment in found), max))
    found += [_errand(errand, attempt) for errand in errands]
    order += [moment.at for moment in found[len(order) :]]
    return [found[index] for index in sorted(range(len(found)), key=order.__getitem__)]


def _errand(errand: Errand, attempt: int) -> Moment:
    took_s = None if errand.sent_at is None else max(0.0, errand.sent_at - errand.created_at)
    at, kind = errand.sent_at or errand.created_at, _ERRAND_KINDS.get(errand.state, "step")
    told = (errand.state, errand.detail, took_s, SERVICE_OF[errand.kind], kind)
    return Moment(at, errand.kind, attempt, *told)


def _kind(line: Line) -> str:
    if line.from_state == line.to_state:
        # Nobody drove it until it was taken over; any other step that leads nowhere has failed.
        return "wait" if line.step == "recover" else "error"
    if line.to_state in (State.CANCELLING, State.REFUSED):
        return "error"
    return "compensation" if line.step in ("undo", "refund") else "step"


S = State

ARROWS: Final = frozenset(
    {
        (None, S.RECEIVED),
        (S.RECEIVED, S.HELD),
        (S.RECEIVED, S.REFUSED),
        (S.RECEIVED, S.CANCELLING),
        (S.HELD, S.AUTHORIZED),
        (S.HELD, S.CANCELLING),
        (S.AUTHORIZED, S.CONFIRMED),
        (S.AUTHORIZED, S.CANCELLING),
        (S.CONFIRMED, S.REFUNDING),
        (S.REFUNDING, S.REFUNDED),
        (S.CANCELLING, S.DECLINED),
        (S.CANCELLING, S.PAYMENT_TIMEOUT),
        (S.CANCELLING, S.UNAVAILABLE),
        (S.CANCELLING, S.CANCELLED),
        (S.UNAVAILABLE, S.RECEIVED),
    }
)
"""Every legal transition. `UNAVAILABLE → RECEIVED` is attempt n + 1: the same key under a new delivery."""

OPEN: Final = (S.RECEIVED, S.HELD, S.AUTHORIZED, S.CANCELLING, S.REFUNDING)
"""States that somebody must still drive to an end."""

FORWARD: Final = (S.AUTHORIZED, S.REFUNDING)
"""Open states that only go forward; RECEIVED and HELD are taken backward by recovery."""

REFUSALS: Final = frozenset({"sold_out", "seat_taken", "price_changed", "event_not_found"})
"""Reasons of REFUSED: inventory decided, one commit, nothing to undo."""

END_OF: Final = {
    "payment_declined": S.DECLINED,
    "payment_timeout": S.PAYMENT_TIMEOUT,
    "hold_gone": S.CANCELLED,
    "inventory_unavailable": S.UNAVAILABLE,
    "payments_unavailable": S.UNAVAILABLE,
    "storage_unavailable": S.UNAVAILABLE,
}
"""Where CANCELLING ends, by reason."""

PUBLIC_STATUS: Final = {
    S.RECEIVED: "pending",
    S.HELD: "pending",
    S.AUTHORIZED: "pending",
    S.CONFIRMED: "confirmed",
    S.REFUNDING: "pending",
    S.REFUNDED: "refunded",
    S.REFUSED: "cancelled",
    S.CANCELLING: "cancelled",
    S.DECLINED: "cancelled",
    S.PAYMENT_TIMEOUT: "cancelled",
    S.UNAVAILABLE: "cancelled",
    S.CANCELLED: "cancelled",
}
"""What buyers are told, by state."""

_RETRYABLE: Final = frozenset({"storage_unavailable"})
_UNDONE: Final = frozenset({"inventory_unavailable", "payments_unavailable", "storage_unavailable"})

MAY_SAY: Final[dict[tuple[State, State | None], frozenset[str]]] = {
    # (last commit submitted, last commit known) → codes; "confirmed" and "pending" are 200 and 202.
    (S.RECEIVED, None): _RETRYABLE,
    (S.RECEIVED, S.RECEIVED): _RETRYABLE,
    (S.HELD, S.RECEIVED): _RETRYABLE,
    (S.HELD, S.HELD): _RETRYABLE,
    (S.REFUSED, S.RECEIVED): _RETRYABLE,
    (S.REFUSED, S.REFUSED): REFUSALS,
    (S.CANCELLING, S.RECEIVED): _RETRYABLE,
    (S.CANCELLING, S.HELD): _RETRYABLE,
    (S.CANCELLING, S.AUTHORIZED): frozenset({"pending"}),
    (S.CANCELLING, S.CANCELLING): _UNDONE | {"payment_declined", "payment_timeout", "hold_gone"},
    (S.AUTHORIZED, S.HELD): frozenset({"pending"}),
    (S.AUTHORIZED, S.AUTHORIZED): frozenset({"pending"}),
    (S.CONFIRMED, S.AUTHORIZED): frozenset({"pending"}),
    (S.CONFIRMED, S.CONFIRMED): frozenset({"confirmed"}),
}
"""Who may say what. A refusal of money or seat is said only after its row is known committed; a commit that was
submitted and is not known is never taken for a failure: before AUTHORIZED was submitted 503, after it 202."""


def when_unknown(submitted: State, known: State | None) -> str:
    """The one answer allowed while `submitted` may or may not have been stored.

    Args:
        submitted: The state of the last commit submitted.
        known: The state of the last commit known to be stored.

    Returns:
        `storage_unavailable` or `pending`.
    """
    (answer,) = MAY_SAY[submitted, known]
    return answer
