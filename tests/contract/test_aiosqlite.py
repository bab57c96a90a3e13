"""What chassis/sqlite.py needs of aiosqlite's private `_execute`, on the pinned version and a real thread."""

import asyncio
import sqlite3

import pytest

from chassis import runtime
from chassis.errors import StorageUnavailable
from chassis.sqlite import Writer
from chassis.telemetry import Metrics

SCHEMA = "CREATE TABLE IF NOT EXISTS entry (id TEXT PRIMARY KEY) STRICT;"


def insert(name):
    def transaction(db):
        db.execute("INSERT INTO entry VALUES (?)", (name,))
        return name

    return transaction


async def test_a_batch_runs_in_one_hop_on_a_durable_connection(tmp_path):
    plans = ["after"]

    def plan():
        return plans.pop() if plans else None

    async with Writer.open(tmp_path / "t.db", SCHEMA, runtime.real(), Metrics(), plan=plan) as w:
        with pytest.raises(StorageUnavailable):
            await w.run(insert("a"))
        results = await asyncio.gather(*(w.run(insert(f"n{n}")) for n in range(20)))
        assert len(results) == 20
        journal = await w.run(lambda db: db.execute("PRAGMA journal_mode").fetchone()[0])
        synchronous = await w.run(lambda db: db.execute("PRAGMA synchronous").fetchone()[0])
        assert (journal, synchronous) == ("wal", 2)
    db = sqlite3.connect(tmp_path / "t.db")
    assert db.execute("SELECT COUNT(*) FROM entry").fetchone() == (21,)
    db.close()
