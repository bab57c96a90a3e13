"""Databases of a mesh that has been at work for long: many events, many seats, a million past reservations.

The past is one reservation that the real mesh made, brought to its end, and then copied by SQL in all five databases:
every row of it, with ids, keys and buyers of its own that are spread over the whole range as real ones are. So the
indices are as large and as scattered as they would be, whatever the schema. Past seats belong to past events.

Not here: what is measured on them (`growth.py`).
"""

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from bench.loadgen import one_flow
from bench.meshes import ours
from inventory.domain import seats_from

DATABASES: Final = ("inventory", "reservations", "payments", "provider", "notifications")
MOST_DIGITS: Final = 16**5
"""What five hexadecimal digits, which name a copy, can tell apart."""

_ROW_LENGTH: Final = 50
_SETTLED_LOOKS: Final = 150
_PAST_EVENT_SEATS: Final = 100_000


@dataclass(frozen=True)
class Template:
    """A data folder with one finished reservation.

    Attributes:
        folder: Holds the five databases.
        tokens: Parts of texts that name it: of its id, its delivery and its buyer.
        event_id: What it was for.
    """

    folder: Path
    tokens: Sequence[str]
    event_id: str


async def template(folder: Path) -> Template:
    """Let the real mesh make one reservation, and stop it when everything is done.

    Raises:
        RuntimeError: It was not confirmed, or its follow-up work does not end.
    """
    async with ours(folder, 1) as mesh:
        if not await one_flow(mesh.port):
            raise RuntimeError("the first reservation was not confirmed")
        for _ in range(_SETTLED_LOOKS):
            await asyncio.sleep(0.1)
            if not _one(folder, "SELECT COUNT(*) FROM outbox WHERE state = 'PENDING'")[0]:
                break
        else:
            raise RuntimeError("the outbox is not worked off")
    names = "SELECT reservation_id, delivery_id, user_id, event_id FROM reservation"
    reservation_id, delivery_id, user_id, event_id = _one(folder, names)
    return Template(folder, (reservation_id[1:], delivery_id, user_id[2:]), event_id)


def _one(folder: Path, query: str) -> tuple[Any, ...]:
    with closing(sqlite3.connect(folder / "reservations.db")) as db:
        found: tuple[Any, ...] = db.execute(query).fetchone()
        return found


def grow(made: Template, folder: Path, events: Sequence[str], seats: int, past: int) -> None:
    """A new data folder.

    Args:
        made: What it begins with.
        folder: Does not exist yet.
        events: Ids of further events.
        seats: Of each of them, all free.
        past: Further reservations, at most a million.
    """
    folder.mkdir()
    for name in DATABASES:
        shutil.copy(made.folder / f"{name}.db", folder)
    with ThreadPoolExecutor() as threads:  # SQLite works outside Python's lock
        for done in [
            threads.submit(_copy, made, folder / f"{name}.db", past) for name in DATABASES
        ]:
            done.result()
    with _filling(folder / "inventory.db") as db:
        _open_events(db, events, seats)


@contextmanager
def _filling(path: Path) -> Iterator[sqlite3.Connection]:
    """A database that nobody uses yet: fast, and lost if the machine stops."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000;"
        )
        db.execute("BEGIN")
        yield db
        db.execute("COMMIT")


def _copy(made: Template, path: Path, past: int) -> None:
    """Every row of the reservation `past` times, in one database."""
    if not past:
        return
    with _filling(path) as db:
        _count(db, made, past)
        tables = (
            "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
        for (table,) in db.execute(tables).fetchall():
            if table in ("event", "stock"):
                continue
            if table == "seat":
                _sell_past_seats(db, made)
            else:
                _copy_table(db, made, table)


def _count(db: sqlite3.Connection, made: Template, past: int) -> None:
    """Table `n`: a row for each copy, with the digits that tell it apart and the event that it is for."""
    taken = {token[:5] for token in made.tokens}  # would be the reservation itself
    most = past + len(taken)
    every = (f"{at * MOST_DIGITS // most:05x}" for at in range(most))
    free = islice((digits for digits in every if digits not in taken), past)
    db.execute("CREATE TEMP TABLE n (i INTEGER PRIMARY KEY, digits TEXT, event TEXT)")
    db.executemany(
        "INSERT INTO n VALUES (?, ?, ?)",
        ((i, digits, f"past-{i // _PAST_EVENT_SEATS:02d}") for i, digits in enumerate(free)),
    )


def _copy_table(db: sqlite3.Connection, made: Template, table: str) -> None:
    described = db.execute(f"PRAGMA main.table_info({table})").fetchall()
    keys = sum(bool(key) for *_, key in described)
    columns = [
        (name, kind)
        for _, name, kind, _, _, key in described
        if not (key and keys == 1 and kind == "INTEGER")  # numbers itself, from 2 on
    ]
    names = ", ".join(name for name, _ in columns)
    copies = ", ".join(_copied(f"one.{name}", kind, made) for name, kind in columns)
    db.execute(f"CREATE TEMP TABLE one AS SELECT * FROM main.{table}")
    db.execute(f"INSERT INTO main.{table} ({names}) SELECT {copies} FROM n CROSS JOIN one")
    db.execute("DROP TABLE one")


def _copied(column: str, kind: str, made: Template) -> str:
    """SQL for a column of a copy."""
    if column == "one.saga":
        return "n.i + 2"
    return _renamed(column, made) if kind == "TEXT" else column


def _renamed(text: str, made: Template) -> str:
    """SQL for `text` with the names of a copy; the first digits differ, so that copies are made in the keys' order."""
    for token in made.tokens:
        text = f"replace({text}, '{token}', n.digits || '{token[5:]}')"
    return f"replace({text}, '{made.event_id}', n.event)"


def _sell_past_seats(db: sqlite3.Connection, made: Template) -> None:
    hold_id = _renamed(f"'r{made.tokens[0]}.1'", made)
    db.execute(
        f"INSERT INTO event SELECT DISTINCT n.event, 'Past', 3500, 'USD', {_ROW_LENGTH} FROM n"
    )
    _hall(db, _PAST_EVENT_SEATS)
    db.execute(
        f"INSERT INTO seat SELECT n.event, seat, row, number, rank, {hold_id}"
        f" FROM n CROSS JOIN hall WHERE rank = i % {_PAST_EVENT_SEATS}"
    )


def _open_events(db: sqlite3.Connection, events: Sequence[str], seats: int) -> None:
    _hall(db, seats)
    for event_id in events:
        db.execute(
            f"INSERT INTO event VALUES (?, 'Grown', 3500, 'USD', {_ROW_LENGTH})", (event_id,)
        )
        db.execute(
            "INSERT INTO seat SELECT ?, seat, row, number, rank, NULL FROM hall", (event_id,)
        )


def _hall(db: sqlite3.Connection, seats: int) -> None:
    db.execute(
        "CREATE TEMP TABLE hall (rank INTEGER PRIMARY KEY, seat TEXT, row TEXT, number INTEGER)"
    )
    hall = islice(seats_from(0, _ROW_LENGTH), seats)
    db.executemany(
        "INSERT INTO hall VALUES (?, ?, ?, ?)", ((s.rank, s.name, s.row, s.number) for s in hall)
    )


def free_seats(data: Path, after: int) -> None:
    """Free what holds after row `after` have taken, in a database that is in use: for one more stretch."""
    with closing(sqlite3.connect(data / "inventory.db", timeout=10)) as db, db:
        db.execute(
            "UPDATE seat SET hold_id = NULL WHERE (event_id, seat) IN ("
            "SELECT event_id, value FROM hold, json_each(seats) WHERE hold.rowid > ?)",
            (after,),
        )


def last_hold(data: Path) -> int:
    """Row number of the last hold."""
    with closing(sqlite3.connect(data / "inventory.db")) as db:
        return int(db.execute("SELECT MAX(rowid) FROM hold").fetchone()[0])


def size_mb(data: Path) -> float:
    """Of all databases, MB."""
    return sum(path.stat().st_size for path in data.glob("*.db")) / 1e6
