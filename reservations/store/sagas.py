"""Reservations and their log.

Invariants: one row per (scope, key); every arrow is a compare-and-set on state and version together with its log row
and, where it has follow-up work, its outbox rows, in one transaction; versions 1..n have no gap.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chassis.runtime import Runtime
from chassis.sqlite import Writer, patient
from chassis.telemetry import Metrics
from reservations.domain import ARROWS, Errand, Line, Reservation, State, Try
from reservations.errors import KeyReused, ReservationNotFound
from reservations.schemas import ReserveRequest
from reservations.store import history
from reservations.store.outbox import Waiting, waiting
from reservations.store.schema import OPEN_SQL

Db = sqlite3.Connection


_COLUMNS: Final = tuple(Reservation.__dataclass_fields__)
_NAMES: Final = ", ".join(_COLUMNS)
_SELECT: Final = f"SELECT {_NAMES} FROM reservation"  # noqa: S608 - constant names
_JSON: Final = ("wanted", "refusal", "seats")


@dataclass(frozen=True, slots=True)
class Arrow:
    """One transition to make: where to, by which step, with what.

    Attributes:
        target: The next state.
        step: The saga step's name, for the log.
        fields: Columns to change besides.
        detail: A word for the timeline.
        tries: What was tried on the way, for the timeline.
        outbox: `(kind, key, payload, delay_s)` of follow-up work.
    """

    target: State
    step: str
    fields: Mapping[str, object]
    detail: str | None = None
    outbox: tuple[tuple[str, str, Mapping[str, object], float], ...] = ()
    tries: tuple[Try, ...] = ()


_REMEMBER: Final = "INSERT OR IGNORE INTO delivery VALUES (?, ?, ?)"


class Forgone(Exception):
    """This delivery was refused while nothing could be stored: it starts nothing any more."""


class Fenced(Exception):
    """Somebody else moved the reservation meanwhile: this driver has no say any more."""


class SagaStore:
    """All transactions on reservations. Each may be repeated: keyed by id, guarded by state and version.

    Args:
        writer: The database.
        runtime: The effects.
        metrics: Listens to the retries.
        owner: The boot id that this process's leases carry.
        lease_s: Length of a lease, seconds.
    """

    def __init__(
        self, writer: Writer, runtime: Runtime, metrics: Metrics, *, owner: str, lease_s: float
    ) -> None:
        self._run = patient(writer, runtime, metrics)
        self._runtime = runtime
        self._owner = owner
        self._lease_s = lease_s

    def _now(self) -> float:
        return self._runtime.now().timestamp()

    async def accept(
        self, request: ReserveRequest, *, run_id: str, manage_token: str
    ) -> tuple[Reservation, bool]:
        """The reservation of this key, and whether `run_id` is the one that has to drive it.

        A new key makes a row. A known one returns its row, except that an UNAVAILABLE one under a new delivery starts
        attempt n + 1. A delivery has one life, whether it drives or joins: what the network brings once more, however
        late, starts nothing.

        Raises:
            KeyReused: The key belongs to another body.
            Forgone: This delivery was answered without being stored; it may not come to life any more.
            StorageUnavailable: Unknown whether it was stored.
        """
        now, lease = self._now(), (self._owner, self._now() + self._lease_s)
        carrier = self._runtime.tracing.carrier()

        def transaction(db: Db) -> tuple[Reservation, bool]:
            row, drives = _accept(db, request, run_id, manage_token, lease, now)
            if carrier is not None and drives:
                db.execute("REPLACE INTO trace VALUES (?, ?)", (row.saga, carrier))
            return row, drives

        return await self._run(transaction)

    async def forgo(self, delivery_ids: Sequence[str]) -> None:
        """These deliveries, which were refused while nothing could be stored, start nothing any more (tombstones).

        Raises:
            StorageUnavailable: Unknown whether it was stored.
        """
        rows = [(delivery_id, None, self._now()) for delivery_id in delivery_ids]

        def transaction(db: Db) -> None:  # no cursor may leave the database's thread
            db.executemany(_REMEMBER, rows)

        await self._run(transaction)

    async def advance(self, row: Reservation, arrow: Arrow) -> Reservation:
        """Make `arrow` from the row's state and version; a repetition of our own is recognised.

        Raises:
            Fenced: The row has moved on without us.
            StorageUnavailable: Unknown whether it was stored.
        """
        assert (row.state, arrow.target) in ARROWS, (
            f"{row.state} → {arrow.target} is not in the table"
        )
        now = self._now()
        lease = (self._owner, now + self._lease_s)
        return await self._run(lambda db: _advance(db, row, arrow, lease, now))

    async def take(self, row: Reservation) -> Reservation:
        """Become the row's driver: bumps the version, which fences whoever drove it before.

        Raises:
            Fenced: Somebody else was quicker.
        """
        if row.lease_owner == self._owner:
            return row
        now = self._now()
        arrow = Arrow(row.state, "recover", {})
        lease = (self._owner, now + self._lease_s)
        return await self._run(lambda db: _advance(db, row, arrow, lease, now))

    async def postpone(self, row: Reservation, failed: Arrow, *, delay_s: float) -> None:
        """Try this row again after `delay_s`; the first few failures show in its timeline, as `failed` says it."""
        now = self._now()
        waited = Try(now + delay_s, delay_s, None, "wait", "waited", failed.detail)
        await self._run(lambda db: _postpone(db, row, failed, waited, now))

    async def look(
        self, *, single: bool, limit: int
    ) -> tuple[dict[str, int], list[Reservation], Waiting]:
        """`counts`; the open rows whose time has come and whose lease is dead, those past the pivot first; the outbox.

        Args:
            single: Whether this is the only process, so that a foreign lease is dead at once.
            limit: How many at most.
        """
        now = self._now()
        return await self._run(
            lambda db: (_counts(db), _due(db, now, self._owner, single, limit), waiting(db))
        )

    async def find(self, reservation_id: str) -> Reservation:
        """One reservation.

        Raises:
            ReservationNotFound: No such id.
        """
        return await self._run(lambda db: _find(db, reservation_id))

    async def view(self, reservation_id: str) -> tuple[Reservation, list[Line], list[Errand]]:
        """A reservation, its log, and what it owes or owed to others.

        Raises:
            ReservationNotFound: No such id.
        """

        def transaction(db: Db) -> tuple[Reservation, list[Line], list[Errand]]:
            row = _find(db, reservation_id)
            return row, history.lines(db, row.saga), history.errands(db, row.saga)

        return await self._run(transaction)

    async def counts(self) -> dict[str, int]:
        """Open reservations by state, and outbox rows not sent yet as `outbox_<kind>`, dead ones as `outbox_dead`."""
        return await self._run(_counts)


def _row(values: tuple[Any, ...]) -> Reservation:
    fields = dict(zip(_COLUMNS, values, strict=True))
    for name in _JSON:
        fields[name] = json.loads(fields[name]) if fields[name] else None
    fields["refusal"] = fields["refusal"] or {}
    fields["state"] = State(fields["state"])
    fields["undo_payment"] = bool(fields["undo_payment"])
    return Reservation(**fields)


def _find(db: Db, reservation_id: str) -> Reservation:
    found = db.execute(f"{_SELECT} WHERE reservation_id = ?", (reservation_id,)).fetchone()
    if found is None:
        raise ReservationNotFound
    return _row(found)


def _accept(
    db: Db,
    request: ReserveRequest,
    run_id: str,
    manage_token: str,
    lease: tuple[str, float],
    now: float,
) -> tuple[Reservation, bool]:
    known = db.execute(
        "SELECT fingerprint, reservation_id FROM reservation WHERE (scope = ? AND key = ?) OR reservation_id = ?",
        (request.scope, request.key, request.reservation_id),
    ).fetchone()
    is_new = db.execute(_REMEMBER, (request.delivery_id, request.reservation_id, now)).rowcount
    if known is None:
        if not is_new:
            raise Forgone
        return _insert(db, request, run_id, manage_token, lease, now), True
    if known[0] != request.fingerprint:
        raise KeyReused
    row = _find(db, known[1])
    if row.state is State.UNAVAILABLE and is_new:
        again = Arrow(
            State.RECEIVED,
            "accept",
            {
                "attempt": row.attempt + 1,
                "delivery_id": request.delivery_id,
                "run_id": run_id,
                "reason": None,
                "hold_token": None,
                "seats": "[]",
                "undo_payment": 0,
            },
        )
        return _advance(db, row, again, lease, now), True
    return row, row.run_id == run_id


def _insert(
    db: Db,
    request: ReserveRequest,
    run_id: str,
    manage_token: str,
    lease: tuple[str, float],
    now: float,
) -> Reservation:
    values = {
        **request.model_dump(exclude={"seats"}),
        "wanted": None if request.seats is None else json.dumps(request.seats),
        "run_id": run_id,
        "manage_token": manage_token,
        "state": State.RECEIVED,
        "attempt": 1,
        "version": 1,
        "seats": "[]",
        "undo_payment": 0,
        "lease_owner": lease[0],
        "lease_until": lease[1],
        "tries": 0,
        "next_at": now,
        "created_at": now,
        "changed_at": now,
    }
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    added = db.execute(
        f"INSERT INTO reservation ({names}) VALUES ({marks}) RETURNING {_NAMES}",  # noqa: S608 - constant names
        values,
    ).fetchone()
    row = _row(added)
    _log(db, row, None, Arrow(State.RECEIVED, "accept", {}), now)
    return row


def _advance(
    db: Db, row: Reservation, arrow: Arrow, lease: tuple[str, float], now: float
) -> Reservation:
    changes = {
        "tries": 0,
        "next_at": now,
        **arrow.fields,
        "state": arrow.target,
        "lease_owner": lease[0],
        "lease_until": lease[1],
        "changed_at": now,
    }
    assignments = ", ".join(f"{name} = :{name}" for name in changes)
    moved = db.execute(
        f"UPDATE reservation SET {assignments}, version = version + 1"  # noqa: S608 - constant names
        " WHERE saga = :saga AND state = :was AND version = :seen"
        f" RETURNING {_NAMES}",
        {**changes, "saga": row.saga, "was": row.state, "seen": row.version},
    ).fetchone()
    if moved is not None:
        current = _row(moved)
        line = _log(db, current, row.state, arrow, now)
        history.keep(db, line, arrow.tries)
        _add_outbox(db, row.saga, arrow, now)
        return current
    current = _find(db, row.reservation_id)
    ours = (arrow.target, row.version + 1, lease[0])
    if (current.state, current.version, current.lease_owner) == ours:
        return current  # our own commit, whose answer was lost
    raise Fenced(f"{row.reservation_id} is {current.state} v{current.version}")


def _log(
    db: Db, row: Reservation, was: State | None, arrow: Arrow, now: float, *, moved: bool = True
) -> int | None:
    """One line of the timeline; `row` as it is after the arrow, `moved` false for a failure that changed nothing."""
    return db.execute(
        "INSERT INTO saga_log (saga, version, attempt, at, from_state, to_state, step, detail)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.saga,
            row.version if moved else None,
            row.attempt,
            now,
            was,
            arrow.target,
            arrow.step,
            arrow.detail,
        ),
    ).lastrowid


def _add_outbox(db: Db, saga: int, arrow: Arrow, now: float) -> None:
    if arrow.target is State.REFUNDING:
        db.execute(
            "UPDATE outbox SET state = 'SUPERSEDED'"
            " WHERE saga = ? AND kind = 'capture' AND state = 'PENDING'",
            (saga,),
        )
    for kind, key, payload, delay_s in arrow.outbox:
        db.execute(
            "INSERT INTO outbox (saga, kind, key, payload, state, next_at, created_at)"
            " VALUES (?, ?, ?, ?, 'PENDING', ?, ?)",
            (saga, kind, key, json.dumps(payload), now + delay_s, now),
        )


def _postpone(db: Db, row: Reservation, failed: Arrow, waited: Try, now: float) -> None:
    moved = db.execute(
        "UPDATE reservation SET next_at = ?, tries = ? WHERE saga = ? AND version = ?",
        (waited.at, row.tries + 1, row.saga, row.version),
    ).rowcount
    if moved and row.tries < 10:
        line = _log(db, row, row.state, failed, now, moved=False)
        history.keep(db, line, (*failed.tries, waited))


def _due(db: Db, now: float, owner: str, single: bool, limit: int) -> list[Reservation]:
    rows = db.execute(
        f"{_SELECT} WHERE state IN ({OPEN_SQL}) AND next_at <= :now"
        " AND (:single OR lease_owner = :owner OR lease_until < :now)"
        " ORDER BY state = 'AUTHORIZED' DESC, next_at, reservation_id LIMIT :limit",
        {"now": now, "owner": owner, "single": single, "limit": limit},
    )
    return [_row(row) for row in rows]


def _counts(db: Db) -> dict[str, int]:
    open_rows = db.execute(
        f"SELECT state, COUNT(*) FROM reservation WHERE state IN ({OPEN_SQL}) GROUP BY state ORDER BY state"  # noqa: S608
    ).fetchall()
    outbox = db.execute(
        "SELECT 'outbox_' || kind, COUNT(*) FROM outbox WHERE state = 'PENDING' GROUP BY kind ORDER BY kind"
    ).fetchall()
    dead = db.execute("SELECT 'outbox_dead', COUNT(*) FROM outbox WHERE state = 'DEAD'").fetchall()
    return {name: count for name, count in (*open_rows, *outbox, *dead) if count}
