"""At rest or not, and the three figures that must be zero: read straight from the database files, read-only.

A cross-check of a few lines beside the auditor, so that the matrix never depends on one reader alone.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chaos.journal import Entry

_OPEN: Final = (
    (
        "reservation",
        "reservations.db",
        """SELECT state, COUNT(*) FROM reservation
           WHERE state IN ('RECEIVED', 'HELD', 'AUTHORIZED', 'CANCELLING', 'REFUNDING') GROUP BY state""",
    ),
    (
        "outbox",
        "reservations.db",
        "SELECT kind, COUNT(*) FROM outbox WHERE state = 'PENDING' GROUP BY kind",
    ),
    (
        "hold",
        "inventory.db",
        "SELECT state, COUNT(*) FROM hold WHERE state = 'HELD' GROUP BY state",
    ),
    (
        "payment",
        "payments.db",
        "SELECT state, COUNT(*) FROM payment WHERE state LIKE '%PENDING' OR state = 'AUTHORIZED' GROUP BY state",
    ),
    (
        "message",
        "notifications.db",
        "SELECT state, COUNT(*) FROM message WHERE state IN ('ACCEPTED', 'INFLIGHT') GROUP BY state",
    ),
)


_FINAL: Final = frozenset({402, 404, 409, 504})
"""Statuses that decide a key, whatever its earlier deliveries heard; 429 and 503 are about one delivery."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of everything; the last five must be zero.

    Attributes:
        acknowledged: Purchases that a buyer was told are confirmed.
        unknown: Keys that were left open by one answer and decided by no other.
        confirmed: Confirmed reservations in the end.
        lost: Acknowledged, not cancelled by their buyer, and not confirmed.
        oversold: Seats that more than one confirmed reservation has, or that a confirmed one has not got in inventory.
        charged_without_seat: Captures at the provider without a confirmed reservation of that amount.
        seat_without_charge: Confirmed reservations whose money was not taken.
        refused_yet_confirmed: Confirmed although the last answer was a refusal, or the only one a 503.
    """

    acknowledged: int
    unknown: int
    confirmed: int
    lost: int
    oversold: int
    charged_without_seat: int
    seat_without_charge: int
    refused_yet_confirmed: int

    @property
    def ok(self) -> bool:
        """Whether all that must be zero is zero."""
        return not (
            self.lost
            or self.oversold
            or self.charged_without_seat
            or self.seat_without_charge
            or self.refused_yet_confirmed
        )

    def __add__(self, other: "Figures") -> "Figures":
        """Both together."""
        names = self.__dataclass_fields__
        return Figures(**{name: getattr(self, name) + getattr(other, name) for name in names})


NOTHING: Final = Figures(0, 0, 0, 0, 0, 0, 0, 0)


def _rows(data: Path, database: str, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{data / database}?mode=ro", uri=True, timeout=5.0)) as db:
        return db.execute(sql).fetchall()


def still_open(data: Path) -> dict[str, int]:
    """What is not at an end yet, by "thing STATE"; empty at rest.

    Raises:
        sqlite3.Error: A file cannot be read.
    """
    return {
        f"{thing} {state}": count
        for thing, database, sql in _OPEN
        for state, count in _rows(data, database, sql)
    }


def figures(data: Path, entries: Iterable[Entry]) -> Figures:
    """Add up databases and journal; meant for a mesh at rest."""
    last: dict[str, Entry] = {}
    deliveries: Counter[str] = Counter()
    in_doubt: set[str] = set()
    acknowledged: set[str] = set()
    cancelled: set[str] = set()
    for entry in entries:
        if entry.op == "cancel":
            if entry.outcome != "fail":
                cancelled.add(entry.reservation_id or "")
            continue
        last[entry.key] = entry
        deliveries[entry.key] += 1
        if entry.outcome == "info":
            in_doubt.add(entry.key)
        elif entry.outcome == "ok" or entry.status in _FINAL:
            in_doubt.discard(entry.key)
        if entry.outcome == "ok" and entry.code == "confirmed":
            acknowledged.add(entry.reservation_id or "")
    confirmed = {
        ref: (amount, seats)
        for ref, amount, seats in _rows(
            data,
            "reservations.db",
            "SELECT reservation_id || '.' || attempt, quantity * unit_price, event_id || ' ' || seats"
            " FROM reservation WHERE state = 'CONFIRMED'",
        )
    }
    ids = {ref.rpartition(".")[0] for ref in confirmed}
    refused = {
        entry.reservation_id
        for key, entry in last.items()
        # A 503 is about its own delivery: an earlier one of the same key may have been more fortunate.
        if entry.outcome == "fail" and (entry.status != 503 or deliveries[key] == 1)
    }
    taken = dict(
        _rows(data, "provider.db", "SELECT ref, amount_minor FROM ledger WHERE state = 'captured'")
    )
    owed = {ref: amount for ref, (amount, _) in confirmed.items()}
    return Figures(
        acknowledged=len(acknowledged),
        unknown=len(in_doubt),
        confirmed=len(confirmed),
        lost=len(acknowledged - ids - cancelled),
        oversold=_oversold(data, {ref: seats for ref, (_, seats) in confirmed.items()}),
        charged_without_seat=sum(owed.get(ref) != amount for ref, amount in taken.items()),
        seat_without_charge=sum(taken.get(ref) != amount for ref, amount in owed.items()),
        refused_yet_confirmed=len(refused & ids),
    )


def _oversold(data: Path, confirmed: dict[str, str]) -> int:
    """Seats of confirmed reservations that inventory did not sell to exactly them, and the other way round."""
    sold = dict(
        _rows(
            data,
            "inventory.db",
            "SELECT hold_id, event_id || ' ' || seats FROM hold WHERE state = 'SOLD'",
        )
    )
    owned = _rows(
        data,
        "inventory.db",
        "SELECT hold_id, COUNT(*) FROM seat WHERE hold_id IS NOT NULL GROUP BY hold_id",
    )
    promised = _rows(
        data, "inventory.db", "SELECT hold_id, quantity FROM hold WHERE state IN ('SOLD', 'HELD')"
    )
    differing = {ref for ref in {*sold, *confirmed} if sold.get(ref) != confirmed.get(ref)}
    return len(differing) + len(set(owned) ^ set(promised))
