"""Were buyers told the truth when they were told that there is no seat? The hold log is replayed up to it.

The log says in one order which holds lived when; how many seats there were is known where the buyers' journal counted
the same number before and after and nobody reset the event in between. Elsewhere a refusal is not judged, and counted.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate
from typing import Final, NamedTuple

from chaos.audit.books import Books
from chaos.audit.rule import Finding

_REFUSED: Final = """
    SELECT hold.hold_id, hold.event_id, hold.quantity, json_extract(hold.refusal, '$.code'), hold.refusal, hold_log.seq,
        told.file, told.invoked_at, told.completed_at
    FROM journal AS told JOIN reservation ON reservation.scope = told.scope AND reservation.key = told.key
        JOIN hold ON hold.hold_id = reservation.reservation_id || '.' || attempt
        JOIN hold_log ON hold_log.hold_id = hold.hold_id AND to_state = 'REFUSED'
    WHERE told.op = 'reserve' AND told.code IN ('sold_out', 'seat_taken') AND hold.state = 'REFUSED'
        AND NOT told.replayed ORDER BY hold_log.seq
    """

_LIVES: Final = """
    SELECT event_id, quantity, seats, MIN(seq) FILTER (WHERE to_state = 'HELD') AS born,
        COALESCE(MAX(seq) FILTER (WHERE to_state IN ('RELEASED', 'EXPIRED')), 9e18) AS died
    FROM hold JOIN hold_log USING (hold_id) GROUP BY hold_id HAVING born IS NOT NULL
    """


class _Refusal(NamedTuple):
    hold_id: str
    event_id: str
    quantity: int
    code: str
    stored: str
    seq: int
    file: str
    invoked_at: float
    completed_at: float


class _Life(NamedTuple):
    event_id: str
    quantity: int
    seats: str
    born: float
    died: float


class _Hall:
    """Seats of every event: how many there were, and how many were owned, at a place in the order."""

    def __init__(self, books: Books) -> None:
        self.lives = [_Life(*row) for row in books.rows(_LIVES)]
        changes: dict[str, list[tuple[float, int]]] = defaultdict(list)
        for life in self.lives:
            changes[life.event_id] += [(life.born, life.quantity), (life.died, -life.quantity)]
        self._owned = {}
        for event_id, found in changes.items():
            found.sort()
            sums = list(accumulate(change for _, change in found))
            self._owned[event_id] = ([seq for seq, _ in found], [0, *sums])
        self._counts: dict[tuple[str, str], list[tuple[float, float, int]]] = defaultdict(list)
        for row in books.rows(
            "SELECT file, event_id, completed_at, invoked_at, capacity FROM journal"
            " WHERE op = 'count' AND outcome = 'ok' ORDER BY completed_at"
        ):
            self._counts[row[0], row[1]].append(row[2:])
        self._resets = books.rows(
            "SELECT event_id, invoked_at, completed_at FROM journal WHERE op = 'reset' AND status <> 409"
        )

    def owned(self, event_id: str, seq: int) -> int:
        """Seats of living holds just before place `seq` of the hold log."""
        places, sums = self._owned.get(event_id, ([], [0]))
        return sums[bisect_left(places, seq)]

    def capacity(self, refusal: _Refusal) -> int | None:
        """Seats of the event while it was decided; None when nobody can say."""
        counts = self._counts.get((refusal.file, refusal.event_id), [])
        at = bisect_right(counts, refusal.invoked_at, key=lambda count: count[0])
        after = next((count for count in counts[at:] if count[1] >= refusal.completed_at), None)
        if at == 0 or after is None or counts[at - 1][2] != after[2]:
            return None
        low, high = counts[at - 1][1], after[0]
        disturbed = any(
            event_id == refusal.event_id and end >= low and start <= high
            for event_id, start, end in self._resets
        )
        return None if disturbed else after[2]


def not_judged(books: Books) -> int:
    """How many refusals for want of seats cannot be judged."""
    refusals = [_Refusal(*row) for row in books.rows(_REFUSED)]
    hall = _Hall(books) if refusals else None
    return sum(hall is not None and hall.capacity(one) is None for one in refusals)


def dishonest_refusals(books: Books) -> Iterator[Finding]:
    """Refusals for want of seats that were there, at the very place in the order at which they were decided."""
    refusals = [_Refusal(*row) for row in books.rows(_REFUSED)]
    if not refusals:
        return
    hall = _Hall(books)
    for one in refusals:
        capacity = hall.capacity(one)
        if capacity is None:
            continue
        free = capacity - hall.owned(one.event_id, one.seq)
        if one.code == "sold_out" and free >= one.quantity:
            yield Finding(one.hold_id, f"sold_out, wanted={one.quantity} free={free} of {capacity}")
        if one.code == "seat_taken":
            yield from _not_taken(books, hall, one)


def _not_taken(books: Books, hall: _Hall, refusal: _Refusal) -> Iterator[Finding]:
    taken = {
        seat
        for life in hall.lives
        if life.event_id == refusal.event_id and life.born < refusal.seq < life.died
        for seat in books.list_of(life.seats)
    }
    there = books.rows(
        "SELECT named.value FROM json_each(?1, '$.seats') AS named"
        " JOIN seat ON seat.event_id = ?2 AND seat.seat = named.value ORDER BY 1",
        (refusal.stored, refusal.event_id),
    )
    for (seat,) in there:
        if seat not in taken:
            yield Finding(refusal.hold_id, f"seat_taken, free: {seat}")
