"""64 buyers, few seats, replies lost at random everywhere: every buyer who asks again and again learns the truth."""

import asyncio

import pytest

from chaos.journal import read
from tests.controls.world import world

BUYERS = 64
FINAL = {"confirmed", "sold_out"}


async def persist(w, number):
    """Ask with one key until the answer is final; that answer."""
    key, user_id = f"purchase-of-buyer-{number:04}", f"buyer-{number}"
    while True:
        told = await w.buy(key, user_id, client=user_id)
        body = told.json()
        if body.get("code", body.get("status")) in FINAL:
            return body
        await asyncio.sleep(float(told.headers.get("retry-after", 1)) + number / BUYERS)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("seats", [1, 2, 10])
async def test_as_many_are_sold_as_there_are_and_every_journal_agrees(tmp_path, seats, seed):
    async with world(tmp_path, seed=seed) as w:
        await w.post("inventory", "/admin/reset", {"event_id": "concert-01", "seats": seats})
        await w.count()
        for service in ("gateway", "reservations", "inventory", "payments", "notifications"):
            await w.fault(service, "lost_reply", enabled=True, probability=0.15, ttl_s=3000)
        told = await asyncio.gather(*(persist(w, number) for number in range(BUYERS)))
        for service in w.machines:
            await w.fault(service, "lost_reply", enabled=False)
        await w.count()
        winners = [body for body in told if "seats" in body]
        assert len(winners) == seats
        assert len({seat for body in winners for seat in body["seats"]}) == seats
        report = await w.verdict()
    silent = sum(entry.status == 0 for entry in read(tmp_path / "journal" / "buyers.jsonl").entries)
    assert silent > 0, "replies were lost"
    assert report.red == [], report.as_json()
    assert report.facts["seats_sold"] == report.facts["acknowledged"] == seats
    assert report.refusals_not_judged == 0
    assert all(result.judged for result in report.results)
