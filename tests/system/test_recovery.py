"""kill -9 under load: what was acknowledged stays, everything else reaches an end, and the books balance."""

import asyncio

import httpx
import pytest

from chaos.stack import Stack
from tests.support import free_base_port, until
from tests.support.invariants import books

pytestmark = pytest.mark.asyncio(loop_scope="function")

ENVIRONMENT = {"GATEWAY_MAX_INFLIGHT": "24"}


async def buyer(stack, number, answers):
    """Buy until the mesh dies; note every answer under its key."""
    async with httpx.AsyncClient(timeout=10) as client:
        for turn in range(200):
            key = f"buyer-{number:02}-purchase-{turn:04}"
            body = {"user_id": f"u{number}", "event_id": "festival-01", "quantity": 1}
            try:
                answer = await client.post(
                    stack.url("gateway", "/api/reserve"),
                    json=body,
                    headers={"idempotency-key": key},
                )
            except httpx.TransportError:
                return
            answers[key] = (answer.status_code, answer.json())


@pytest.mark.parametrize("wire", ["own", "httpx"])
async def test_kill_9_of_all_five_under_load(tmp_path, wire):
    """On both transports between services: what each of them calls its failures must lead to the same books."""
    port = free_base_port()
    answers = {}
    environment = {**ENVIRONMENT, "WIRE": wire}
    async with Stack(base_port=port, data=tmp_path, environment=environment) as stack:
        buyers = [asyncio.create_task(buyer(stack, number, answers)) for number in range(12)]
        await until(lambda: sum(status == 200 for status, _ in answers.values()) >= 40, 60)
        await stack.stop(kill=True)
        await asyncio.gather(*buyers)
    acknowledged = {
        body["reservation_id"]: body for status, body in answers.values() if status == 200
    }
    assert len(acknowledged) >= 40
    async with Stack(base_port=port, data=tmp_path, environment=environment) as stack:
        await until(lambda: books(tmp_path).violations == [], 10)
        confirmed = {ref.rpartition(".")[0] for ref in books(tmp_path).confirmed}
        assert set(acknowledged) <= confirmed
        async with httpx.AsyncClient(timeout=10) as client:
            for reservation_id, body in list(acknowledged.items())[:10]:
                now = (
                    await client.get(stack.url("gateway", f"/api/reservations/{reservation_id}"))
                ).json()
                assert (now["status"], now["seats"]) == ("confirmed", body["seats"])


async def test_reservations_killed_in_the_middle_is_taken_up_again(tmp_path):
    """The buyers' requests are in flight when the orchestrator dies; each is re-sent or answered 202, never lost."""
    answers = {}
    async with Stack(base_port=free_base_port(), data=tmp_path, environment=ENVIRONMENT) as stack:
        buyers = [asyncio.create_task(buyer(stack, number, answers)) for number in range(8)]
        for goal in (10, 30, 60):
            await until(lambda goal=goal: len(answers) >= goal, 60)
            await stack.kill("reservations")
        await until(lambda: len(answers) >= 100, 60)
        for task in buyers:
            task.cancel()
        await asyncio.gather(*buyers, return_exceptions=True)
        statuses = {status for status, _ in answers.values()}
        assert statuses <= {200, 202, 429, 503}, statuses
        await until(lambda: books(tmp_path).violations == [], 15)
        confirmed = {ref.rpartition(".")[0] for ref in books(tmp_path).confirmed}
        assert {
            body["reservation_id"] for status, body in answers.values() if status == 200
        } <= confirmed
        refused = {
            body["reservation_id"]
            for status, body in answers.values()
            if status == 503 and "reservation_id" in body
        }
        assert not refused & confirmed
