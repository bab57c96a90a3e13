"""The outbox: follow-up work that was committed together with what caused it.

Invariants: notices of one reservation leave in order; SENT and SUPERSEDED are ends. DEAD is one for a capture; a dead
notice comes back when notifications was made to send it again.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from chassis.errors import StorageUnavailable
from chassis.runtime import Runtime
from chassis.sqlite import Writer, patient
from chassis.telemetry import Metrics
from reservations.domain import Parcel, Reservation

Db = sqlite3.Connection
Kind = Literal["capture", "notify"]


@dataclass(frozen=True, slots=True)
class Mark:
    """What became of a parcel: `SENT`, `DEAD`, or `PENDING` to be sent again after `delay_s`.

    Attributes:
        at: When, epoch seconds; now, if it is not said.
    """

    key: str
    state: Literal["SENT", "DEAD", "PENDING"]
    detail: str | None = None
    delay_s: float = 0.0
    at: float | None = None


class Waiting(NamedTuple):
    """By kind: when the oldest row not sent was written (epoch seconds), and how many dead letters there are."""

    oldest: dict[str, float]
    dead: dict[str, int]


class OutboxStore:
    """Transactions on the outbox; each may be repeated."""

    def __init__(self, writer: Writer, runtime: Runtime, metrics: Metrics) -> None:
        self._run = patient(writer, runtime, metrics)
        self._runtime = runtime
        # Replaced by the loops, once, when they are built: starts the next round of what sends this kind.
        self.wake: Callable[[str], None] = lambda _kind: None

    def _now(self) -> float:
        return self._runtime.now().timestamp()

    async def due(self, kind: Kind, *, limit: int) -> list[Parcel]:
        """Rows to send now, oldest first; never a notice before an earlier one of its reservation."""
        now = self._now()
        return await self._run(lambda db: _due(db, kind, now, limit))

    async def traces(self, row: Reservation) -> Mapping[str, str]:
        """The trace that the reservation was accepted in, by its id; nothing where none was recorded."""
        if not self._runtime.tracing.is_on:
            return {}
        query = "SELECT traceparent FROM trace WHERE saga = ?"
        try:
            found = await self._run(lambda db: db.execute(query, (row.saga,)).fetchone())
        except StorageUnavailable:  # the saga matters more than its trace
            return {}
        return {} if found is None else {row.reservation_id: found[0]}

    async def mark(self, marks: Sequence[Mark]) -> list[str]:
        """Record what became of parcels; those that are not PENDING any more are left alone.

        Returns:
            The keys that are dead letters now.
        """
        now = self._now()
        return await self._run(lambda db: _mark(db, marks, now))

    async def dead_notices(self, *, limit: int) -> list[Parcel]:
        """Notices that could not be delivered, those asked about longest ago first."""
        return await self._run(lambda db: _dead_notices(db, limit))

    async def revive(self, statuses: Mapping[str, str]) -> None:
        """Make dead notices, by key, SENT where notifications says `delivered`, PENDING where it says `accepted`."""
        now = self._now()
        await self._run(lambda db: _revive(db, statuses, now))


def _due(db: Db, kind: Kind, now: float, limit: int) -> list[Parcel]:
    rows = db.execute(
        """SELECT key, payload, tries, traceparent,
               (SELECT reservation_id FROM reservation WHERE reservation.saga = trace.saga)
           FROM outbox AS mine LEFT JOIN trace USING (saga)
           WHERE kind = ?1 AND state = 'PENDING' AND next_at <= ?2 AND (kind = 'capture' OR NOT EXISTS (
               SELECT 1 FROM outbox AS earlier WHERE earlier.saga = mine.saga
                   AND earlier.kind = ?1 AND earlier.state = 'PENDING' AND earlier.id < mine.id))
           ORDER BY next_at, id LIMIT ?3""",
        (kind, now, limit),
    )
    return [
        Parcel(key, json.loads(payload), tries, {ref: trace} if trace else {})
        for key, payload, tries, trace, ref in rows
    ]


def waiting(db: Db) -> Waiting:
    """What waits in the outbox now."""
    # Ids grow with time, so the index of open rows alone says which is the oldest.
    oldest = db.execute(
        "SELECT kind, created_at FROM outbox"
        " WHERE id IN (SELECT MIN(id) FROM outbox WHERE state = 'PENDING' GROUP BY kind)"
    )
    dead = db.execute("SELECT kind, COUNT(*) FROM outbox WHERE state = 'DEAD' GROUP BY kind")
    return Waiting(dict(oldest.fetchall()), dict(dead.fetchall()))


def _mark(db: Db, marks: Sequence[Mark], now: float) -> list[str]:
    for mark in marks:
        if mark.state == "PENDING":
            db.execute(
                "UPDATE outbox SET tries = tries + 1, next_at = ?, detail = ? WHERE key = ? AND state = 'PENDING'",
                (now + mark.delay_s, mark.detail, mark.key),
            )
        else:
            db.execute(
                "UPDATE outbox SET state = ?, detail = ?, sent_at = ? WHERE key = ? AND state = 'PENDING'",
                (mark.state, mark.detail, now if mark.at is None else mark.at, mark.key),
            )
    keys = json.dumps([mark.key for mark in marks if mark.state == "DEAD"])
    dead = db.execute(
        "SELECT key FROM outbox WHERE state = 'DEAD' AND key IN (SELECT value FROM json_each(?)) ORDER BY id",
        (keys,),
    )
    return [key for (key,) in dead]


def _dead_notices(db: Db, limit: int) -> list[Parcel]:
    rows = db.execute(
        "SELECT key, payload, tries FROM outbox WHERE state = 'DEAD' AND kind = 'notify'"
        " ORDER BY next_at, id LIMIT ?",
        (limit,),
    )
    return [Parcel(row[0], json.loads(row[1]), row[2]) for row in rows]


def _revive(db: Db, statuses: Mapping[str, str], now: float) -> None:
    for key, status in statuses.items():
        state = {"delivered": "SENT", "accepted": "PENDING"}.get(status, "DEAD")
        db.execute(
            "UPDATE outbox SET state = ?, detail = ?, next_at = ?, sent_at = ?"
            " WHERE key = ? AND state = 'DEAD' AND kind = 'notify'",
            (state, status, now, now if state == "SENT" else None, key),
        )
