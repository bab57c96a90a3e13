"""Payments' own database: one row per reference, and every transition of it.

Invariants, each kept by SQL: states move by compare-and-set on state and version, with a log row in the same
transaction; a row is never deleted; an event that is no longer legal changes nothing. So a transaction may be repeated.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from chassis.runtime import Runtime
from chassis.sqlite import Writer, patient
from chassis.telemetry import Metrics
from payments.domain import PaymentEvent, PaymentState, advance, is_legal

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS payment (
    payment_ref TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('AUTH_PENDING', 'AUTHORIZED', 'DECLINED', 'CAPTURE_PENDING', 'CAPTURED',
        'REFUND_PENDING', 'REFUNDED', 'VOID_PENDING', 'VOIDED')),
    version INTEGER NOT NULL, amount_minor INTEGER NOT NULL CHECK (amount_minor >= 0), currency TEXT NOT NULL,
    refund_wanted INTEGER NOT NULL DEFAULT 0 CHECK (refund_wanted IN (0, 1)),
    attempts INTEGER NOT NULL DEFAULT 0, next_at REAL NOT NULL, last_error TEXT,
    created_at REAL NOT NULL, changed_at REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS payment_open ON payment (next_at)
    WHERE state IN ('AUTH_PENDING', 'CAPTURE_PENDING', 'REFUND_PENDING', 'VOID_PENDING');
CREATE TABLE IF NOT EXISTS payment_log (
    seq INTEGER PRIMARY KEY, payment_ref TEXT NOT NULL, version INTEGER NOT NULL, event TEXT NOT NULL, from_state TEXT,
    to_state TEXT NOT NULL, at REAL NOT NULL
) STRICT;
"""
# No index over the log: references are random, and each of a payment's commits would touch a page of its own.

# Spelled as in the schema: only then does SQLite use the partial index.
_IS_OPEN: Final = "state IN ('AUTH_PENDING', 'CAPTURE_PENDING', 'REFUND_PENDING', 'VOID_PENDING')"

_COLUMNS: Final = "payment_ref, state, version, amount_minor, currency, refund_wanted, attempts"

_ERROR_LENGTH: Final = 200

Db = sqlite3.Connection


class PaymentRow(NamedTuple):
    """A payment as stored. `attempts` counts provider calls without an answer since the state was entered."""

    payment_ref: str
    state: PaymentState
    version: int
    amount_minor: int
    currency: str
    refund_wanted: bool
    attempts: int


class Store:
    """All transactions of payments. `now` is always epoch seconds."""

    def __init__(self, writer: Writer, runtime: Runtime, metrics: Metrics) -> None:
        self._run = patient(writer, runtime, metrics)

    async def begin(
        self, payment_ref: str, amount_minor: int, currency: str, *, now: float
    ) -> PaymentRow:
        """The payment of that reference; AUTH_PENDING when this call made it."""
        return await self._run(
            lambda db: (
                _find(db, payment_ref)
                or _create(db, payment_ref, PaymentEvent.PAY, now, (amount_minor, currency))
            )
        )

    async def apply(self, payment_ref: str, event: PaymentEvent, *, now: float) -> PaymentRow:
        """The payment after `event`, or unchanged where `event` is not legal any more.

        A capture that was to be refunded goes on to REFUND_PENDING at once.

        Raises:
            KeyError: There is no such payment, and `event` does not make one.
        """
        return await self._run(lambda db: _apply(db, payment_ref, event, now))

    async def apply_all(
        self, payment_refs: Sequence[str], event: PaymentEvent, *, now: float
    ) -> Mapping[str, PaymentRow]:
        """`apply` to each in one transaction; references that do not exist are left out."""

        def transaction(db: Db) -> dict[str, PaymentRow]:
            known = [ref for ref in payment_refs if _find(db, ref)]
            return {ref: _apply(db, ref, event, now) for ref in known}

        return await self._run(transaction)

    async def cancel(self, payment_ref: str, *, now: float) -> PaymentRow:
        """Void, refund or remember to; an unknown reference becomes a tombstone of amount 0."""
        event = PaymentEvent.CANCEL
        return await self._run(
            lambda db: (
                _apply(db, payment_ref, event, now)
                if _find(db, payment_ref)
                else _create(db, payment_ref, event, now, (0, ""))
            )
        )

    async def get(self, payment_ref: str) -> PaymentRow | None:
        """The payment of that reference."""
        return await self._run(lambda db: _find(db, payment_ref))

    async def postpone(self, row: PaymentRow, *, next_at: float, error: str) -> None:
        """Note that the provider gave no answer; ask again at `next_at`. Nothing if `row` has moved on."""
        await self._run(
            lambda db: (
                db.execute(
                    "UPDATE payment SET attempts = ?, next_at = ?, last_error = ?"
                    " WHERE payment_ref = ? AND version = ?",
                    (
                        row.attempts + 1,
                        next_at,
                        error[:_ERROR_LENGTH],
                        row.payment_ref,
                        row.version,
                    ),
                ).rowcount
            )
        )

    async def open_counts(self) -> dict[str, int]:
        """How many payments are in each *_PENDING state; states without any are left out."""
        return await self._run(_open_counts)

    async def look(self, *, now: float, limit: int) -> tuple[list[PaymentRow], dict[str, int]]:
        """Up to `limit` *_PENDING payments whose time has come, longest waiting first; and `open_counts`."""
        return await self._run(lambda db: (_due(db, now, limit), _open_counts(db)))


def _due(db: Db, now: float, limit: int) -> list[PaymentRow]:
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM payment WHERE {_IS_OPEN} AND next_at <= ?"  # noqa: S608 - constants
        " ORDER BY next_at, payment_ref LIMIT ?",
        (now, limit),
    )
    return [_row(found) for found in rows]


def _open_counts(db: Db) -> dict[str, int]:
    counts = db.execute(
        f"SELECT state, count(*) FROM payment WHERE {_IS_OPEN} GROUP BY state ORDER BY state"  # noqa: S608
    )
    return dict(counts.fetchall())


def _row(found: tuple[str, str, int, int, str, int, int]) -> PaymentRow:
    ref, state, version, amount_minor, currency, refund_wanted, attempts = found
    return PaymentRow(
        ref, PaymentState(state), version, amount_minor, currency, bool(refund_wanted), attempts
    )


def _find(db: Db, payment_ref: str) -> PaymentRow | None:
    found = db.execute(
        f"SELECT {_COLUMNS} FROM payment WHERE payment_ref = ?",  # noqa: S608 - constants
        (payment_ref,),
    ).fetchone()
    return _row(found) if found else None


def _create(
    db: Db, payment_ref: str, event: PaymentEvent, now: float, money: tuple[int, str]
) -> PaymentRow:
    state = advance(None, event)
    db.execute(
        "INSERT INTO payment (payment_ref, state, version, amount_minor, currency, next_at, created_at, changed_at)"
        " VALUES (?, ?, 1, ?, ?, ?, ?, ?)",
        (payment_ref, state, *money, now, now, now),
    )
    _log(db, payment_ref, 1, event, (None, state), now)
    return PaymentRow(payment_ref, state, 1, *money, refund_wanted=False, attempts=0)


def _apply(db: Db, payment_ref: str, event: PaymentEvent, now: float) -> PaymentRow:
    row = _find(db, payment_ref)
    if row is None:
        raise KeyError(payment_ref)
    if not is_legal(row.state, event):
        return row
    if event is PaymentEvent.CANCEL and row.state is PaymentState.CAPTURE_PENDING:
        return row if row.refund_wanted else _move(db, row._replace(refund_wanted=True), event, now)
    moved = _move(db, row, event, now)
    if moved.state is PaymentState.CAPTURED and moved.refund_wanted:
        return _move(db, moved, PaymentEvent.CANCEL, now)
    return moved


def _move(db: Db, row: PaymentRow, event: PaymentEvent, now: float) -> PaymentRow:
    """The one place where a stored state changes."""
    state = advance(row.state, event)
    changed = db.execute(
        "UPDATE payment SET state = ?, version = version + 1, refund_wanted = ?, attempts = 0, next_at = ?,"
        " last_error = NULL, changed_at = ? WHERE payment_ref = ? AND state = ? AND version = ?",
        (state, row.refund_wanted, now, now, row.payment_ref, row.state, row.version),
    ).rowcount
    assert changed == 1, "read in this very transaction"
    _log(db, row.payment_ref, row.version + 1, event, (row.state, state), now)
    return row._replace(state=state, version=row.version + 1, attempts=0)


def _log(
    db: Db,
    payment_ref: str,
    version: int,
    event: PaymentEvent,
    states: tuple[PaymentState | None, PaymentState],
    now: float,
) -> None:
    db.execute(
        "INSERT INTO payment_log (payment_ref, version, event, from_state, to_state, at) VALUES (?, ?, ?, ?, ?, ?)",
        (payment_ref, version, event, *states, now),
    )
