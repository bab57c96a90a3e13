"""What a reservation owes goes out soon, together with what others owe; a mesh at rest leaves its disks alone."""

import asyncio
import re

from tests.support.mesh import mesh


async def commits(m, service):
    """Commits so far, by database."""
    text = (await m[service].get("/metrics")).text
    found = re.findall(r'store_commit_seconds_count\{database="([a-z]+)"\} (\S+)', text)
    return {database: float(count) for database, count in found}


async def test_money_is_captured_right_after_the_sale(tmp_path):
    async with mesh(tmp_path) as m:
        await asyncio.sleep(0.55)  # far from any round of the outbox
        ref = (await m.reserve()).json()["reservation_id"]
        await asyncio.sleep(0.2)
        payment = (await m["payments"].get(f"/payments/{ref}.1")).json()
        assert payment["status"] == "captured"


async def test_captures_of_a_crowd_leave_together(tmp_path):
    async with mesh(tmp_path, gateway_max_inflight=50) as m:
        await asyncio.gather(
            *(m.reserve(user_id=f"u{n}", event_id="festival-01") for n in range(20))
        )
        await asyncio.sleep(2)
        text = (await m["payments"].get("/metrics")).text
        calls = re.search(r'_seconds_count\{[^}]*"/capture"[^}]*\} (\S+)', text)
        assert float(calls[1]) <= 3


async def test_the_notice_of_a_cancellation_leaves_at_once(tmp_path):
    async with mesh(tmp_path) as m:
        sold = (await m.reserve()).json()
        await asyncio.sleep(5.55)
        path = f"/api/reservations/{sold['reservation_id']}/cancel"
        await m["gateway"].post(path, headers={"x-manage-token": sold["manage_token"]})
        await asyncio.sleep(0.3)
        messages = (await m["notifications"].get("/messages")).json()["messages"]
        assert [message["template"] for message in messages] == ["cancelled", "confirmed"]


async def test_a_round_of_a_loop_is_one_commit(tmp_path):
    async with mesh(tmp_path) as m:
        await m.reserve()
        await asyncio.sleep(30)
        before = {
            name: await commits(m, name) for name in ("payments", "notifications", "reservations")
        }
        await asyncio.sleep(20)
        grown = {
            database: count - before[name][database]
            for name in before
            for database, count in (await commits(m, name)).items()
        }
    assert grown["payments"] <= 21
    assert grown["provider"] == 0
    assert grown["notifications"] <= 21
    # Recovery, captures and notices every second, dead notices every five.
    assert grown["reservations"] <= 3 * 21 + 5
