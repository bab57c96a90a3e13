"""Two replicas of one service: one dies by kill -9 under load, and no buyer notices."""

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager

import httpx
import pytest

from chaos.stack import Stack
from tests.support import free_base_port, until
from tests.support.invariants import books

pytestmark = pytest.mark.asyncio(loop_scope="function")


async def buy(client, stack, number):
    body = {"user_id": f"u{number}", "event_id": "festival-01", "quantity": 1}
    return (await client.post(stack.url("gateway", "/api/reserve"), json=body)).status_code


async def is_up(client, port):
    try:
        return (await client.get(f"http://127.0.0.1:{port}/healthz")).is_success
    except httpx.TransportError:
        return False


async def holds_served(client, port):
    """How many holds the replica on `port` answered."""
    scrape = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    return sum(
        float(line.rpartition(" ")[2])
        for line in scrape.splitlines()
        if line.startswith("http_server_request_duration_seconds_count")
        and 'http_route="/reserve"' in line
    )


async def calls_made(client, stack, port):
    """How many hold attempts reservations made at the replica on `port`, refused connections included."""
    live = (await client.get(stack.url("reservations", "/readyz?verbose=1"))).json()["live"]
    (upstream,) = live["edges"]["inventory.hold"].values()
    return upstream["hosts"][f"127.0.0.1:{port}"]["breaker"]["calls"]


@asynccontextmanager
async def replica_of_inventory(port, data):
    """A second inventory process on the same database."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "inventory.app",
        env={**os.environ, "PORT": str(port), "DATA_DIR": str(data), "CHAOS_ENABLED": "1"},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_replica_killed_under_load_costs_no_idempotent_call(tmp_path):
    base, answers, clock = free_base_port(count=6), [], asyncio.get_running_loop().time
    ports = first, second = base + 2, base + 5
    replicas = f"http://127.0.0.1:{first},http://127.0.0.1:{second}"
    environment = {"INVENTORY_URL": replicas, "GATEWAY_MAX_INFLIGHT": "16"}

    async def buyer(client, stack, number):
        for turn in range(40):
            answer = await buy(client, stack, 100 * number + turn)
            answers.append(answer)

    async with (
        Stack(base_port=base, data=tmp_path, environment=environment) as stack,
        replica_of_inventory(second, tmp_path) as replica,
        httpx.AsyncClient(timeout=10) as client,
    ):
        await until(lambda: is_up(client, second), 15)
        assert {await buy(client, stack, n) for n in range(16)} == {200}
        assert [await holds_served(client, port) > 0 for port in ports] == [True, True]
        buyers = [asyncio.create_task(buyer(client, stack, number)) for number in range(8)]
        await until(lambda: len(answers) > 40, 30)
        replica.send_signal(signal.SIGKILL)
        await replica.wait()
        killed_at = clock()
        await until(lambda: clock() > killed_at + 1, 5)
        after_a_second = await calls_made(client, stack, second)
        await asyncio.gather(*buyers)
        # It is ejected: what still goes there is one refused connection each time an ejection ends.
        assert await calls_made(client, stack, second) - after_a_second <= 4
        assert answers == [200] * 320
        await until(lambda: books(tmp_path).violations == [], 15)
