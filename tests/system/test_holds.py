"""Inventory is away for longer than a hold lives, while a sale is past its pivot: the buyer still gets the seat."""

import asyncio
import signal
import sqlite3
from contextlib import closing

import httpx
import pytest

from chaos.stack import Stack
from tests.support import free_base_port, until
from tests.support.invariants import books

pytestmark = pytest.mark.asyncio(loop_scope="function")

TTL_S = 1
ENVIRONMENT = {"HOLD_TTL_S": str(TTL_S), "HOLD_GRACE_S": "0", "SWEEP_PAUSE_S": "30"}


def states(data, database, table):
    with closing(sqlite3.connect(f"file:{data / database}?mode=ro", uri=True)) as db:
        return [state for (state,) in db.execute(f"SELECT state FROM {table}")]


async def test_a_sale_past_its_pivot_outlives_an_inventory_that_is_away(tmp_path):
    async with (
        Stack(base_port=free_base_port(), data=tmp_path, environment=ENVIRONMENT) as stack,
        httpx.AsyncClient(timeout=10, trust_env=False) as client,
    ):
        slow = {"enabled": True, "seconds": 0.6}
        await client.post(stack.url("payments", "/chaos/latency"), json=slow)
        body = {"user_id": "ana", "event_id": "concert-01", "quantity": 1}
        url = stack.url("gateway", "/api/reserve")
        buying = asyncio.create_task(client.post(url, json=body))
        await until(lambda: states(tmp_path, "reservations.db", "reservation") == ["HELD"], 10)
        await stack.kill("inventory", signal.SIGSTOP)
        await until(
            lambda: states(tmp_path, "reservations.db", "reservation") == ["AUTHORIZED"], 10
        )
        answer = await buying
        assert answer.status_code == 202, answer.text
        since = asyncio.get_running_loop().time()
        # Longer than the promise, and so long that inventory notices that it was away.
        await until(lambda: asyncio.get_running_loop().time() > since + 3 * TTL_S, 10)
        await stack.kill("inventory", signal.SIGCONT)
        await until(lambda: states(tmp_path, "reservations.db", "reservation") == ["CONFIRMED"], 15)
        assert states(tmp_path, "inventory.db", "hold") == ["SOLD"]
        await until(lambda: books(tmp_path).violations == [], 15)
