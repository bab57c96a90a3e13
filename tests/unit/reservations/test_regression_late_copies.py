"""A delivery has one life: whatever the network brings once more, however late, starts nothing.

The simulator found it: a buyer heard `inventory_unavailable` under several deliveries of one key and went away; a late
copy of an earlier one found a row last driven by another delivery, took itself for a new wish, and bought the seat.
"""

import asyncio
import sqlite3
from contextlib import closing

from chassis.errors import StorageUnavailable
from reservations.store import SagaStore
from tests.support.invariants import books
from tests.support.mesh import mesh

ORDER = {
    "reservation_id": "r" + "1" * 32,
    "scope": "reserve:ana",
    "key": "k" * 20,
    "fingerprint": "f" * 64,
    "lang": "es",
    "user_id": "ana",
    "event_id": "concert-01",
    "quantity": 1,
    "seats": None,
    "price_minor": None,
    "email": None,
}


async def deliver(m, delivery_id):
    answer = await m["reservations"].post("/reserve", json=ORDER | {"delivery_id": delivery_id})
    return answer.status_code, answer.json().get("code") or answer.json()["status"]


async def test_a_late_copy_of_an_earlier_delivery_buys_nothing(tmp_path):
    async with mesh(tmp_path) as m:
        await m.fault("inventory", "error")
        for delivery_id in ("first", "second"):
            assert await deliver(m, delivery_id) == (503, "inventory_unavailable")
            await m.fault("inventory", "error", enabled=False)
            await asyncio.sleep(20)  # undone: the key may be tried again
            await m.fault("inventory", "error")
        await m.calm()
        await asyncio.sleep(20)
        assert await deliver(m, "first") == (503, "inventory_unavailable")
        assert (await m.event())["sold"] == 0
        assert await deliver(m, "third") == (200, "confirmed")
        await asyncio.sleep(20)
    assert books(tmp_path).violations == []


async def test_a_late_copy_of_a_delivery_that_only_joined_buys_nothing(tmp_path):
    async with mesh(tmp_path) as m:
        await m.fault("payments", "latency", seconds=0.5)
        await m.fault("payments", "fail")
        driving = asyncio.create_task(deliver(m, "drives"))
        await asyncio.sleep(0.2)
        joining = asyncio.create_task(deliver(m, "joins"))
        assert await driving == await joining == (402, "payment_declined")
        await m.calm()
        await asyncio.sleep(20)
        assert await deliver(m, "joins") == (402, "payment_declined")
        assert stored(tmp_path, "SELECT delivery_id FROM delivery ORDER BY 1") == [
            ("drives",),
            ("joins",),
        ]
    assert books(tmp_path).violations == []


async def test_a_late_copy_of_a_delivery_that_could_not_be_stored_buys_nothing(
    tmp_path, monkeypatch
):
    async def nothing_can_be_stored(*_args, **_options):
        raise StorageUnavailable

    async with mesh(tmp_path) as m:
        with monkeypatch.context() as patch:
            patch.setattr(SagaStore, "accept", nothing_can_be_stored)
            assert await deliver(m, "first") == (503, "storage_unavailable")
        assert await deliver(m, "first") == (503, "storage_unavailable")  # remembered
        await asyncio.sleep(5)
        rows = stored(tmp_path, "SELECT delivery_id, reservation_id FROM delivery")
        assert rows == [("first", None)]  # and written down, so that the next process knows
        assert await deliver(m, "first") == (503, "storage_unavailable")
        assert (await m.event())["sold"] == 0
        assert await deliver(m, "second") == (200, "confirmed")
        await asyncio.sleep(20)
    assert books(tmp_path).violations == []


def stored(data, sql):
    with closing(sqlite3.connect(data / "reservations.db")) as db:
        return db.execute(sql).fetchall()
