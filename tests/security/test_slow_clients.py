"""Clients that send slowly, or hold connections and nothing else: buyers buy meanwhile, and the slow ones are cut."""

import asyncio
import socket
import sys
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
import pytest_asyncio

from chaos.stack import Stack
from tests.security.attacks import ORDER, get, post
from tests.support import free_base_port, until
from tests.support.raw import exchange

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]

SLOW = 200
RECEIVE_S = 3
BUYERS, EACH = 4, 10
FAR_AWAY = "127.0.0.2"
"""An attacker's address, where all of 127/8 is this machine's."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory):
    """The lab with its five slots at the gateway, and little patience."""
    environment = {"RECEIVE_TIMEOUT_S": str(RECEIVE_S), "MAX_CLIENT_CONNECTIONS": "300"}
    data = tmp_path_factory.mktemp("mesh")
    async with Stack(base_port=free_base_port(), data=data, environment=environment) as running:
        yield running


class Slow:
    """A client that never gets to the end of what it says.

    Attributes:
        heard: What it was told so far.
        is_cut: Whether the far end has closed.
    """

    def __init__(self):
        self.heard = b""
        self.is_cut = False

    async def talk(self, port, beginning, drop, source):
        """Say the beginning, then a drop from time to time, until the far end has had enough."""
        loop = asyncio.get_running_loop()
        with socket.socket() as line, suppress(ConnectionError):
            line.setblocking(False)
            if source is not None:
                line.bind((source, 0))
            await loop.sock_connect(line, ("127.0.0.1", port))
            await loop.sock_sendall(line, beginning)
            while not self.is_cut:
                try:
                    async with asyncio.timeout(0.5):
                        piece = await loop.sock_recv(line, 65536)
                    self.heard += piece
                    self.is_cut = not piece
                except TimeoutError:
                    await loop.sock_sendall(line, drop)
        self.is_cut = True


@asynccontextmanager
async def crowd(port, beginning, drop, source=None):
    """So many slow clients at work."""
    clients = [Slow() for _ in range(SLOW)]
    tasks = [asyncio.create_task(one.talk(port, beginning, drop, source)) for one in clients]
    try:
        yield clients
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def buy(mesh, name):
    """One buyer after another order of the same; the statuses they got."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{mesh.base_port}", timeout=30) as http:
        order = {"user_id": name, "event_id": "festival-01"}
        return [(await http.post("/api/reserve", json=order)).status_code for _ in range(EACH)]


async def is_audited(mesh):
    async with httpx.AsyncClient(timeout=60) as http:
        report = (await http.get(f"http://127.0.0.1:{mesh.base_port}/api/lab/audit")).json()
    return report["ok"]


HEAD = b"POST /api/reserve HTTP/1.1\r\nHost: t\r\n"
LORIS = (HEAD, b"X-A: b\r\n")
BODY = (HEAD + b"Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n{", b" ")
CHUNKS = (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n")
UNASKED = (b"GET /healthz HTTP/1.1\r\nHost: t\r\nContent-Length: 60000\r\n\r\n", b" ")


@pytest.mark.parametrize("attack", [LORIS, BODY, CHUNKS], ids=["head", "body", "chunks"])
async def test_buyers_buy_while_two_hundred_send_slowly_and_those_are_cut(mesh, attack):
    """None of the slow ones takes a slot of the five, and each is told why it is let go."""
    async with crowd(mesh.base_port, *attack) as clients:
        sold = await asyncio.gather(*(buy(mesh, f"buyer-{number}") for number in range(BUYERS)))
        assert sold == [[200] * EACH] * BUYERS
        await until(lambda: all(one.is_cut for one in clients), 60)
    assert {one.heard[:12] for one in clients} <= {b"HTTP/1.1 408", b""}
    told = [one for one in clients if b'"code": "request_timeout"' in one.heard]
    assert len(told) > SLOW / 2, "a drop in the moment of the close may cost the answer"
    assert await is_audited(mesh)


async def test_who_sends_slowly_what_nobody_asked_for_is_cut_too(mesh):
    async with crowd(mesh.base_port, *UNASKED) as clients:
        await until(lambda: all(one.is_cut for one in clients), 60)
    assert {one.heard[:12] for one in clients} == {b"HTTP/1.1 200"}


@pytest.mark.skipif(sys.platform != "linux", reason="needs more than one loopback address")
async def test_one_address_cannot_take_all_connections(mesh):
    """The limit is per address: the attacker's own further requests are refused, the buyers' are not."""
    async with (
        crowd(mesh.base_port, *LORIS, FAR_AWAY) as first,
        crowd(mesh.base_port, *LORIS, FAR_AWAY) as second,
    ):
        await until(lambda: sum(b" 429 " in one.heard for one in (*first, *second)) >= 50, 20)
        refused = [one for one in (*first, *second) if b" 429 " in one.heard]
        assert all(b'"too_many_connections"' in one.heard for one in refused)
        assert await buy(mesh, "buyer") == [200] * EACH
    assert await is_audited(mesh)


async def test_a_thousand_connections_that_come_and_go_leave_nothing_behind(mesh):
    answers = []
    for _ in range(10):
        answers += await asyncio.gather(
            *(exchange(mesh.base_port, get(b"/healthz")) for _ in range(100))
        )
    assert [answer.status for answer in answers] == [200] * 1000
    assert (await exchange(mesh.base_port, post(ORDER))).status == 200
