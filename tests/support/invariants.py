"""What must be true of the databases at rest: sold = confirmed = captured, to the seat and cent, and nothing open."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple


class Books(NamedTuple):
    """What the databases say.

    Attributes:
        confirmed: Hold and payment reference → total in minor units, of every confirmed reservation.
        violations: Sentences; empty when everything adds up.
    """

    confirmed: dict[str, int]
    violations: list[str]


def _rows(data: Path, database: str, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(f"file:{data / database}?mode=ro", uri=True)) as db:
        return db.execute(sql).fetchall()


def books(data: Path) -> Books:
    """Read every database in `data` and add up."""
    found = []

    def empty(label: str, database: str, sql: str) -> None:
        found.extend(f"{label}: {row}" for row in _rows(data, database, sql))

    empty(
        "open reservation",
        "reservations.db",
        "SELECT reservation_id, state, reason FROM reservation"
        " WHERE state IN ('RECEIVED', 'HELD', 'AUTHORIZED', 'CANCELLING', 'REFUNDING')",
    )
    empty(
        "outbox not empty",
        "reservations.db",
        "SELECT key, state FROM outbox WHERE state IN ('PENDING', 'DEAD')",
    )
    empty(
        "gap in the log",
        "reservations.db",
        "SELECT reservation_id FROM saga_log WHERE version IS NOT NULL GROUP BY 1 HAVING MAX(version) <> COUNT(*)",
    )
    empty(
        "seats still held", "inventory.db", "SELECT hold_id, seats FROM hold WHERE state = 'HELD'"
    )
    empty(
        "seat owned by a dead hold",
        "inventory.db",
        "SELECT seat, hold_id FROM seat JOIN hold USING (hold_id) WHERE state NOT IN ('HELD', 'SOLD')",
    )
    empty(
        "payment open",
        "payments.db",
        "SELECT payment_ref, state FROM payment WHERE state LIKE '%PENDING' OR state = 'AUTHORIZED'",
    )
    empty(
        "authorization left open",
        "provider.db",
        "SELECT ref FROM ledger WHERE state = 'authorized'",
    )
    confirmed = dict(
        _rows(
            data,
            "reservations.db",
            "SELECT reservation_id || '.' || attempt, quantity * unit_price FROM reservation WHERE state = 'CONFIRMED'",
        )
    )
    sold = {
        hold
        for (hold,) in _rows(data, "inventory.db", "SELECT hold_id FROM hold WHERE state = 'SOLD'")
    }
    captured = dict(
        _rows(
            data,
            "payments.db",
            "SELECT payment_ref, amount_minor FROM payment WHERE state = 'CAPTURED'",
        )
    )
    taken = dict(
        _rows(data, "provider.db", "SELECT ref, amount_minor FROM ledger WHERE state = 'captured'")
    )
    if sold != set(confirmed):
        found.append(f"sold and confirmed differ: {sorted(sold ^ set(confirmed))}")
    if captured != confirmed:
        found.append(
            f"captured and confirmed differ: {sorted(set(captured.items()) ^ set(confirmed.items()))}"
        )
    if taken != captured:
        found.append(
            f"provider and payments differ: {sorted(set(taken.items()) ^ set(captured.items()))}"
        )
    return Books(confirmed, found)
