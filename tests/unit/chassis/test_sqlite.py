"""The one writer: what is answered is stored, what is unknown is said to be, and nobody can hurt the others."""

import asyncio
import random
import sqlite3
from contextlib import asynccontextmanager, closing

import pytest

from chassis import runtime
from chassis.errors import StorageUnavailable
from chassis.serve import serve
from chassis.settings import ServiceSettings
from chassis.sqlite import Writer, is_of_another_format, patient
from chassis.telemetry import Metrics

SCHEMA = "CREATE TABLE IF NOT EXISTS entry (id TEXT PRIMARY KEY) STRICT;"


class Plans:
    """What happens to the next batches."""

    def __init__(self, *plans):
        self.plans = list(plans)

    def __call__(self):
        return self.plans.pop(0) if self.plans else None


@asynccontextmanager
async def writer(tmp_path, *plans, metrics=None):
    effects = runtime.simulated(3, {})
    async with Writer.open(
        tmp_path / "t.db", SCHEMA, effects, metrics or Metrics(), plan=Plans(*plans)
    ) as opened:
        yield opened


def insert(name):
    def transaction(db):
        db.execute("INSERT INTO entry VALUES (?)", (name,))
        return name

    return transaction


def stored(tmp_path):
    with sqlite3.connect(tmp_path / "t.db") as db:
        found = sorted(name for (name,) in db.execute("SELECT id FROM entry"))
    db.close()
    return found


async def test_waiting_transactions_share_one_commit(tmp_path):
    metrics = Metrics()
    async with writer(tmp_path, metrics=metrics) as w:
        names = [f"n{n:03}" for n in range(100)]
        assert await asyncio.gather(*(w.run(insert(name)) for name in names)) == names
        sample = metrics.registry.get_sample_value
        items = sample("store_batch_size_sum", {"database": "t"})
        commits = sample("store_batch_size_count", {"database": "t"})
        assert (items, commits) == (100, 1)
    assert stored(tmp_path) == names


async def test_one_bad_transaction_spoils_no_other(tmp_path):
    async with writer(tmp_path) as w:
        results = await asyncio.gather(
            w.run(insert("a")), w.run(insert("a")), w.run(insert("b")), return_exceptions=True
        )
    assert results[0] == "a"
    assert isinstance(results[1], sqlite3.IntegrityError)
    assert results[2] == "b"
    assert stored(tmp_path) == ["a", "b"]


async def test_a_failing_transaction_leaves_none_of_its_writes(tmp_path):
    def half(db):
        db.execute("INSERT INTO entry VALUES ('half')")
        raise LookupError

    async with writer(tmp_path) as w:
        with pytest.raises(LookupError):
            await w.run(half)
    assert stored(tmp_path) == []


@pytest.mark.parametrize(("plan", "left"), [("before", []), ("after", ["a"])])
async def test_a_failed_commit_is_unknown_to_its_callers(tmp_path, plan, left):
    """Stored or not, the caller hears the same: nobody may conclude anything from it."""
    async with writer(tmp_path, plan) as w:
        with pytest.raises(StorageUnavailable):
            await w.run(insert("a"))
        assert await w.run(insert("b")) == "b"
    assert stored(tmp_path) == [*left, "b"]


async def test_patience_tries_three_times(tmp_path):
    async with writer(tmp_path, "before", "before") as w:
        run = patient(w, w._runtime, Metrics())
        assert await run(insert("a")) == "a"
    assert stored(tmp_path) == ["a"]
    async with writer(tmp_path, "before", "before", "before") as w:
        with pytest.raises(StorageUnavailable):
            await patient(w, w._runtime, Metrics())(insert("b"))


async def test_cancelled_callers_hurt_nobody(tmp_path):
    """With one shared transaction per request, 17,992 of 20,000 innocent callers failed here."""
    lots = random.Random(5)
    async with writer(tmp_path) as w:

        async def impatient(name):
            async with asyncio.timeout(lots.random() * 0.002):
                return await w.run(insert(name))

        results = await asyncio.gather(
            *(impatient(f"n{n:04}") for n in range(500)), return_exceptions=True
        )
        assert {type(result) for result in results} == {str, TimeoutError}
        assert await w.run(insert("last")) == "last"
    answered = {result for result in results if isinstance(result, str)}
    assert answered <= set(stored(tmp_path))


async def test_leaving_writes_what_was_queued(tmp_path):
    async with writer(tmp_path) as w:
        late = asyncio.gather(*(w.run(insert(f"n{n}")) for n in range(5)))
        await asyncio.sleep(0)
    assert await late == [f"n{n}" for n in range(5)]
    assert len(stored(tmp_path)) == 5


def of_old(path):
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE entry (name TEXT)")
        db.commit()


async def test_a_database_of_another_version_is_known_by_its_first_page(tmp_path):
    assert not is_of_another_format(tmp_path / "t.db")
    async with writer(tmp_path) as w:
        await w.run(insert("a"))
        (tmp_path / "killed.db").write_bytes((tmp_path / "t.db").read_bytes())  # all else is in WAL
        assert not is_of_another_format(tmp_path / "killed.db")
    async with writer(tmp_path):
        assert not is_of_another_format(tmp_path / "t.db")
    (tmp_path / "empty.db").touch()
    assert not is_of_another_format(tmp_path / "empty.db")
    of_old(tmp_path / "old.db")
    assert is_of_another_format(tmp_path / "old.db")


async def test_to_open_a_database_again_takes_no_write_lock(tmp_path):
    async with writer(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / "t.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with writer(tmp_path):
            assert stored(tmp_path) == []


def test_a_service_does_not_start_on_data_of_another_version(tmp_path, monkeypatch, capsys):
    of_old(tmp_path / "inventory.db")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("CHAOS_ENABLED", "1")
    with pytest.raises(SystemExit) as ended:
        serve("inventory", ServiceSettings, lambda *_: pytest.fail("it was built"))
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith(f"inventory: DATA_DIR: {tmp_path / 'inventory.db'}: ")
    assert "--data" in said
