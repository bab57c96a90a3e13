"""Databases that are no files: shared in memory, or copies; the same verdict as from files, look after look."""

import sqlite3
from contextlib import ExitStack, closing, contextmanager
from itertools import count

import pytest

from chaos import journal
from chaos.audit import Books, BooksMissing, audit, audit_books, in_folder, still_open
from chaos.audit.books import DATABASES

_numbers = count()

SPOILT = {
    "whole": [],
    "I4": [("inventory", "UPDATE hold SET state = 'HELD' WHERE state = 'SOLD'")],
    "I7": [("reservations", "UPDATE reservation SET unit_price = 1 WHERE user_id = 'ana'")],
    "I12": [("provider", "INSERT INTO ledger VALUES ('stray.1', 'captured', 5, 'USD', 0)")],
    "I18": [
        ("notifications", "DELETE FROM message_log WHERE event = 'claim'"),
        ("payments", "UPDATE payment SET version = version + 1 WHERE state = 'CAPTURED'"),
    ],
    "several": [
        ("provider", "DROP TRIGGER entry_is_final"),
        ("provider", "UPDATE entry SET amount_minor = 7 WHERE kind = 'capture'"),
        ("reservations", "UPDATE outbox SET state = 'PENDING' WHERE kind = 'capture'"),
        ("inventory", "UPDATE seat SET hold_id = NULL WHERE seat = 'B-01'"),
    ],
}


def spoil(data, name):
    for database, statement in SPOILT[name]:
        with closing(sqlite3.connect(data / f"{database}.db", isolation_level=None)) as db:
            db.execute(statement)


def images_of(data):
    """Copies of the files in `data`, no longer in WAL mode."""
    found = {}
    for name, uri in in_folder(data).items():
        with closing(sqlite3.connect(uri, uri=True)) as db:
            image = db.serialize()
        found[name] = image[:18] + b"\1\1" + image[20:]
    return found


@contextmanager
def shared_memory(data):
    """The books in `data` as databases in memory, shared by name: name → connection, and name → URI."""
    number = next(_numbers)
    with ExitStack() as stack:
        shared = {}
        for name, image in images_of(data).items():
            uri = f"file:/books-{number}-{name}?vfs=memdb"
            shared[name] = stack.enter_context(
                closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0))
            )
            with closing(sqlite3.connect(":memory:")) as copy:
                copy.deserialize(image)
                copy.backup(shared[name])
        yield shared, {name: f"file:/books-{number}-{name}?vfs=memdb&mode=ro" for name in shared}


@pytest.fixture
def memory(books):
    """The books as databases in memory."""
    with shared_memory(books[0]) as found:
        yield found


def by_files(books):
    data, now = books
    return audit(data, now=now, journals=journal.found_in(data)).as_json()


def judged(opened, books):
    data, now = books
    recordings = [journal.read(path) for path in journal.found_in(data)]
    return audit_books(opened, now=now, recordings=recordings).as_json()


@pytest.mark.parametrize("name", SPOILT)
def test_files_and_shared_memory_and_copies_have_one_verdict(books, name):
    spoil(books[0], name)
    expected = by_files(books)
    assert (name in expected["red"]) or name in ("whole", "several")
    assert expected["ok"] == (name == "whole")
    with shared_memory(books[0]) as (_, where), Books(where) as shared, Books() as copies:
        copies.load(images_of(books[0]))
        assert judged(shared, books) == judged(copies, books) == expected
        assert judged(shared, books) == judged(copies, books) == expected, "the second time"


def test_copies_of_one_world_after_another_do_not_mix(true_books, tmp_path):
    """One `Books` for many worlds: nothing of the last one is left, queries compiled for it or not."""
    worlds = []
    for name in [*SPOILT, "whole"]:
        data = tmp_path / f"{len(worlds)}"
        data.mkdir()
        for path in in_folder(true_books[0]):
            (data / f"{path}.db").write_bytes((true_books[0] / f"{path}.db").read_bytes())
        spoil(data, name)
        worlds.append((data, true_books[1]))
    with Books() as one:
        for world in [*worlds, *reversed(worlds)]:
            one.load(images_of(world[0]))
            assert judged(one, world) == by_files(world)


def test_a_copy_with_its_tables_elsewhere_is_read_right(books):
    """SQLite tells schemas apart by a counter alone, which two different ones may share."""
    images = images_of(books[0])
    with closing(sqlite3.connect(":memory:")) as old, closing(sqlite3.connect(":memory:")) as new:
        old.deserialize(images["payments"])
        lines = [line for line in old.iterdump() if line not in ("BEGIN TRANSACTION;", "COMMIT;")]
        new.executescript("CREATE TABLE first (x); " + "\n".join(lines) + "DROP TABLE first;")
        version = old.execute("PRAGMA schema_version").fetchone()[0]
        new.execute(f"PRAGMA schema_version = {version}")
        roots = "SELECT name, rootpage FROM sqlite_schema ORDER BY name"
        assert old.execute(roots).fetchall() != new.execute(roots).fetchall()
        moved = new.serialize()
    with Books() as opened:
        opened.load(images)
        expected = judged(opened, books)
        opened.load({"payments": moved})
        assert judged(opened, books) == expected == by_files(books)


def test_a_look_sees_one_moment_and_the_next_one_what_came_after(books, memory):
    """Others stay connected; they write between two looks, and nobody commits during one."""
    shared, where = memory
    dying = "UPDATE hold SET state = 'RELEASED' WHERE state = 'SOLD'"
    with Books(where, patience_s=0) as opened:
        with opened.as_of(books[1]):
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                shared["inventory"].execute(dying)
            assert opened.rows("SELECT COUNT(*) FROM hold WHERE state = 'SOLD'") == [(3,)]
        shared["inventory"].execute(dying)
        assert "I5" in judged(opened, books)["red"]


def test_who_is_writing_is_under_way_and_cannot_be_audited(books, memory):
    shared, where = memory
    with Books(where, patience_s=0) as opened:
        shared["payments"].execute("BEGIN IMMEDIATE")
        assert still_open(opened) == 1
        with pytest.raises(BooksMissing, match="locked"):
            judged(opened, books)
        shared["payments"].execute("ROLLBACK")
        assert still_open(opened) == 0
        assert judged(opened, books) == by_files(books)


def test_a_look_without_a_journal_knows_nothing_of_the_last_one(books, memory):
    with Books(memory[1]) as opened:
        assert judged(opened, books)["facts"]["requests"] == 8
        report = audit_books(opened, now=books[1])
        assert (report.facts["requests"], report.facts["confirmed"]) == (0, 3)
        assert sum(not result.judged for result in report.results) == 5


def test_shared_memory_cannot_be_written_by_the_auditor(memory):
    with Books(memory[1]) as opened, pytest.raises(sqlite3.OperationalError, match="readonly"):
        opened.rows("UPDATE seat SET hold_id = NULL")


@pytest.mark.parametrize(
    ("database", "statement"),
    [
        ("reservations", "UPDATE reservation SET state = 'CANCELLING' WHERE user_id = 'ana'"),
        ("reservations", "UPDATE outbox SET state = 'PENDING' WHERE rowid = 1"),
        ("inventory", "UPDATE hold SET state = 'HELD' WHERE event_id = 'concert-02'"),
        ("payments", "UPDATE payment SET state = 'CAPTURE_PENDING' WHERE state = 'CAPTURED'"),
        ("notifications", "UPDATE message SET state = 'INFLIGHT' WHERE recipient = 'ana'"),
    ],
)
def test_what_is_under_way_is_seen_without_a_look(memory, database, statement):
    shared, where = memory
    with Books(where) as opened:
        assert still_open(opened) == 0
        assert shared[database].execute(statement).rowcount > 0
        assert still_open(opened) > 0


def test_empty_databases_are_books_that_are_missing():
    with Books() as opened:
        with pytest.raises(BooksMissing):
            still_open(opened)
        with pytest.raises(BooksMissing):
            audit_books(opened, now=0.0)
    assert set(DATABASES) == {"inventory", "payments", "provider", "notifications", "reservations"}
