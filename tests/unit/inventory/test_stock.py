"""`stock` says what counting seats would, whatever happens to them, and in a database from before there was one."""

import sqlite3

from inventory.store import SCHEMA
from tests.unit.inventory.test_store import counters, hold, inventory


def counted(path) -> dict[str, tuple[int, int]]:
    db = sqlite3.connect(path)
    rows = db.execute("SELECT event_id, COUNT(*), COUNT(*) - COUNT(hold_id) FROM seat GROUP BY 1")
    return {event_id: (seats, free) for event_id, seats, free in rows}


def stock(path) -> dict[str, tuple[int, int]]:
    rows = sqlite3.connect(path).execute("SELECT event_id, seats, free FROM stock")
    return {event_id: (seats, free) for event_id, seats, free in rows}


async def test_stock_is_what_counting_would_say(tmp_path):
    async with inventory(tmp_path) as client:
        token = (await hold(client, "sold.1", quantity=3)).json()["token"]
        await client.post("/confirm", json={"hold_id": "sold.1", "token": token})
        await hold(client, "released.1", quantity=2)
        await client.post("/release", json={"hold_id": "released.1"})
        await hold(client, "refused.1", seats=["A-01"])
        for free in (5, 70):
            answer = await client.post(
                "/admin/reset", json={"event_id": "concert-01", "seats": free}
            )
            assert answer.status_code == 200
        await hold(client, "held.1", seats=["A-04", "A-05"])
        assert await counters(client) == (68, 2, 3)
        await client.post("/release", json={"hold_id": "sold.1"})
        assert await counters(client) == (71, 2, 0)
    assert stock(tmp_path / "inventory.db") == counted(tmp_path / "inventory.db")


async def test_a_database_from_before_there_was_stock_is_counted_once(tmp_path):
    async with inventory(tmp_path) as client:
        await hold(client, "held.1", quantity=3)
    path = tmp_path / "inventory.db"
    db = sqlite3.connect(path, isolation_level=None)
    for kind, name in (
        ("TRIGGER", "event_comes"),
        ("TRIGGER", "seat_comes"),
        ("TRIGGER", "seat_goes"),
        ("TRIGGER", "seat_moves"),
        ("TABLE", "stock"),
    ):
        db.execute(f"DROP {kind} {name}")
    db.executescript(SCHEMA)
    db.close()
    assert stock(path) == counted(path)
    async with inventory(tmp_path) as client:
        assert await counters(client) == (93, 3, 0)
