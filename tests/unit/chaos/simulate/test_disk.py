"""Disks: what an error before or after a COMMIT leaves, what a death leaves, and a disk that is full."""

import asyncio
import contextvars
import sqlite3

import pytest

from chaos.simulate.disk import Disk
from chaos.simulate.loop import PROCESS, Process, SimulationLoop
from chaos.simulate.tally import Tally

SCHEMA = """
CREATE TABLE hold_log (seq INTEGER PRIMARY KEY, hold_id TEXT, from_state TEXT, to_state TEXT);
CREATE TABLE stuff (what TEXT);
"""


class Bench:
    """A process on a disk, in a loop of its own."""

    def __init__(self, folder=None):
        self.loop, self.tally = SimulationLoop(), Tally()
        self.disk = Disk("inventory", self.loop, seed=1, tally=self.tally, folder=folder)
        self.process = Process("inventory", 1)
        self.process.die = self.die
        self.context = contextvars.Context()
        self.context.run(PROCESS.set, self.process)
        self.loop.processes.append(self.process)

    def die(self, _why):
        self.process.alive = False
        self.disk.crash(self.process)

    def run(self, coro):
        """The coroutine's result, as this process; None if it dies over it."""

        async def main():
            task = self.loop.create_task(coro, context=self.context)
            await asyncio.sleep(60)
            return task.result() if task.done() else None

        return self.loop.run_until_complete(main())

    async def store(self, name, size=1):
        connection = await self.disk.connect()
        await connection.executescript(SCHEMA.replace("TABLE", "TABLE IF NOT EXISTS"))

        def batch(db):
            db.execute("BEGIN IMMEDIATE")
            try:
                db.execute("INSERT INTO hold_log VALUES (NULL, ?, NULL, 'HELD')", (name,))
                db.execute("INSERT INTO stuff VALUES (?)", ("x" * size,))
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

        try:
            await connection._execute(batch, connection._conn)
        except sqlite3.OperationalError as error:
            return str(error)
        return "stored"

    def stored(self):
        return [row[0] for row in self.disk.rows("SELECT hold_id FROM hold_log ORDER BY seq")]

    def close(self):
        self.disk.destroy()
        self.loop.bury()


@pytest.fixture(params=["memory", "files"])
def bench(request, tmp_path):
    bench = Bench(None if request.param == "memory" else tmp_path)
    yield bench
    bench.close()


def test_a_commit_is_counted_by_what_it_changed(bench):
    assert bench.run(bench.store("a")) == "stored"
    assert bench.stored() == ["a"]
    assert bench.tally.commits == {"inventory: ∅ → HELD": 1}


def test_an_error_before_the_commit_stores_nothing(bench):
    bench.run(bench.store("first"))
    connecting = bench.disk.connect

    async def connect():  # what is opened while the disk is well stays open
        connection = await connecting()
        bench.disk.set_faults({"fail_before": 1.0})
        return connection

    bench.disk.connect = connect
    assert "before the commit" in bench.run(bench.store("a"))
    assert bench.stored() == ["first"]


def test_a_bad_disk_cannot_always_be_opened(bench):
    bench.disk.set_faults({"fail_before": 1.0})

    async def opening():
        with pytest.raises(sqlite3.OperationalError, match="unable to open"):
            await bench.disk.connect()
        return "tried"

    assert bench.run(opening()) == "tried"
    assert bench.tally.faults == {"disk fails to open": 1}


def test_an_error_after_the_commit_stores_everything(bench):
    bench.run(bench.store("first"))
    bench.disk.set_faults({"fail_after": 1.0})
    assert "after the commit" in bench.run(bench.store("a"))
    assert bench.stored() == ["first", "a"]


@pytest.mark.parametrize(("moment", "left"), [("before", ["first"]), ("after", ["first", "a"])])
def test_a_death_at_a_commit_leaves_what_was_committed(bench, moment, left):
    bench.run(bench.store("first"))
    bench.disk.kill_at_commit(1, moment)
    assert bench.run(bench.store("a")) is None
    assert not bench.process.alive
    assert bench.stored() == left
    assert bench.tally.killed == {f"{moment} inventory: ∅ → HELD": 1}


def test_what_a_dead_process_had_not_committed_is_gone_though_a_cursor_is_left(bench):
    bench.run(bench.store("first"))

    async def begins():
        connection = await bench.disk.connect()
        raw = connection._conn
        raw.execute("BEGIN IMMEDIATE")
        return raw.execute("INSERT INTO stuff VALUES ('never')"), raw.execute("SELECT * FROM stuff")

    cursors = bench.run(begins())
    bench.die("while its cursors live")
    assert len(cursors) == 2
    assert bench.disk.rows("SELECT COUNT(*) FROM stuff") == [(1,)]


def test_a_full_disk_refuses_what_needs_room_until_it_is_healed(bench):
    bench.run(bench.store("first"))
    bench.disk.fill()
    assert "full" in bench.run(bench.store("big", size=100_000))
    assert bench.tally.faults["disk full"] == 1
    assert bench.stored() == ["first"]
    bench.disk.heal()
    assert bench.run(bench.store("big", size=100_000)) == "stored"


def test_a_witness_sees_a_commit_before_and_after(bench):
    seen = []
    bench.disk.witness = lambda _db, arrows, done: seen.append((arrows[0].subject, done))
    bench.run(bench.store("a"))
    bench.disk.set_faults({"fail_after": 1.0})
    bench.run(bench.store("b"))
    assert seen == [("a", False), ("a", True), ("b", False), ("b", True)]


def test_a_copy_of_a_database_is_where_another_may_begin():
    one, other = Bench(), Bench()
    one.run(one.store("a"))
    other.disk.load(one.disk.save())
    assert other.stored() == ["a"]
    one.close()
    other.close()
