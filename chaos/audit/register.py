"""Each seat as a register: does some order of what buyers did, true to real time, explain all they heard?

A reservation books its seats (nobody → it), a cancellation gives them back, a read sees the owner, and the databases
are one last read. An operation took effect at one instant between its call and its answer; one without an answer at
any time after its call, or never. Seats are independent, so each is checked alone (P-compositionality, Herlihy and
Wing 1990), by the search of Wing and Gong with the memo of Lowe: "Testing for linearizability" (2017).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import inf
from typing import Final, Literal, NamedTuple

from chaos.audit.books import Books

Seat = tuple[str, str]
"""Event and seat."""

NOBODY: Final = ""

_BY_NOW: Final = 1e15
"""End of what has no answer and yet happened: before the databases were read, which comes after everything."""


class Operation(NamedTuple):
    """What one buyer did to one seat.

    Attributes:
        kind: `book` nobody → who, `give_back` who → nobody, `see` the owner is who.
        who: The reservation; `NOBODY` for a seat seen free.
        start: Not before, epoch seconds.
        end: Not after; infinite without an answer.
        must: Whether it is known to have taken effect.
    """

    kind: Literal["book", "give_back", "see"]
    who: str
    start: float
    end: float
    must: bool


def why_not_linearizable(history: Sequence[Operation]) -> str | None:
    """None when an order exists; else the operations that have none, in words.

    Exponential in the operations that overlap, linear in those that do not.
    """
    operations = sorted(history, key=lambda one: (one.start, one.end))
    required = sum(1 << at for at, one in enumerate(operations) if one.must)
    seen: set[tuple[int, str]] = set()
    pending = [(0, NOBODY)]
    while pending:
        done, owner = pending.pop()
        if done & required == required:
            return None
        if (done, owner) in seen:
            continue
        seen.add((done, owner))
        pending += _next(operations, done, owner)
    return "; ".join(
        f"{one.kind} {one.who or 'nobody'} [{one.start:.3f}, {one.end:.3f}]" for one in operations
    )


def _next(operations: Sequence[Operation], done: int, owner: str) -> list[tuple[int, str]]:
    """Every state that one more operation may lead to."""
    waiting = [(at, one) for at, one in enumerate(operations) if not done >> at & 1]
    # What must happen and was answered by then cannot come after something that began later.
    first_end = min((one.end for _, one in waiting if one.must), default=inf)
    found = []
    for at, one in waiting:
        if one.start > first_end:
            break
        if not one.must and one.end < max((operations[i].start for i in _bits(done)), default=0.0):
            continue  # too late for it: it never happened
        after = _effect(one, owner)
        if after is not None:
            found.append((done | 1 << at, after))
    return found


def _bits(done: int) -> list[int]:
    return [at for at in range(done.bit_length()) if done >> at & 1]


def _effect(operation: Operation, owner: str) -> str | None:
    """The owner afterwards; None when it cannot happen now."""
    match operation.kind:
        case "book":
            return operation.who if owner == NOBODY else None
        case "give_back":
            return NOBODY if owner == operation.who else None
        case _:
            return owner if owner == operation.who else None


def seat_histories(books: Books) -> Mapping[Seat, list[Operation]]:
    """What the journals and the databases say about each seat that a journal names."""
    stored = {
        row[0]: (row[1], row[2], row[3])
        for row in books.rows(
            "SELECT reservation_id, event_id, seats, state FROM reservation"
            " WHERE reservation_id IN (SELECT reservation_id FROM ever_confirmed)"
        )
    }
    asked = _asked_back(books)
    found: dict[Seat, list[Operation]] = defaultdict(list)
    for reservation_id, (event_id, seats, start, end) in _bookings(books, stored).items():
        given_back = _give_back(
            reservation_id, asked.get(reservation_id), stored.get(reservation_id)
        )
        for seat in seats:
            history = found[event_id, seat]
            history.append(Operation("book", reservation_id, start, end, must=True))
            if given_back is not None:
                history.append(given_back)
    for reservation_id, event_id, seats, start, end in books.rows(
        "SELECT reservation_id, event_id, seats, invoked_at, completed_at FROM journal"
        " WHERE op = 'read' AND outcome = 'ok' AND code = 'confirmed'"
    ):
        for seat in books.list_of(seats):
            if (event_id, seat) in found:
                found[event_id, seat].append(
                    Operation("see", reservation_id, start, end, must=True)
                )
    _add_last_read(books, found)
    return found


def _bookings(
    books: Books, stored: Mapping[str, tuple[str, str, str]]
) -> dict[str, tuple[str, list[str], float, float]]:
    """By reservation that happened: event, seats, earliest start, latest end.

    Deliveries of one key are one booking: any of them may have been the one that did it.
    """
    found = {}
    for row in books.rows(
        """SELECT reservation.reservation_id, journal.event_id, MIN(invoked_at),
               MIN(completed_at) FILTER (WHERE code = 'confirmed'), MAX(journal.seats) FILTER (WHERE code = 'confirmed')
           FROM journal LEFT JOIN reservation ON reservation.scope = journal.scope AND reservation.key = journal.key
           WHERE op = 'reserve' AND outcome IN ('ok', 'info') GROUP BY journal.scope, journal.key"""
    ):
        reservation_id, event_id, start, end, seats = row
        happened = reservation_id in stored
        if reservation_id is None or (end is None and not happened):
            continue  # acknowledged and not stored is I7's to say; an open one that came to nothing did nothing
        chosen = seats if seats is not None else stored[reservation_id][1]
        found[reservation_id] = (
            event_id,
            books.list_of(chosen),
            start,
            _BY_NOW if end is None else end,
        )
    return found


def _asked_back(books: Books) -> dict[str, tuple[float, float | None]]:
    """By reservation whose cancellation may have had an effect: earliest start, and earliest end of a refund."""
    return {
        row[0]: (row[1], row[2])
        for row in books.rows(
            "SELECT reservation_id, MIN(invoked_at),"
            " MIN(completed_at) FILTER (WHERE outcome = 'ok' AND code = 'refunded') FROM journal"
            " WHERE op = 'cancel' AND outcome IN ('ok', 'info') GROUP BY reservation_id"
        )
    }


def _give_back(
    reservation_id: str,
    asked: tuple[float, float | None] | None,
    stored: tuple[str, str, str] | None,
) -> Operation | None:
    state = None if stored is None else stored[2]
    if asked is None and state not in ("REFUNDING", "REFUNDED"):
        return None
    start, end = asked or (0.0, None)
    return Operation(
        "give_back",
        reservation_id,
        start,
        _BY_NOW if end is None else end,
        must=state == "REFUNDED",
    )


def _add_last_read(books: Books, found: dict[Seat, list[Operation]]) -> None:
    """The owner by the databases, unless it is somebody of whom no journal tells."""
    owners = {
        (event_id, seat): owner
        for event_id, seat, owner in books.rows(
            "SELECT seat.event_id, seat, rtrim(rtrim(hold_id, '0123456789'), '.') FROM seat JOIN hold USING (hold_id)"
            " WHERE state = 'SOLD'"
        )
    }
    for place, history in found.items():
        owner = owners.get(place, NOBODY)
        if owner == NOBODY or any(one.who == owner for one in history):
            history.append(Operation("see", owner, inf, inf, must=True))
