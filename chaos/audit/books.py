"""All that was written down, in one connection: five databases read-only, and the journals as one more table.

The five are attached to a database in memory with tables of our own, so that one query can compare them. Nothing can be
written to them: `in_folder` opens files with `mode=ro`, and who names other databases says so too. Each is seen as of
one moment; the five moments of files are milliseconds apart, so what is compared across them holds at rest only.

An audit of few rows is mostly the compiling of its queries. Whoever audits often keeps one `Books` open, and gives it
copies of one set of databases after another (`load`): its queries stay compiled.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from chaos.audit.arrows import AGREEMENTS, ARROWS, ENDS_AS, FINAL_REFUSALS
from chaos.journal import Recording

DATABASES: Final = ("inventory", "payments", "provider", "notifications", "reservations")
"""In the order in which they are looked at: what is owed last, so that work done meanwhile does not seem missing."""

_TABLES: Final = """
CREATE TABLE arrow (machine TEXT, from_state TEXT, to_state TEXT, word TEXT);
CREATE INDEX arrow_step ON arrow (machine, to_state, from_state);
CREATE TABLE agreement (payment_state TEXT, ledger_state TEXT);
CREATE TABLE ends_as (kind TEXT, ledger_state TEXT);
CREATE TABLE final_refusal (code TEXT);
CREATE TABLE journal (
    file TEXT, line INTEGER, op TEXT, outcome TEXT, invoked_at REAL, completed_at REAL, client TEXT, scope TEXT,
    key TEXT, user_id TEXT, event_id TEXT, quantity INTEGER, status INTEGER, code TEXT, reservation_id TEXT,
    seats TEXT, total_minor INTEGER, replayed INTEGER, capacity INTEGER, free INTEGER
);
CREATE INDEX journal_key ON journal (scope, key);
CREATE INDEX journal_reservation ON journal (reservation_id);
CREATE TABLE ever_confirmed (reservation_id TEXT PRIMARY KEY);
CREATE TABLE money (
    reservation_id TEXT PRIMARY KEY, captured INTEGER, refunded INTEGER, captures INTEGER, refunds INTEGER
);
"""
"""The first four are constant; the others are filled for each look, and empty again after it."""

_CONSTANT: Final = {
    "arrow": ARROWS,
    "agreement": AGREEMENTS,
    "ends_as": ENDS_AS,
    "final_refusal": tuple((code,) for code in FINAL_REFUSALS),
}

_SHAPE: Final = " UNION ALL ".join(
    f"SELECT '{name}', name, rootpage, sql FROM {name}.sqlite_schema"  # noqa: S608 - constants
    for name in DATABASES
)

_DERIVED: Final = (
    """
    INSERT INTO ever_confirmed
    SELECT DISTINCT reservation_id FROM saga_log JOIN reservation USING (saga) WHERE to_state = 'CONFIRMED'
    """,
    """
    INSERT INTO money
    SELECT rtrim(rtrim(ref, '0123456789'), '.'), SUM(iif(kind = 'capture', amount_minor, 0)),
        SUM(iif(kind = 'refund', amount_minor, 0)), SUM(kind = 'capture'), SUM(kind = 'refund')
    FROM entry GROUP BY 1
    """,
)


class BooksMissing(FileNotFoundError):
    """A database is not there, has no tables yet, or stays locked."""


def in_folder(data: Path) -> dict[str, str]:
    """Where the databases are whose files lie in `data`: name → URI, read-only.

    Raises:
        BooksMissing: A file is not there.
    """
    found = {}
    for name in DATABASES:
        path = data.resolve() / f"{name}.db"
        if not path.is_file():
            raise BooksMissing(str(path))
        found[name] = f"file:{quote(str(path))}?mode=ro"
    return found


class Books:
    """What is written down; `with` closes it. One per thread.

    Within `as_of` everything is seen as of one moment, and there invariants are judged. Outside of it nothing is
    locked, and `rows` sees what is there now.

    Args:
        where: SQLite URI of each of `DATABASES`; `in_folder` tells those of a folder. A database in memory that is
            shared by name (`file:/name?vfs=memdb&mode=ro`) lives as long as these books are open. A database that is
            left out has nothing in it until `load` brings a copy.
        patience_s: Longest wait for a database that is locked, real seconds. A file in WAL mode never is; one in memory
            is while somebody has a write transaction open, and waiting is of no use to whoever has to end it.

    Attributes:
        now: Epoch seconds of the look.
        recordings: Journals of buyers.

    Raises:
        BooksMissing: A database is not there.
    """

    def __init__(
        self, where: Mapping[str, str] = MappingProxyType({}), *, patience_s: float = 5.0
    ) -> None:
        self.now = 0.0
        self.recordings: tuple[Recording, ...] = ()
        self._where = where
        # Names, places and words of all tables of the copies that the compiled queries are for.
        self._shape: list[tuple[Any, ...]] = []
        self._db = sqlite3.connect(
            "file::memory:",
            uri=True,
            isolation_level=None,
            timeout=patience_s,
            cached_statements=256,
        )
        try:
            self._open()
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

    def load(self, images: Mapping[str, bytes]) -> None:
        """Put copies in the place of databases (`sqlite3.Connection.serialize`), outside of `as_of`.

        Args:
            images: By name; not in WAL mode, which a database in memory never is.
        """
        for name, image in images.items():
            self._db.deserialize(image, name=name)
        shape = self.rows(_SHAPE)
        if shape != self._shape:
            # SQLite compares only how often a schema was changed; another one would be read at the wrong pages.
            self._db.execute("ATTACH ':memory:' AS other")
            self._db.execute("DETACH other")  # compiles everything anew
            self._shape = shape

    @contextmanager
    def as_of(self, now: float, recordings: Sequence[Recording] = ()) -> Iterator[Self]:
        """Look at everything as of one moment. In memory, nobody else can commit meanwhile.

        Args:
            now: Epoch seconds of the look.
            recordings: Journals of buyers.

        Raises:
            BooksMissing: A database has no tables yet, or stays locked.
        """
        self.now, self.recordings = now, tuple(recordings)
        self._db.execute("BEGIN")
        try:
            self._read()
            yield self
        finally:
            self._db.execute("ROLLBACK")  # what was filled in is gone again

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

    def _open(self) -> None:
        self._db.deserialize(_our_tables())
        for name in DATABASES:
            uri = self._where.get(name, ":memory:")
            try:
                self._db.execute(f"ATTACH ? AS {name}", (uri,))
            except sqlite3.Error as error:
                raise BooksMissing(f"{uri}: {error}") from error

    def _read(self) -> None:
        try:
            for name in DATABASES:  # the first read takes the snapshot
                self.rows(f"SELECT COUNT(*) FROM {name}.sqlite_schema")  # noqa: S608
            _fill(self._db, "journal", _lines(self.recordings))
            for statement in _DERIVED:
                self._db.execute(statement)
        except sqlite3.Error as error:
            raise BooksMissing(f"{', '.join(self._where.values()) or 'copies'}: {error}") from error


@cache
def _our_tables() -> bytes:
    """A database with `_TABLES` in it: to copy it costs a tenth of what it costs to make it."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(_TABLES)
        for table, rows in _CONSTANT.items():
            _fill(db, table, rows)
        db.commit()
        return db.serialize()


def _fill(db: sqlite3.Connection, table: str, rows: Iterable[Sequence[object]]) -> None:
    given = list(rows)
    if given:
        marks = ", ".join("?" * len(given[0]))
        db.executemany(f"INSERT INTO {table} VALUES ({marks})", given)  # noqa: S608


def _lines(recordings: Sequence[Recording]) -> Iterable[tuple[object, ...]]:
    for recording in recordings:
        file = recording.path.name
        for number, entry in enumerate(recording.entries, start=2):
            yield (
                file,
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
                json.dumps(entry.seats, ensure_ascii=False) if entry.seats else "[]",
                entry.total_minor,
                entry.replayed,
                entry.capacity,
                entry.free,
            )
