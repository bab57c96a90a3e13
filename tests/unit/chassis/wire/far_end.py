"""The other end of the wire: a raw TCP server that does what a script says, and remembers what it was sent."""

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx

from chassis.runtime import _StockWire
from chassis.wire import Wire

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
TIME_OUTS = {"connect": 2.0, "read": 2.0, "write": 2.0, "pool": 2.0}

Outcome = tuple[int, bytes] | tuple[int, bytes, list[tuple[bytes, bytes]]] | str
Script = Callable[["Peer"], Awaitable[None]]


def own(connections: int = 4, keepalive_s: float = 10.0, **how) -> httpx.AsyncBaseTransport:
    return Wire(max_connections=connections, keepalive_s=keepalive_s, **how)


def stock(connections: int = 4, keepalive_s: float = 10.0, **how) -> httpx.AsyncBaseTransport:
    limits = httpx.Limits(
        max_connections=connections,
        max_keepalive_connections=connections,
        keepalive_expiry=keepalive_s,
    )
    return _StockWire(verify=False, limits=limits, trust_env=False, **how)


KINDS: dict[str, Callable[..., httpx.AsyncBaseTransport]] = {"stock": stock, "own": own}
"""The oracle first. Any factory of an httpx transport can be put in here."""


class Peer:
    """One accepted connection, in the hands of a script."""

    def __init__(self, far: "FarEnd", reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._far = far
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """Read one whole request, remember it, and return its body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        body = await self.reader.readexactly(int(length[1])) if length else b""
        if b"transfer-encoding" in head.lower():
            body = await self.reader.readuntil(b"0\r\n\r\n")
        self._far.requests.append(head + body)
        return body

    async def say(self, *pieces: bytes) -> None:
        """Send each piece as a segment of its own, as far as that can be had."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    def reset(self) -> None:
        """Close with RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.writer.transport.abort()

    def at_once(self, said: bytes) -> None:
        """Send this and the end, past the loop: when it returns, both are at the caller's machine."""
        with socket.socket(fileno=os.dup(self.writer.get_extra_info("socket").fileno())) as sock:
            sock.sendall(said)
            sock.shutdown(socket.SHUT_WR)

    async def stay(self) -> None:
        """Say nothing more until the caller hangs up."""
        while await self.reader.read(65536):
            pass


class FarEnd:
    """Listens on a port of its own; `script` has each connection, which ends with it."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.peers: set[asyncio.Task[None]] = set()
        self.accepted = 0
        self.port = 0
        self.script: Script = self.polite

    async def polite(self, peer: Peer) -> None:
        """Answer every request with its own body."""
        while True:
            body = await peer.request() or b"-"
            await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in list(self.peers):
                task.cancel()
            await asyncio.gather(*self.peers, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.peers.add(task)
        self.accepted += 1
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                await self.script(Peer(self, reader, writer))
        finally:
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
            self.peers.discard(task)

    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


async def outcome(wire: httpx.AsyncBaseTransport, url: str, method="POST", **how) -> Outcome:
    """What one call comes to: status and body (and `headers`, if asked for), or the name of an httpx error."""
    headers_too = how.pop("headers_too", False)
    extensions = {"timeout": {**TIME_OUTS, **how.pop("time_outs", {})}}
    how.setdefault("content", b"x" if method == "POST" else None)
    request = httpx.Request(method, url, extensions=extensions, **how)
    try:
        response = await wire.handle_async_request(request)
        try:
            body = await response.aread()
            found = (response.status_code, body)
            return (*found, response.headers.raw) if headers_too else found
        finally:
            await response.aclose()
    except httpx.HTTPError as error:
        return type(error).__name__
