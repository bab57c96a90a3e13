"""All that was written down, in one connection: five databases read-only, and the journals as one more table.

The five are attached to an empty database in memory, so that one query can compare them. Nothing can be written to
them: the files are opened with `mode=ro`. Each is seen as of one moment; the five moments are milliseconds apart, so
what is compared across them holds at rest only.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from chaos.audit.arrows import AGREEMENTS, ARROWS, ENDS_AS, FINAL_REFUSALS
from chaos.journal import Recording

DATABASES: Final = ("inventory", "payments", "provider", "notifications", "reservations")
"""In the order in which they are looked at: what is owed last, so that work done meanwhile does not seem missing."""

_TABLES: Final = """
CREATE TEMP TABLE arrow (machine TEXT, from_state TEXT, to_state TEXT, word TEXT);
CREATE TEMP TABLE agreement (payment_state TEXT, ledger_state TEXT);
CREATE TEMP TABLE ends_as (kind TEXT, ledger_state TEXT);
CREATE TEMP TABLE final_refusal (code TEXT);
CREATE TEMP TABLE journal (
    file TEXT, line INTEGER, op TEXT, outcome TEXT, invoked_at REAL, completed_at REAL, client TEXT, scope TEXT,
    key TEXT, user_id TEXT, event_id TEXT, quantity INTEGER, status INTEGER, code TEXT, reservation_id TEXT,
    seats TEXT, total_minor INTEGER, replayed INTEGER, capacity INTEGER, free INTEGER
);
"""

_DERIVED: Final = """
CREATE TEMP TABLE ever_confirmed (reservation_id TEXT PRIMARY KEY);
INSERT INTO ever_confirmed SELECT DISTINCT reservation_id FROM saga_log WHERE to_state = 'CONFIRMED';
CREATE TEMP TABLE money (
    reservation_id TEXT PRIMARY KEY, captured INTEGER, refunded INTEGER, captures INTEGER, refunds INTEGER
);
INSERT INTO money
    SELECT rtrim(rtrim(ref, '0123456789'), '.'), SUM(iif(kind = 'capture', amount_minor, 0)),
        SUM(iif(kind = 'refund', amount_minor, 0)), SUM(kind = 'capture'), SUM(kind = 'refund')
    FROM entry GROUP BY 1;
CREATE INDEX temp.journal_key ON journal (scope, key);
CREATE INDEX temp.journal_reservation ON journal (reservation_id);
"""


class BooksMissing(FileNotFoundError):
    """A database is not there, or has no tables yet."""


class Books:
    """What is written down, as of one moment; `with` closes it.

    Args:
        data: Folder of the databases.
        now: Epoch seconds of the look.
        recordings: Journals of buyers.

    Raises:
        BooksMissing: A database is not there, or has no tables yet.
    """

    def __init__(self, data: Path, *, now: float, recordings: Sequence[Recording] = ()) -> None:
        self.now = now
        self.recordings = tuple(recordings)
        self._db = sqlite3.connect("file::memory:", uri=True, isolation_level=None, timeout=5.0)
        try:
            self._attach(data)
        except sqlite3.Error as error:
            self._db.close()
            raise BooksMissing(f"{data}: {error}") from error
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._db.close()

    def rows(
        self, sql: str, values: Mapping[str, Any] | Sequence[Any] = ()
    ) -> list[tuple[Any, ...]]:
        """Every row of a query."""
        with closing(self._db.execute(sql, values)) as cursor:
            return cursor.fetchall()

    @staticmethod
    def list_of(text: str) -> list[str]:
        """A list as the databases keep it."""
        found: list[str] = json.loads(text)
        return found

    def _attach(self, data: Path) -> None:
        for name in DATABASES:
            path = data.resolve() / f"{name}.db"
            if not path.is_file():
                raise BooksMissing(str(path))
            self._db.execute(f"ATTACH ? AS {name}", (f"file:{quote(str(path))}?mode=ro",))
        self._db.execute("BEGIN")
        for name in DATABASES:  # the first read takes the snapshot
            self._db.execute(f"SELECT COUNT(*) FROM {name}.sqlite_schema").fetchone()  # noqa: S608
        for statement in _statements(_TABLES):
            self._db.execute(statement)
        self._fill("arrow", ARROWS)
        self._fill("agreement", AGREEMENTS)
        self._fill("ends_as", ENDS_AS)
        self._fill("final_refusal", [(code,) for code in FINAL_REFUSALS])
        self._fill("journal", _lines(self.recordings))
        for statement in _statements(_DERIVED):
            self._db.execute(statement)

    def _fill(self, table: str, rows: Iterable[Sequence[object]]) -> None:
        given = [tuple(row) for row in rows]
        if given:
            marks = ", ".join("?" * len(given[0]))
            self._db.executemany(f"INSERT INTO {table} VALUES ({marks})", given)  # noqa: S608


def _statements(script: str) -> list[str]:
    # `executescript` would commit first, and the snapshots would be gone.
    return [statement for statement in script.split(";") if statement.strip()]


def _lines(recordings: Sequence[Recording]) -> Iterable[tuple[object, ...]]:
    for recording in recordings:
        for number, entry in enumerate(recording.entries, start=2):
            yield (
                recording.path.name,
                number,
                entry.op,
                entry.outcome,
                recording.began_at + entry.invoked_s,
                recording.began_at + entry.completed_s,
                entry.client,
                f"reserve:{entry.user_id}",
                entry.key,
                entry.user_id,
                entry.event_id,
                entry.quantity,
                entry.status,
                entry.code,
                entry.reservation_id,
                json.dumps(entry.seats, ensure_ascii=False),
                entry.total_minor,
                entry.replayed,
                entry.capacity,
                entry.free,
            )
