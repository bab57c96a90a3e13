"""`load` on real sockets: the wire's failures, and whole runs with buying processes against a stub gateway."""

import asyncio
import contextlib
import json
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from chaos import journal
from chaos.journal import Journal
from chaos.load.plan import Plan
from chaos.load.run import Flood
from chaos.load.wire import Answer, Client
from chaos.mesh import Mesh
from resilience import Runtime
from tests.support import free_base_port, until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
SOLD = json.dumps({"status": "confirmed", "reservation_id": "r", "seats": ["A-01"]}).encode()
EVENTS = json.dumps({"events": [{"event_id": "e", "available": 5, "held": 0, "sold": 5}]}).encode()


class Stub(asyncio.Protocol):
    """A gateway that sells to everybody, and answers no reservation while `stall` is set."""

    def __init__(self, gate: "Gate"):
        self.gate = gate
        self.rest = b""

    def connection_made(self, transport):
        self.transport = transport
        self.gate.connections += 1

    def data_received(self, data):
        self.rest += data
        while (end := self.rest.find(b"\r\n\r\n")) >= 0:
            head = self.rest[:end].decode().lower()
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
            if len(self.rest) < end + 4 + length:
                return
            self.rest = self.rest[end + 4 + length :]
            self.gate.asked(self, head.split()[1])


class Gate:
    """What all connections of a stub share: it stalls for so long, so many seconds after its first reservation."""

    def __init__(self, stall_after_s=None, stall_s=0.0):
        self.connections = self.sold = 0
        self.stall_after_s, self.stall_s = stall_after_s, stall_s
        self.until_s = 0.0

    def asked(self, stub, path):
        loop = asyncio.get_running_loop()
        if path != "/api/reserve":
            body = EVENTS if path == "/api/events" else b"{}"
            stub.transport.write(OK % (len(body), body))
            return
        if not self.sold and self.stall_after_s is not None:
            loop.call_later(self.stall_after_s, self._stall)
        self.sold += 1
        loop.call_at(self.until_s, self._answer, stub)

    def _stall(self):
        self.until_s = asyncio.get_running_loop().time() + self.stall_s

    @staticmethod
    def _answer(stub):
        if not stub.transport.is_closing():
            stub.transport.write(OK % (len(SOLD), SOLD))


@asynccontextmanager
async def stub_mesh(gate: Gate):
    port = free_base_port()
    server = await asyncio.get_running_loop().create_server(lambda: Stub(gate), "127.0.0.1", port)
    async with server:
        yield Mesh(port)


async def flood(plan: Plan, gate: Gate, notes=None, shown=None):
    async with stub_mesh(gate) as mesh:
        show = (lambda _progress: None) if shown is None else shown
        return await Flood(plan, mesh, notes, Runtime.real(), show).run()


async def test_a_stalled_server_shows_in_the_p99_of_an_open_loop():
    """2 s at 100/s, and 0.8 s without an answer: 80 of 200 waited, the worst of them 0.8 s. Bounds, not speeds."""
    report = await flood(Plan("e", requests=200, rate_per_s=100), Gate(0.5, 0.8))
    whole = report.whole
    assert whole.outcomes == {(200, "confirmed"): 200}
    assert whole.due == whole.sent == 200
    assert whole.accepted.at(0.99) > 0.5
    assert whole.accepted.at(0.7) > 0.1
    assert report.ok


async def test_two_processes_share_a_run_and_one_journal(tmp_path):
    path = tmp_path / "j.jsonl"
    with Journal.open(path, clock=Runtime.real().clock, began_at=1.0, by="load") as notes:
        plan = Plan("e", requests=301, workers=5, processes=2, unique_users=True)
        gate = Gate()
        report = await flood(plan, gate, notes)
    assert report.whole.outcomes == {(200, "confirmed"): 301}
    assert gate.sold == 301
    entries = journal.read(path).entries
    bought = [one for one in entries if one.op == "reserve"]
    assert len({one.key for one in bought}) == len({one.user_id for one in bought}) == 301
    assert {one.outcome for one in bought} == {"ok"}
    counts = [one for one in entries if one.op == "count"]
    assert [(one.capacity, one.free) for one in counts] == [(10, 5), (10, 5)]
    assert counts[0].completed_s <= min(one.invoked_s for one in bought)
    assert counts[1].invoked_s >= max(one.completed_s for one in bought)
    assert report.whole.cpu_s > 0


async def test_every_second_is_shown_and_the_services_are_looked_at():
    seen = []

    def show(progress):
        seen.append((progress.number, progress.last.sent, progress.whole.outcomes.total()))

    report = await flood(Plan("e", requests=130, rate_per_s=50), Gate(), shown=show)
    assert seen[0][0] == 0
    assert seen[0][1] > 0
    assert report.samples
    assert report.as_json()["seconds"][0]["sent"] == seen[0][1]


async def test_ctrl_c_starts_nothing_more_and_reports():
    gate = Gate()
    async with stub_mesh(gate) as mesh:
        plan = Plan("e", requests=10_000, rate_per_s=100)
        run = asyncio.create_task(Flood(plan, mesh, None, Runtime.real(), lambda _: None).run())
        await until(lambda: gate.sold > 5, 15)
        run.cancel()
        report = await run
    assert report.interrupted
    assert 5 < report.whole.due == report.whole.accepted.count < 10_000
    assert gate.sold == report.whole.due


# The wire.


async def ask(port, *, limit_s=5.0, times=1):
    """What so many requests, one after the other, come to."""
    client = Client("127.0.0.1", port, asyncio.get_running_loop().time, limit_s)
    found = []
    try:
        for _ in range(times):
            told: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", told.set_result)
            found.append(await told)
    finally:
        client.close()
    return found


@asynccontextmanager
async def answering(*chunks, then_close=False):
    """A server that says this to each request; its port, and how many connections it had."""
    counted, ended = Counter(), []

    async def serve(reader, writer):
        counted["connections"] += 1
        ended.append(over := asyncio.get_running_loop().create_future())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                for chunk in chunks:
                    writer.write(chunk)
                    await writer.drain()
                    await asyncio.sleep(0)
                if then_close:
                    break
        writer.close()
        over.set_result(None)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], counted
        await asyncio.gather(*ended)


async def test_a_connection_is_used_again():
    async with answering(OK % (2, b"{}")) as (port, counted):
        assert await ask(port, times=3) == [Answer(200, body=b"{}")] * 3
    assert counted["connections"] == 1


async def test_headers_that_matter_and_chunks_are_read():
    head = b"HTTP/1.1 429 Too Many\r\nRetry-After: 2\r\nIdempotent-Replayed: true\r\n"
    chunks = (head, b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n")
    async with answering(*chunks) as (port, _):
        expected = Answer(429, "", b"abcde", b"2", replayed=True)
        assert await ask(port, times=2) == [expected, expected]


async def test_a_server_that_closes_after_its_answer_gets_a_new_connection():
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    async with answering(closing, then_close=True) as (port, counted):
        assert [one.status for one in await ask(port, times=2)] == [200, 200]
    assert counted["connections"] == 2


@pytest.mark.parametrize(
    ("chunks", "why"),
    [
        ((), "RemoteProtocolError"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",), "RemoteProtocolError"),
        ((b"hello\r\n\r\n",), "RemoteProtocolError"),
        ((OK % (2_000_000, b"x" * 2_000_000),), "RemoteProtocolError"),
    ],
    ids=["nothing", "cut short", "no HTTP", "too long"],
)
async def test_what_is_no_answer_has_httpx_words(chunks, why):
    async with answering(*chunks, then_close=True) as (port, _):
        (found,) = await ask(port)
    assert (found.status, found.failure) == (0, why)


async def test_who_does_not_answer_is_not_waited_for():
    async with answering() as (port, _):
        assert await ask(port, limit_s=0.1) == [Answer(0, "ReadTimeout")]


async def test_where_nobody_listens_nothing_was_sent():
    assert await ask(free_base_port()) == [Answer(0, "ConnectError")]


async def test_a_run_against_nobody_ends_and_fails():
    report = await Flood(
        Plan("e", requests=10, workers=2),
        Mesh(free_base_port()),
        None,
        Runtime.real(),
        lambda _: None,
    ).run()
    assert report.whole.outcomes == {(0, "ConnectError"): 10}
    assert not report.ok
    assert not report.healthy_after
