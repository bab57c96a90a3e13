"""64 buyers for the last seats, with replies lost at random on every edge: as many are sold as there are, each once.

Every buyer asks again under its own key until it is told something final, and writes down all that it was told; the
auditor checks each seat's history for linearizability.
"""

import asyncio
import json
import sys
from pathlib import Path

import httpx
import pytest

from chaos.journal import Journal, entry_of
from chaos.stack import Stack
from chaos.state import wall_clock
from tests.support import free_base_port
from tests.support.invariants import books

pytestmark = pytest.mark.asyncio(loop_scope="function")

ROOT = Path(__file__).resolve().parents[2]
BUYERS = 64
ENVIRONMENT = {"GATEWAY_MAX_INFLIGHT": "24"}


class Race:
    """Buyers of one event, each with its own key."""

    def __init__(self, stack, client, journal, event_id):
        self.stack = stack
        self.client = client
        self.journal = journal
        self.event_id = event_id

    async def persist(self, number):
        """Ask until the answer is final."""
        while True:
            entry = await self.once(number)
            if entry.status in (200, 402, 404, 409, 504) and entry.code != "request_in_progress":
                return entry
            await asyncio.sleep(0.05 + number % 7 / 20)

    async def once(self, number):
        key = f"last-seat-{number:03}-{self.event_id}"
        asked = {"client": f"b{number}", "key": key, "user_id": f"u{number}", "quantity": 1}
        asked["event_id"] = self.event_id
        body = {name: asked[name] for name in ("user_id", "event_id", "quantity")}
        began_s = self.journal.now_s()
        try:
            response = await self.client.post(
                self.stack.url("gateway", "/api/reserve"),
                json=body,
                headers={"idempotency-key": key},
            )
            status, answer = response.status_code, response.json()
        except httpx.TransportError as error:
            status, answer = 0, {"code": type(error).__name__}
        code = str(answer.get("code") or answer.get("status"))
        at_s = (began_s, self.journal.now_s())
        entry = entry_of("reserve", asked, answer, status=status, code=code, at_s=at_s)
        self.journal.note(entry)
        return entry


async def audit(data, journal):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chaos", "audit", "--json", "--settle", "30"),
        *("--data", str(data), "--journal", str(journal)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, words = await process.communicate()
    assert process.returncode in (0, 1), words.decode()
    return json.loads(output)


@pytest.mark.parametrize("seats", [1, 2, 10])
async def test_the_last_seats_go_to_as_many_buyers_while_replies_get_lost(tmp_path, seats):
    clock = asyncio.get_running_loop().time
    path = tmp_path / "journal" / "race.jsonl"
    async with (
        Stack(base_port=free_base_port(), data=tmp_path, environment=ENVIRONMENT) as stack,
        httpx.AsyncClient(
            timeout=15, trust_env=False, limits=httpx.Limits(max_connections=BUYERS)
        ) as client,
    ):
        order = {"event_id": "concert-01", "seats": seats}
        assert (await client.post(stack.url("inventory", "/admin/reset"), json=order)).is_success
        for service, route in (
            ("gateway", "/api/reserve"),
            ("reservations", "/reserve"),
            ("inventory", "*"),
            ("payments", "*"),
            ("notifications", "*"),
        ):
            lost = {"enabled": True, "probability": 0.15, "route": route}
            answer = await client.post(stack.url(service, "/chaos/lost_reply"), json=lost)
            assert answer.is_success, answer.text
        with Journal.open(
            path, clock=clock, began_at=wall_clock().timestamp(), by="test"
        ) as journal:
            race = Race(stack, client, journal, "concert-01")
            told = await asyncio.gather(*(race.persist(number) for number in range(BUYERS)))
        for service in stack.services:
            await client.delete(stack.url(service, "/chaos"))
        verdict = await audit(tmp_path, path)
        assert verdict["ok"], [one for one in verdict["invariants"] if not one["ok"]]
    won = [entry for entry in told if entry.status == 200]
    assert len(won) == min(BUYERS, seats)
    assert len({seat for entry in won for seat in entry.seats}) == len(won)
    assert {entry.code for entry in told if entry.status != 200} == {"sold_out"}
    assert len(books(tmp_path).confirmed) == len(won)
