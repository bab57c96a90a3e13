"""Two of everything that may be two: orchestrators on one database and inventories on one file, one of them paused.

A second column gateway → reservations → inventory stands beside the mesh and shares its databases; payments and
notifications are the mesh's own. Leases are short, so that one column takes up what the other dropped.
"""

import asyncio
import os
import signal
import sqlite3
import sys
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest

from chaos.ports import answers_ok
from chaos.stack import Stack
from tests.support import free_base_port, until
from tests.support.invariants import books

pytestmark = pytest.mark.asyncio(loop_scope="function")

ROOT = Path(__file__).resolve().parents[2]
LEASE_S = 2
ENVIRONMENT = {
    "GATEWAY_MAX_INFLIGHT": "24",
    "ORCHESTRATORS": "2",
    "LEASE_S": str(LEASE_S),
    "CHAOS_ENABLED": "1",
    "ID_SECRET": "laboratorio-sin-secretos",
}


@asynccontextmanager
async def second(service, stack, port, **urls):
    """One more process of a service, on the databases of the mesh."""
    environment = {
        **os.environ,
        **ENVIRONMENT,
        "PORT": str(port),
        "DATA_DIR": str(stack.data),
        **{f"{name.upper()}_URL": stack.url(name) for name in stack.services},
        **{f"{name.upper()}_URL": url for name, url in urls.items()},
    }
    with (stack.data / f"second-{service}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"{service}.app"),
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        await until(lambda: answers_ok(port, "/healthz"), 15)
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        await process.wait()


@asynccontextmanager
async def two_columns(data):
    """The mesh, the second reservations' process, and the addresses of both gateways and both inventories."""
    async with AsyncExitStack() as parts:
        stack = await parts.enter_async_context(
            Stack(base_port=free_base_port(), data=data, environment=ENVIRONMENT, max_backoff_s=0.3)
        )
        ports = range(first := free_base_port(3), first + 3)
        gateway, reservations, inventory = (f"http://127.0.0.1:{port}" for port in ports)
        await parts.enter_async_context(second("inventory", stack, ports[2]))
        process = await parts.enter_async_context(
            second("reservations", stack, ports[1], inventory=inventory)
        )
        await parts.enter_async_context(
            second("gateway", stack, ports[0], reservations=reservations, inventory=inventory)
        )
        gateways = (stack.url("gateway"), gateway)
        inventories = (stack.url("inventory"), inventory)
        yield stack, process, gateways, inventories


async def buy(client, gateway, key, user, **more):
    body = {"user_id": user, "event_id": "festival-01", "quantity": 1, **more}
    answer = await client.post(
        f"{gateway}/api/reserve", json=body, headers={"idempotency-key": key}
    )
    return answer.status_code, answer.json()


async def buyer(gateway, number, answers, stop):
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        turn = 0
        while not stop.is_set():
            turn += 1
            key = f"column-{number:02}-{turn:05}-{'x' * 8}"
            answers[key] = await buy(client, gateway, key, f"u{number}")


@asynccontextmanager
async def buying(gateways, answers, stop):
    """Twelve buyers at both gateways until `stop`, or to the end of the block."""
    buyers = [
        asyncio.create_task(buyer(gateways[number % 2], number, answers, stop))
        for number in range(12)
    ]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*buyers, return_exceptions=True)


async def fault(stack, service, name, **order):
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        answer = await client.post(stack.url(service, f"/chaos/{name}"), json=order)
        assert answer.status_code == 200, answer.text


def rows(data, sql):
    with closing(sqlite3.connect(f"file:{data / 'reservations.db'}?mode=ro", uri=True)) as db:
        return db.execute(sql).fetchall()


async def stopped_amid_sagas(pid, data):
    """Whether `pid` is stopped now with sagas under way, and without the write lock, which would stop the other one."""
    os.kill(pid, signal.SIGSTOP)
    # A signal takes its time: a thread on its way through a system call may still come by the lock.
    await until(lambda: threads_stand(pid), 5)
    drivers = "SELECT COUNT(DISTINCT lease_owner) FROM reservation WHERE state = 'HELD'"
    if is_unlocked(data) and rows(data, drivers)[0][0] == 2:
        return True
    os.kill(pid, signal.SIGCONT)
    return False


def threads_stand(pid):
    """Whether no thread of `pid` runs; without /proc nobody can tell."""
    tasks = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(one.read_text().rpartition(") ")[2].startswith("T") for one in tasks)


def is_unlocked(data):
    with closing(
        sqlite3.connect(data / "reservations.db", timeout=0.1, isolation_level=None)
    ) as db:
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        db.execute("ROLLBACK")
    return True


def agree(answers, data):
    """Every acknowledgement is a confirmed reservation, no refusal is."""
    confirmed = {ref.rpartition(".")[0] for ref in books(data).confirmed}
    told = {status: set() for status in (200, 202, 402, 404, 409, 429, 503, 504)}
    for status, body in answers.values():
        told[status].add(body.get("reservation_id"))
    assert told[200] <= confirmed
    assert not (told[402] | told[404] | told[503] | told[504]) & confirmed
    assert not [body for _, body in answers.values() if body.get("code") == "deadline_exceeded"]
    return told


@pytest.mark.parametrize("paused", ["first", "second"])
async def test_a_paused_orchestrator_is_taken_over_and_fenced_when_it_wakes(tmp_path, paused):
    answers, stop = {}, asyncio.Event()
    async with AsyncExitStack() as parts:
        stack, process, gateways, _ = await parts.enter_async_context(two_columns(tmp_path))
        pid = stack.pids["reservations"] if paused == "first" else process.pid
        log = tmp_path / (
            "logs/reservations.log" if paused == "first" else "second-reservations.log"
        )
        await parts.enter_async_context(buying(gateways, answers, stop))
        await until(lambda: len(answers) >= 30, 30)
        # So that the pause meets sagas in the middle of a payment.
        await fault(stack, "payments", "latency", seconds=0.5)
        before = len(answers)
        await until(lambda: len(answers) >= before + 12, 30)
        await until(lambda: stopped_amid_sagas(pid, tmp_path), 30)
        paused_for = asyncio.create_task(asyncio.sleep(5))
        taken = "SELECT COUNT(*) FROM saga_log WHERE step = 'recover' AND from_state = to_state"
        try:
            await until(lambda: rows(tmp_path, taken)[0][0] > 0, 15)
            await paused_for
        finally:
            os.kill(pid, signal.SIGCONT)
        await until(lambda: "driver_fenced" in log.read_text(), 15)
        await fault(stack, "payments", "latency", seconds=0)
        before = len(answers)
        await until(lambda: len(answers) >= before + 60, 60)
        stop.set()
        await until(lambda: books(tmp_path).violations == [], 30)
        assert len(rows(tmp_path, "SELECT DISTINCT lease_owner FROM reservation")) == 2
        told = agree(answers, tmp_path)
        assert len(told[200]) > 60


async def test_a_killed_orchestrator_is_taken_over_by_the_other_one(tmp_path):
    """The second process dies for good; nobody restarts it, and still everything it began comes to an end."""
    answers, stop = {}, asyncio.Event()
    async with AsyncExitStack() as parts:
        stack, process, gateways, _ = await parts.enter_async_context(two_columns(tmp_path))
        await parts.enter_async_context(buying(gateways, answers, stop))
        await until(lambda: len(answers) >= 60, 30)
        await fault(stack, "payments", "latency", seconds=0.5)
        await until(lambda: _in_flight(tmp_path) >= 4, 30)
        process.kill()
        before = len(answers)
        await until(lambda: len(answers) >= before + 30, 30)
        stop.set()
        await fault(stack, "payments", "latency", seconds=0)
        await until(lambda: books(tmp_path).violations == [], LEASE_S + 20)
        agree(answers, tmp_path)


def _in_flight(data):
    sql = "SELECT COUNT(*) FROM reservation WHERE state = 'HELD'"
    return rows(data, sql)[0][0]


@pytest.mark.parametrize(("quantity", "seats"), [(1, 10), (2, 11), (10, 25)])
async def test_two_inventories_on_one_file_sell_each_seat_once(tmp_path, quantity, seats):
    """The race of the course through both columns at once: `BEGIN IMMEDIATE` is the guard between processes."""
    async with two_columns(tmp_path) as (_stack, _, gateways, inventories):
        async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
            order = {"event_id": "concert-01", "seats": seats}
            answer = await client.post(f"{inventories[1]}/admin/reset", json=order)
            assert answer.status_code == 200, answer.text

            async def persist(number):
                key = f"race-{number:03}-{'x' * 12}"
                while True:
                    status, body = await buy(
                        client,
                        gateways[number % 2],
                        key,
                        f"u{number}",
                        event_id="concert-01",
                        quantity=quantity,
                    )
                    if status not in (202, 429, 503) and body.get("code") != "request_in_progress":
                        return status, body

            told = await asyncio.gather(*(persist(number) for number in range(40)))
        won = [body for status, body in told if status == 200]
        taken = [seat for body in won for seat in body["seats"]]
        assert len(won) == seats // quantity
        assert len(set(taken)) == len(taken) == len(won) * quantity
        assert {body["code"] for status, body in told if status != 200} == {"sold_out"}
        await until(lambda: books(tmp_path).violations == [], 20)
