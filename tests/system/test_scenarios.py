"""The tour and the six scenarios of the course on real processes, by HTTP, by the CLI and by the scripts."""

import asyncio
import json
import os
import sys
from pathlib import Path

import httpx
import pytest

from tests.support import until
from tests.support.invariants import books

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).resolve().parents[2]


async def run(stack, *command):
    """A command of the course against this mesh: its exit code and output."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ, "BASE_PORT": str(stack.base_port)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def cli(stack, *arguments):
    return await run(
        stack, sys.executable, "-m", "chaos", *arguments, "--port", str(stack.base_port)
    )


SCRIPTS = {
    "crash-inventory": ("crash_inventory.sh", "true", "false"),
    "slow-payments": ("slow_payments.sh", "5", "0"),
    "db-flap": ("db_flap.sh", "true", "false"),
    "notifications-down": ("notifications_down.sh", "true", "false"),
}

by_cli_and_by_script = pytest.mark.parametrize("way", ["cli", "script"])


async def switch(stack, way, scenario, *, on):
    """Switch a scenario as a student would: by the command line or by the script of the hand-out."""
    if way == "script":
        script, argument_on, argument_off = SCRIPTS[scenario]
        path = str(ROOT / "scripts" / script)
        code, output = await run(stack, path, argument_on if on else argument_off)
    else:
        seconds = ["--seconds", "5"] if on and scenario == "slow-payments" else []
        code, output = await cli(stack, "chaos", "on" if on else "off", scenario, *seconds)
    assert code == 0, output


async def reserve(stack, key=None, **body):
    headers = {"idempotency-key": key} if key else {}
    wanted = {"user_id": "ana", "event_id": "concert-01", "quantity": 1, **body}
    async with httpx.AsyncClient(timeout=10) as client:
        return await client.post(stack.url("gateway", "/api/reserve"), json=wanted, headers=headers)


async def get(url):
    async with httpx.AsyncClient(timeout=5) as client:
        return (await client.get(url)).json()


async def free_seats(stack, event_id="concert-01"):
    events = (await get(stack.url("gateway", "/api/events")))["events"]
    return next(event["available"] for event in events if event["event_id"] == event_id)


async def serves_again(stack):
    """After every scenario: it sells without a restart, and the books balance."""

    async def sells():
        return (await reserve(stack)).status_code == 200

    await until(sells, 15)
    await until(lambda: books(stack.data).violations == [], 15)


async def test_the_tour(stack):
    first = await reserve(stack, "compra-de-ana-0001", price=50)
    again = await reserve(stack, "compra-de-ana-0001", price=50)
    assert first.status_code == 200, first.text
    body = first.json()
    assert set(body) == {
        "status", "message", "reservation_id", "event_id", "seats", "quantity", "total", "notification", "manage_token",
    }  # fmt: skip
    assert (body["status"], body["quantity"], len(body["seats"])) == ("confirmed", 1, 1)
    assert body["total"] == {"amount_minor": 5000, "currency": "USD"}
    assert body["notification"] == {"sent": True, "detail": None}
    assert again.json() == body
    assert again.headers["idempotent-replayed"] == "true"
    await serves_again(stack)


async def test_64_buyers_race_for_one_seat(stack):
    code, output = await cli(
        stack, "race", "--buyers", "64", "--seats", "1", "--event", "concert-02", "--json"
    )
    report = json.loads(output)
    assert code == 0, output
    counts = {(row["status"], row["code"]): row["count"] for row in report["outcomes"]}
    assert counts == {(200, "confirmed"): 1, (409, "sold_out"): 63}
    await serves_again(stack)


@by_cli_and_by_script
async def test_1_ghost_inventory(stack, way):
    clock = asyncio.get_running_loop().time
    await switch(stack, way, "crash-inventory", on=True)
    took_s = []
    for _ in range(4):
        started = clock()
        answer = await reserve(stack)
        took_s.append(clock() - started)
        assert (answer.status_code, answer.json()["code"]) == (503, "inventory_unavailable")
        assert answer.json()["detail"] == "El servicio de inventario está inactivo."
        assert int(answer.headers["retry-after"]) >= 1
    assert max(took_s) < 1
    live = (await get(stack.url("reservations", "/readyz?verbose=1")))["live"]["edges"]
    (edge,) = live["inventory.hold"].values()
    assert edge["breaker"]["phase"] == "open"
    await switch(stack, way, "crash-inventory", on=False)
    await serves_again(stack)


async def test_1_inventory_really_killed(stack):
    before = stack.restarts["inventory"]
    assert (await cli(stack, "kill", "inventory"))[0] == 0
    await until(lambda: stack.restarts["inventory"] == before + 1, 10)
    await serves_again(stack)


@by_cli_and_by_script
async def test_2_slow_payments(stack, way):
    clock = asyncio.get_running_loop().time
    free = await free_seats(stack)
    await switch(stack, way, "slow-payments", on=True)
    started = clock()
    answer = await reserve(stack)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (504, "payment_timeout")
    assert problem["detail"] == "El pago tardó demasiado y fue cancelado."
    assert clock() - started < 5
    assert await free_seats(stack) == free
    payment = stack.url("payments", f"/payments/{problem['reservation_id']}.1")

    async def voided():
        return (await get(payment))["status"] == "voided"

    await until(voided, 10)
    await switch(stack, way, "slow-payments", on=False)
    await serves_again(stack)


@by_cli_and_by_script
async def test_3_flood(stack, way):
    arguments = ("--requests", "60", "--workers", "12", "--json")
    if way == "script":
        script = str(ROOT / "scripts" / "load_gateway.py")
        code, output = await run(stack, sys.executable, script, *arguments)
    else:
        code, output = await cli(stack, "load", *arguments)
    report = json.loads(output)
    assert code == 0, output
    counts = {(row["status"], row["code"]): row["count"] for row in report["outcomes"]}
    assert counts.get((429, "gateway_saturated"), 0) > 0
    assert set(counts) <= {(200, "confirmed"), (429, "gateway_saturated"), (409, "sold_out")}
    await serves_again(stack)


@by_cli_and_by_script
async def test_4_flapping_database(stack, way):
    assert (await cli(stack, "chaos", "on", "db-flap", "--probability", "1"))[0] == 0
    answer = await reserve(stack)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert answer.json()["detail"] == "No se pudo guardar la reserva."
    assert int(answer.headers["retry-after"]) >= 1
    await switch(stack, way, "db-flap", on=True)
    codes = {(await reserve(stack)).status_code for _ in range(8)}
    assert codes <= {200, 202, 503}
    await switch(stack, way, "db-flap", on=False)
    await serves_again(stack)


@by_cli_and_by_script
async def test_5_lost_mail(stack, way):
    await switch(stack, way, "notifications-down", on=True)
    answer = await reserve(stack, email=f"{way}@example.com")
    body = answer.json()
    assert answer.status_code == 200
    assert body["notification"]["sent"] is False
    await switch(stack, way, "notifications-down", on=False)

    async def delivered():
        messages = (await get(stack.url("notifications", f"/messages?to={way}@example.com")))[
            "messages"
        ]
        return [message["state"] for message in messages] == ["delivered"]

    await until(delivered, 20)
    await serves_again(stack)


async def test_6_race(stack):
    code, output = await run(
        stack, sys.executable, str(ROOT / "scripts/race_condition.py"), "--json"
    )
    report = json.loads(output)
    assert code == 0, output
    assert {(row["status"], row["code"]): row["count"] for row in report["outcomes"]} == {
        (200, "confirmed"): 1,
        (409, "sold_out"): 1,
    }
    await serves_again(stack)
