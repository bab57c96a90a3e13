"""Inventory's database: seats, holds, and every transition between them.

Invariants, each kept by SQL and not by this code's care: a seat is claimed only while free, and freed only by the hold
that has it; states move by compare-and-set; a hold row is never deleted; `stock` says what counting seats would.
"""

import json
import sqlite3
from itertools import islice
from typing import Any, Final, NamedTuple

from chassis.runtime import Runtime
from chassis.sqlite import Writer, patient
from chassis.telemetry import Metrics
from inventory.domain import CATALOGUE, HoldState, Seat, best_available, seats_from
from inventory.errors import (
    EventBusy,
    EventNotFound,
    HoldGone,
    HoldNotFound,
    HoldTokenStale,
    PriceChanged,
    SeatTaken,
    SoldOut,
)
from inventory.schemas import HoldRequest

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS event (
    event_id TEXT PRIMARY KEY, name TEXT NOT NULL, price_minor INTEGER NOT NULL CHECK (price_minor >= 0),
    currency TEXT NOT NULL, row_length INTEGER NOT NULL CHECK (row_length > 0)
) STRICT;
CREATE TABLE IF NOT EXISTS hold (
    hold_id TEXT PRIMARY KEY, event_id TEXT, quantity INTEGER NOT NULL, state TEXT NOT NULL
        CHECK (state IN ('HELD', 'SOLD', 'RELEASED', 'EXPIRED', 'REFUSED')),
    token TEXT, seats TEXT NOT NULL, unit_price INTEGER, refusal TEXT,
    created_at REAL NOT NULL, expires_at REAL, changed_at REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS hold_open ON hold (expires_at) WHERE state = 'HELD';
CREATE TABLE IF NOT EXISTS seat (
    event_id TEXT NOT NULL REFERENCES event, seat TEXT NOT NULL, row TEXT NOT NULL, number INTEGER NOT NULL,
    rank INTEGER NOT NULL, hold_id TEXT REFERENCES hold,
    PRIMARY KEY (event_id, seat), UNIQUE (event_id, rank)
) STRICT;
CREATE INDEX IF NOT EXISTS seat_free ON seat (event_id, rank) WHERE hold_id IS NULL;
CREATE TABLE IF NOT EXISTS hold_log (
    seq INTEGER PRIMARY KEY, hold_id TEXT NOT NULL, from_state TEXT, to_state TEXT NOT NULL, at REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS stock (event_id TEXT PRIMARY KEY REFERENCES event, seats INTEGER, free INTEGER) STRICT;
CREATE TRIGGER IF NOT EXISTS event_comes AFTER INSERT ON event BEGIN
    INSERT INTO stock VALUES (new.event_id, 0, 0); END;
CREATE TRIGGER IF NOT EXISTS seat_comes AFTER INSERT ON seat BEGIN
    UPDATE stock SET seats = seats + 1, free = free + (new.hold_id IS NULL) WHERE event_id = new.event_id; END;
CREATE TRIGGER IF NOT EXISTS seat_goes AFTER DELETE ON seat BEGIN
    UPDATE stock SET seats = seats - 1, free = free - (old.hold_id IS NULL) WHERE event_id = old.event_id; END;
CREATE TRIGGER IF NOT EXISTS seat_moves AFTER UPDATE OF hold_id ON seat BEGIN
    UPDATE stock SET free = free + (new.hold_id IS NULL) - (old.hold_id IS NULL) WHERE event_id = new.event_id; END;
INSERT INTO stock SELECT event.event_id, COUNT(seat), COUNT(seat) - COUNT(hold_id) FROM event LEFT JOIN seat
    ON seat.event_id = event.event_id WHERE event.event_id NOT IN (SELECT event_id FROM stock) GROUP BY event.event_id;
"""
# `stock` counts seats, so that nobody has to: a catalogue is read all the time, and may have a million of them.

_HELD: Final = """SELECT event_id, SUM(quantity) AS held, MIN(expires_at)
    FROM hold WHERE state = 'HELD' GROUP BY event_id"""

# By the names that the hold has: an index over who has a seat would cost each hold a page of its own in a large past.
_FREE: Final = """UPDATE seat SET hold_id = NULL WHERE hold_id = ?1 AND (event_id, seat) IN (
    SELECT event_id, value FROM hold, json_each(seats) WHERE hold.hold_id = ?1)"""

_LOOK_AHEAD: Final = 64
"""Free seats looked at for adjacent ones: bounds the cost of a hold in a large hall."""

Db = sqlite3.Connection
Refusal = EventNotFound | PriceChanged | SoldOut | SeatTaken


class HoldRow(NamedTuple):
    """A hold as stored. Instants are epoch seconds, money minor units."""

    hold_id: str
    event_id: str
    state: HoldState
    token: str
    seats: list[str]
    unit_price: int
    currency: str
    expires_at: float


class Counts(NamedTuple):
    """An event and its counters."""

    event_id: str
    name: str
    price_minor: int
    currency: str
    available: int
    held: int
    sold: int


class Store:
    """All transactions of inventory. Each is repeatable: keyed by hold id, guarded by state."""

    def __init__(self, writer: Writer, runtime: Runtime, metrics: Metrics) -> None:
        self._run = patient(writer, runtime, metrics)

    async def seed(self) -> None:
        """Create the built-in events that are missing."""
        await self._run(_seed)

    async def hold(
        self, request: HoldRequest, *, token: str, now: float, expires_at: float
    ) -> HoldRow:
        """Take the seats, or return the hold that this id already has.

        Args:
            request: What is wanted.
            token: Fencing token for a new hold.
            now: Epoch seconds.
            expires_at: Epoch seconds until which a new hold is promised.

        Raises:
            EventNotFound, PriceChanged, SoldOut, SeatTaken: Refused and stored: a re-send gets the same.
            HoldGone: The id was released or has expired.
        """
        outcome = await self._run(lambda db: _hold(db, request, token, now, expires_at))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def confirm(self, hold_id: str, token: str, *, now: float) -> tuple[HoldState, list[str]]:
        """Sell the hold; already sold is fine.

        Raises:
            HoldNotFound, HoldTokenStale, HoldGone: It cannot be sold.
        """
        return await self._run(lambda db: _confirm(db, hold_id, token, now))

    async def release(self, hold_id: str, *, now: float) -> tuple[HoldState, list[str]]:
        """Free the hold's seats, sold ones too; an unknown id gets a tombstone."""
        return await self._run(lambda db: _release(db, hold_id, now))

    async def expire(self, *, before: float, now: float) -> int:
        """Free holds promised until before `before` (epoch seconds); how many."""
        return await self._run(lambda db: _expire(db, before, now))

    async def events(self) -> list[Counts]:
        """Every event with its counters."""
        return await self._run(_counts)

    async def sweep(self, *, before: float, now: float) -> tuple[int, list[tuple[str, int, float]]]:
        """`expire`; then each event with holds, its seats on hold, and when the first of the promises ends."""
        return await self._run(lambda db: (_expire(db, before, now), db.execute(_HELD).fetchall()))

    async def seats(self, event_id: str) -> list[tuple[str, str, int, str, float | None]]:
        """`(seat, row, number, free|held|sold, until when a held one is promised)` of every seat, best first.

        Raises:
            EventNotFound: No such event.
        """
        return await self._run(lambda db: _seats(db, event_id))

    async def reset(self, event_id: str, free: int) -> None:
        """Leave exactly `free` free seats by adding or removing free ones.

        Raises:
            EventNotFound, EventBusy: Nothing was changed.
        """
        await self._run(lambda db: _reset(db, event_id, free))


def _seed(db: Db) -> None:
    for event in CATALOGUE:
        added = db.execute(
            "INSERT OR IGNORE INTO event VALUES (?, ?, ?, ?, ?)",
            (event.event_id, event.name, event.price_minor, event.currency, event.row_length),
        ).rowcount
        if added:
            _add_seats(db, event.event_id, islice(seats_from(0, event.row_length), event.capacity))


def _add_seats(db: Db, event_id: str, seats: Any) -> None:
    db.executemany(
        "INSERT INTO seat VALUES (?, ?, ?, ?, ?, NULL)",
        ((event_id, seat.name, seat.row, seat.number, seat.rank) for seat in seats),
    )


def _hold(
    db: Db, request: HoldRequest, token: str, now: float, expires_at: float
) -> HoldRow | Exception:
    known = db.execute(
        "SELECT state, refusal FROM hold WHERE hold_id = ?", (request.hold_id,)
    ).fetchone()
    if known is not None:
        return _known_hold(db, request.hold_id, *known)
    event = db.execute(
        "SELECT price_minor, currency FROM event WHERE event_id = ?", (request.event_id,)
    ).fetchone()
    chosen = _refusal_before_seats(request, event) or _choose(db, request)
    if not isinstance(chosen, list):
        return _refuse(db, request, chosen, now)
    names = [seat.name for seat in chosen]
    db.execute(
        "INSERT INTO hold VALUES (?, ?, ?, 'HELD', ?, ?, ?, NULL, ?, ?, ?)",
        (
            request.hold_id,
            request.event_id,
            len(names),
            token,
            json.dumps(names),
            event[0],
            now,
            expires_at,
            now,
        ),
    )
    _log(db, request.hold_id, None, HoldState.HELD, now)
    claimed = db.execute(
        "UPDATE seat SET hold_id = ? WHERE event_id = ? AND hold_id IS NULL"
        " AND seat IN (SELECT value FROM json_each(?))",
        (request.hold_id, request.event_id, json.dumps(names)),
    ).rowcount
    assert claimed == len(names), "seats read as free in this transaction must be claimable in it"
    return _read(db, request.hold_id)


def _known_hold(db: Db, hold_id: str, state: str, refusal: str | None) -> HoldRow | Exception:
    if state in (HoldState.HELD, HoldState.SOLD):
        return _read(db, hold_id)
    if refusal is not None:
        return _stored_refusal(json.loads(refusal))
    return HoldGone()


def _refusal_before_seats(
    request: HoldRequest, event: tuple[int, str] | None
) -> EventNotFound | PriceChanged | None:
    if event is None:
        return EventNotFound(event_id=request.event_id)
    if request.price is not None and request.price != event[0]:
        return PriceChanged(price_minor=event[0], currency=event[1])
    return None


def _choose(db: Db, request: HoldRequest) -> list[Seat] | SoldOut | SeatTaken:
    if request.seats is None:
        wanted = _LOOK_AHEAD if request.quantity > 1 else 1  # one seat is adjacent to itself
        free = db.execute(
            "SELECT seat, row, number, rank FROM seat WHERE event_id = ? AND hold_id IS NULL ORDER BY rank LIMIT ?",
            (request.event_id, wanted),
        ).fetchall()
        best = best_available([Seat(*row) for row in free], request.quantity)
        return SoldOut() if best is None else best
    # `+rank`: by name, through the primary key; else SQLite walks all free seats for the sake of the order.
    free = db.execute(
        "SELECT seat, row, number, rank FROM seat WHERE event_id = ? AND hold_id IS NULL"
        " AND seat IN (SELECT value FROM json_each(?)) ORDER BY +rank",
        (request.event_id, json.dumps(request.seats)),
    ).fetchall()
    taken = sorted(set(request.seats) - {row[0] for row in free})
    return SeatTaken(seats=taken) if taken else [Seat(*row) for row in free]


def _refuse(db: Db, request: HoldRequest, refusal: Refusal, now: float) -> Refusal:
    """Store the refusal and return it: raising would undo the very row that must stay."""
    stored = json.dumps({"code": refusal.code, **refusal.extensions()})
    db.execute(
        "INSERT INTO hold VALUES (?, ?, ?, 'REFUSED', NULL, '[]', NULL, ?, ?, NULL, ?)",
        (request.hold_id, request.event_id, request.quantity, stored, now, now),
    )
    _log(db, request.hold_id, None, HoldState.REFUSED, now)
    return refusal


def _stored_refusal(stored: dict[str, Any]) -> Exception:
    match stored["code"]:
        case "event_not_found":
            return EventNotFound(event_id=stored["event_id"])
        case "price_changed":
            return PriceChanged(price_minor=stored["price_minor"], currency=stored["currency"])
        case "seat_taken":
            return SeatTaken(seats=stored["seats"])
        case _:
            return SoldOut()


def _read(db: Db, hold_id: str) -> HoldRow:
    row = db.execute(
        "SELECT hold_id, event_id, state, token, seats, unit_price, currency, expires_at"
        " FROM hold JOIN event USING (event_id) WHERE hold_id = ?",
        (hold_id,),
    ).fetchone()
    return HoldRow(row[0], row[1], HoldState(row[2]), row[3], json.loads(row[4]), *row[5:])


def _log(db: Db, hold_id: str, from_state: str | None, to_state: HoldState, now: float) -> None:
    db.execute(
        "INSERT INTO hold_log (hold_id, from_state, to_state, at) VALUES (?, ?, ?, ?)",
        (hold_id, from_state, to_state, now),
    )


def _move(db: Db, hold_id: str, expected: HoldState, target: HoldState, now: float) -> bool:
    moved = db.execute(
        "UPDATE hold SET state = ?, changed_at = ? WHERE hold_id = ? AND state = ?",
        (target, now, hold_id, expected),
    ).rowcount
    if moved:
        _log(db, hold_id, expected, target, now)
    return bool(moved)


def _confirm(db: Db, hold_id: str, token: str, now: float) -> tuple[HoldState, list[str]]:
    stored = "SELECT state, token, seats FROM hold WHERE hold_id = ?"
    row = db.execute(stored, (hold_id,)).fetchone()
    if row is None:
        raise HoldNotFound
    state, stored_token, seats = HoldState(row[0]), row[1], json.loads(row[2])
    if state not in (HoldState.HELD, HoldState.SOLD):
        raise HoldGone
    if token != stored_token:
        raise HoldTokenStale
    _move(db, hold_id, HoldState.HELD, HoldState.SOLD, now)
    return HoldState.SOLD, seats


def _release(db: Db, hold_id: str, now: float) -> tuple[HoldState, list[str]]:
    row = db.execute("SELECT state, seats FROM hold WHERE hold_id = ?", (hold_id,)).fetchone()
    if row is None:
        db.execute(
            "INSERT INTO hold VALUES (?, NULL, 0, 'RELEASED', NULL, '[]', NULL, NULL, ?, NULL, ?)",
            (hold_id, now, now),
        )
        _log(db, hold_id, None, HoldState.RELEASED, now)
        return HoldState.RELEASED, []
    state = HoldState(row[0])
    if state in (HoldState.HELD, HoldState.SOLD):
        _move(db, hold_id, state, HoldState.RELEASED, now)
        db.execute(_FREE, (hold_id,))
        state = HoldState.RELEASED
    return state, json.loads(row[1])


def _expire(db: Db, before: float, now: float) -> int:
    due = db.execute(
        "SELECT hold_id FROM hold WHERE state = 'HELD' AND expires_at < ? ORDER BY expires_at, hold_id LIMIT 500",
        (before,),
    ).fetchall()
    for (hold_id,) in due:
        if _move(db, hold_id, HoldState.HELD, HoldState.EXPIRED, now):
            db.execute(_FREE, (hold_id,))
    return len(due)


def _counts(db: Db) -> list[Counts]:
    rows = db.execute(
        f"""WITH open AS ({_HELD})
           SELECT event_id, name, price_minor, currency, free, IFNULL(held, 0), seats - free - IFNULL(held, 0)
           FROM event JOIN stock USING (event_id) LEFT JOIN open USING (event_id) ORDER BY event_id"""  # noqa: S608 - constant
    )
    return [Counts(*row) for row in rows]


def _seats(db: Db, event_id: str) -> list[tuple[str, str, int, str, float | None]]:
    if db.execute("SELECT 1 FROM event WHERE event_id = ?", (event_id,)).fetchone() is None:
        raise EventNotFound(event_id=event_id)
    return db.execute(
        """SELECT seat, row, number, CASE state WHEN 'SOLD' THEN 'sold' WHEN 'HELD' THEN 'held' ELSE 'free' END,
           CASE state WHEN 'HELD' THEN expires_at END
           FROM seat LEFT JOIN hold ON hold.hold_id = seat.hold_id WHERE seat.event_id = ? ORDER BY rank""",
        (event_id,),
    ).fetchall()


def _reset(db: Db, event_id: str, free: int) -> None:
    event = db.execute(
        "SELECT row_length, free FROM event JOIN stock USING (event_id) WHERE event_id = ?",
        (event_id,),
    ).fetchone()
    if event is None:
        raise EventNotFound(event_id=event_id)
    row_length, have = event
    held = db.execute(
        "SELECT 1 FROM hold WHERE event_id = ? AND state = 'HELD' LIMIT 1", (event_id,)
    ).fetchone()
    if held is not None:
        raise EventBusy
    if have > free:
        db.execute(
            "DELETE FROM seat WHERE event_id = ?1 AND rank IN (SELECT rank FROM seat"
            " WHERE event_id = ?1 AND hold_id IS NULL ORDER BY rank DESC LIMIT ?2)",
            (event_id, have - free),
        )
    elif have < free:
        ranks = db.execute("SELECT rank FROM seat WHERE event_id = ?", (event_id,))
        used = {rank for (rank,) in ranks}
        missing = (seat for seat in seats_from(0, row_length) if seat.rank not in used)
        _add_seats(db, event_id, islice(missing, free - have))
