"""Who may say what: every answer to a reservation, held against what was submitted and committed at that moment.

The simulator knows what no service can: each COMMIT of reservations passes through its disk, first as submitted, then,
if it comes to that, as committed. `reservations.domain.MAY_SAY` is the law for the delivery that drives a saga; the
rules for those that join it, and for the gateway, which speaks for both, stand here.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chaos.simulate.disk import Arrow
from chaos.simulate.network import Exchange
from reservations.domain import END_OF, MAY_SAY, REFUSALS, State

_FINAL: Final = REFUSALS | {
    reason for reason, end in END_OF.items() if end is not State.UNAVAILABLE
}
"""Refusals after which a key never sells."""

_NEVER_SENT: Final = frozenset({"reservations_unavailable", "deadline_exceeded", "overloaded"})
"""What the gateway may say of itself only as long as nothing reached reservations."""

_UNDONE: Final = frozenset({*END_OF.values(), State.REFUNDED})

_TURNED_AWAY: Final = frozenset({"overloaded", "deadline_exceeded"})
"""What reservations says before it looks at a request."""

_REPEATABLE: Final = frozenset({"storage_unavailable", "request_in_progress", "pending"})
"""What a delivery that drives nothing may always hear: it did nothing, and says so."""

_KNOWN: Final = _FINAL | frozenset(END_OF) | {"confirmed", "pending", "request_in_progress"}

_AFTER: Final = {
    end: frozenset({reason for reason, its in END_OF.items() if its is end})
    for end in set(END_OF.values())
} | {
    State.CANCELLING: frozenset(END_OF),
    State.REFUNDING: frozenset({"confirmed"}),
    State.REFUNDED: frozenset({"confirmed", "refunded"}),
}
"""By a state submitted after the answer was decided: what may have been decided."""


@dataclass(slots=True)
class _Saga:
    """What the disk has seen of one reservation.

    Attributes:
        driver: Delivery of the running attempt.
        submitted: States submitted by that attempt, in order.
        committed: Likewise committed.
        ever: States committed by any attempt.
        reasons: Reasons committed with a refusal, by any attempt.
    """

    driver: str = ""
    submitted: list[State] = field(default_factory=list)
    committed: list[State] = field(default_factory=list)
    ever: set[State] = field(default_factory=set)
    reasons: set[str] = field(default_factory=set)


class Witness:
    """Sees the commits of reservations and hears every answer.

    Attributes:
        violations: Sentences.
    """

    def __init__(self) -> None:
        self.violations: list[str] = []
        self._sagas: dict[str, _Saga] = defaultdict(_Saga)
        # Holds of attempts that have come to an end without a sale.
        self._undone: set[str] = set()
        # Of each request of a buyer, by X-Request-ID: what reservations answered, and how many deliveries it took in.
        self._taken_in: Counter[str] = Counter()
        self._relayed: dict[str, set[str]] = defaultdict(set)
        # By delivery: its exchanges that came before the first commit of its attempt; one of them drives it.
        self._may_drive: dict[str, set[Exchange]] = defaultdict(set)

    def commits(self, arrows: Sequence[Arrow], rows: Sequence[Any], *, done: bool) -> None:
        """Reservations is about to commit (`done` False), or has.

        Args:
            arrows: The transitions.
            rows: `(delivery, reason, attempt)` of each arrow's reservation, as after it.
            done: Whether it is committed.
        """
        for arrow, (delivery, reason, attempt) in zip(arrows, rows, strict=True):
            saga, state = self._sagas[arrow.subject], State(arrow.now)
            if arrow.was == arrow.now:  # another driver took over
                continue
            if state is State.RECEIVED and saga.driver != delivery:
                saga.driver, saga.submitted, saga.committed = delivery, [], []
            (saga.committed if done else saga.submitted).append(state)
            if done:
                if state in _UNDONE:
                    self._undone.add(f"{arrow.subject}.{attempt}")
                saga.ever.add(state)
                if reason:
                    saga.reasons.add(reason)

    def holds(self, arrows: Sequence[Arrow], *, done: bool) -> None:
        """Inventory is about to commit (`done` False), or has: what is undone must not come to life."""
        for arrow in arrows:
            if done and arrow.now == "HELD" and arrow.subject in self._undone:
                self.violations.append(f"TOMBSTONE {arrow.subject} was undone, and is held again")

    def reaches(self, exchange: Exchange) -> None:
        """A request has reached a listening process."""
        if not exchange.target.startswith("reservations"):
            return
        self._taken_in[exchange.request.headers.get("x-request-id", "")] += 1
        if exchange.path == "/reserve":
            asked = json.loads(exchange.body)
            if self._sagas[asked["reservation_id"]].driver != asked["delivery_id"]:
                self._may_drive[asked["delivery_id"]].add(exchange)

    def hears(self, exchange: Exchange, status: int, body: bytes) -> None:
        """A process has answered."""
        path = exchange.path
        if status == 500:
            self._say(exchange, code_of(status, body), f"500 to {exchange.label}")
        if path == "/reserve" and exchange.target.startswith("reservations"):
            self._judge_reservations(exchange, status, body)
        elif path == "/api/reserve":
            self._judge_gateway(exchange, status, body)

    def _judge_reservations(self, exchange: Exchange, status: int, body: bytes) -> None:
        asked = json.loads(exchange.body)
        code = code_of(status, body)
        request = exchange.request.headers.get("x-request-id", "")
        drives = self._may_drive[asked["delivery_id"]] == {exchange}
        self._may_drive[asked["delivery_id"]].discard(exchange)
        # Whoever asks again and cannot look up the row speaks of that look-up only: no answer for a buyer.
        stored = code == "storage_unavailable" and json.loads(body).get("replayed") is True
        about_itself = code == "storage_unavailable" and not drives and not stored
        if not about_itself:
            self._relayed[request].add(code)
        if code in _TURNED_AWAY:
            self._taken_in[request] -= 1
        saga = self._sagas.get(asked["reservation_id"], _Saga())
        if code == "confirmed" and State.CONFIRMED not in saga.ever:
            self._say(exchange, code, "it never was")
        if code in _FINAL and code not in saga.reasons:
            self._say(exchange, code, "that reason was not committed")
        if code == "pending" and not saga.ever:
            self._say(exchange, code, "there is no row")
        if saga.driver == asked["delivery_id"] and code in _KNOWN and not about_itself:
            self._judge_driver(exchange, code, saga)
        elif code in _KNOWN - _FINAL - _REPEATABLE and not saga.ever:
            self._say(exchange, code, "there is no row")

    def _judge_driver(self, exchange: Exchange, code: str, saga: _Saga) -> None:
        submitted = saga.submitted[-1]
        known: list[State | None] = [None, *saga.committed]
        allowed = set().union(*(MAY_SAY.get((submitted, one), frozenset()) for one in known[-2:]))
        if submitted in _AFTER:
            allowed |= _AFTER[submitted]
        if State.AUTHORIZED in saga.submitted and State.CANCELLING not in saga.committed:
            allowed = (allowed | {"pending"}) - {"storage_unavailable"}
        allowed |= {"request_in_progress", "pending"}  # whoever asks again meanwhile
        if (
            not saga.committed
        ):  # it drives nothing yet, and may hear what an earlier attempt came to
            allowed |= saga.reasons
        if code not in allowed:
            states = f"submitted {submitted}, committed {saga.committed[-1:] or 'nothing'}"
            self._say(exchange, code, f"{states}: may say {sorted(allowed)}")

    def _judge_gateway(self, exchange: Exchange, status: int, body: bytes) -> None:
        code = code_of(status, body)
        request = exchange.request.headers.get("x-request-id", "")
        relayed = self._relayed.get(request, set())
        if code in _NEVER_SENT and code not in relayed and self._taken_in[request] > 0:
            self._say(exchange, code, "the request had reached reservations")
        if code in (_FINAL | {"confirmed", "storage_unavailable"}) and code not in relayed:
            self._say(exchange, code, f"reservations said {sorted(relayed)}")
        if status >= 500 and code not in _KNOWN | _NEVER_SENT | {"gateway_saturated"}:
            self._say(exchange, code or str(status), "no such answer")

    def _say(self, exchange: Exchange, code: str, why: str) -> None:
        key = json.loads(exchange.body or b"{}").get("reservation_id", exchange.number)
        self.violations.append(f"MAY_SAY {exchange.target} told {key} {code}: {why}")


def code_of(status: int, body: bytes) -> str:
    """What an answer says: `status` of a reservation, or `code` of a problem."""
    try:
        found = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    return str(found.get("code") or found.get("status") or status)
