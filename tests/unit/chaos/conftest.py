"""Books for the auditor's tests."""

import asyncio
import shutil
from pathlib import Path

import pytest

from resilience.testing import run_virtual
from tests.controls.world import EPOCH, world


async def _business(data: Path) -> float:
    """One sale, one cancelled, one sold out, one declined, one unavailable and bought again; returns the hour."""
    async with world(data) as w:
        await w.post("inventory", "/admin/reset", {"event_id": "concert-02", "seats": 1})
        await w.count("concert-02")
        await w.buy("first".ljust(20, "-"), "ana", event_id="concert-02")
        await w.buy("other".ljust(20, "-"), "berta", event_id="concert-02")
        await w.count("concert-02")
        await w.buy("two".ljust(20, "-"), "carla", quantity=2, seats=["B-01", "B-02"])
        await w.buy("taken".ljust(20, "-"), "dora", seats=["B-01"])
        await w.give_back(await w.buy("back".ljust(20, "-"), "eva"))
        await w.fault("payments", "fail")
        await w.buy("declined".ljust(20, "-"), "flor")
        await w.fault("payments", "fail", enabled=False)
        await w.fault("inventory", "crash")
        await w.buy("again".ljust(20, "-"), "gala")
        await w.fault("inventory", "crash", enabled=False)
        await asyncio.sleep(20)
        await w.buy("again".ljust(20, "-"), "gala")
        await asyncio.sleep(60)
        return EPOCH + asyncio.get_running_loop().time()


@pytest.fixture(scope="session")
def true_books(tmp_path_factory):
    """A folder of books that are true, and when they were written."""
    data = tmp_path_factory.mktemp("books")
    return data, run_virtual(_business(data))


@pytest.fixture
def books(true_books, tmp_path):
    """A copy of them to spoil."""
    source, now = true_books
    shutil.copytree(source, tmp_path / "books")
    return tmp_path / "books", now
