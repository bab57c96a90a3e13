"""What the tests of cancellations share: buy, cancel, and how it must end."""

import asyncio
import sqlite3
from contextlib import closing

from tests.support.invariants import books

EMAIL = "ana@example.com"


def rows(tmp_path, database, sql):
    with closing(sqlite3.connect(tmp_path / database)) as db:
        return db.execute(sql).fetchall()


def entries(tmp_path):
    """What the provider did, in order."""
    return [
        kind for (kind,) in rows(tmp_path, "provider.db", "SELECT kind FROM entry ORDER BY seq")
    ]


def cancel_notices(tmp_path):
    return rows(
        tmp_path,
        "notifications.db",
        "SELECT mailbox.recipient FROM mailbox JOIN message ON number = message"
        " WHERE notification_id LIKE '%.cancelled'",
    )


async def passes(condition, limit_s=30.0):
    """Let virtual time pass until `condition()`."""
    clock = asyncio.get_running_loop().time
    end, looks = clock() + limit_s, 0
    while not condition():
        assert clock() < end, "never came true"
        await asyncio.sleep(min(0.01 * 1.2**looks, 1.0))
        looks += 1


async def cancel(m, bought, token=None):
    headers = {"x-manage-token": bought["manage_token"] if token is None else token}
    path = f"/api/reservations/{bought['reservation_id']}/cancel"
    return await m["gateway"].post(path, headers=headers)


async def bought_by(m, **body):
    answer = await m.reserve(email=EMAIL, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refunded_and_at_rest(m, tmp_path, bought):
    """The end of every cancellation: told once, seats free, nothing open, nothing kept."""
    await passes(lambda: books(tmp_path).violations == [], 60)
    await asyncio.sleep(5)  # and nothing comes after the end
    assert books(tmp_path) == ({}, [])
    assert (await m.event())["available"] == 96
    assert cancel_notices(tmp_path) == [(EMAIL,)]
    path = f"/api/reservations/{bought['reservation_id']}"
    view = (await m["gateway"].get(path)).json()
    assert (view["status"], view["notification"]["sent"]) == ("refunded", True)
    outcomes = [moment["outcome"] for moment in view["timeline"] if moment["step"] != "recover"]
    assert outcomes.count("REFUNDED") == 1
