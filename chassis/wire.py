"""The wire between services: HTTP/1.1 as an httpx transport in which every failure means what it means in httpx.

Invariants, each held by tests/unit/chassis/wire:

- A request goes out at most once. Nothing is sent again, not even a GET on a connection that the server has closed.
- An answer reaches the caller whose request it answers, or nobody. A connection is kept only after one whole answer and
  not a byte more; who gives up, or is cancelled, takes the connection along.
- ConnectError, ConnectTimeout and PoolTimeout say that not one byte was sent; no other failure of the network does.

Not here: one exchange on one connection (`chassis.http1`); retries, deadlines and breakers (`resilience`); streaming,
proxies, HTTP/2.

Source: the failure semantics of httpx 0.28; what differs, and why: docs/adr/0013.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import httpx

from chassis.http1 import Connection, Message, TimeOuts, fail

ANSWER_BYTES: Final = 8 * 2**20
"""Longest answer, head and framing included, before its content is decoded."""


class Wire(httpx.AsyncBaseTransport):
    """Sends requests over kept-alive connections, at most `max_connections` per host and port.

    Answers are complete when they are returned: body read, `elapsed` set. The body of a request is read before anything
    is sent. Time-outs are those of `request.extensions["timeout"]`: `pool` and `connect`, `write` until the request has
    left, `read` between any two segments of the answer. One instance per event loop.

    Args:
        max_connections: Open connections per host and port; further callers wait, first come, first served.
        keepalive_s: How long an idle connection may be reused, seconds. Keep it below the server's own.
        secure: Makes the transport that https URLs go to.
        answer_bytes: Longest answer; see `ANSWER_BYTES`.
        uds: Path of a Unix socket to use instead of host and port.

    Raises (from requests):
        httpx.ConnectError, ConnectTimeout, PoolTimeout: Nothing was sent.
        httpx.LocalProtocolError, UnsupportedProtocol: Nothing was sent; the request is at fault.
        httpx.WriteTimeout, ReadTimeout, ReadError, RemoteProtocolError: The callee may or may not have acted.
    """

    def __init__(
        self,
        *,
        max_connections: int,
        keepalive_s: float,
        secure: Callable[[], httpx.AsyncBaseTransport] = httpx.AsyncHTTPTransport,
        answer_bytes: int = ANSWER_BYTES,
        uds: str | None = None,
    ) -> None:
        self.max_connections = max_connections
        self.keepalive_s = keepalive_s
        self.answer_bytes = answer_bytes
        self.uds = uds
        self.is_closed = False
        self._make_secure = secure
        self._secure: httpx.AsyncBaseTransport | None = None
        self._pools: dict[bytes, _Pool] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and return its answer, body read."""
        if request.url.scheme != "http":
            return await self._elsewhere(request)
        try:
            message = Message.of(request, await request.aread())
            time_outs: TimeOuts = request.extensions.get("timeout") or {}
            pool = self._pools.get(request.url.netloc) or self._open_pool(request.url)
            connection = await pool.take(time_outs)
            try:
                response = await connection.send(message, request, time_outs)
            finally:
                pool.put_back(connection)
            response.read()  # does nothing unless there is something to decode
        except httpx.RequestError as error:
            error.request = request
            raise
        return response

    async def aclose(self) -> None:
        """Close every connection, and wait for nothing.

        Calls in flight end with ReadError, those that wait for a connection and all later ones with ConnectError.
        """
        self.is_closed = True
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        if self._secure is not None:
            await self._secure.aclose()
        await asyncio.sleep(0)  # the loop lets go of aborted sockets in its next round

    def _open_pool(self, url: httpx.URL) -> "_Pool":
        if self.is_closed:
            raise httpx.ConnectError("the transport is closed")
        pool = self._pools[url.netloc] = _Pool(self, url.host, url.port or 80)
        return pool

    async def _elsewhere(self, request: httpx.Request) -> httpx.Response:
        if request.url.scheme != "https":
            raise httpx.UnsupportedProtocol(f"not http: {request.url}", request=request)
        if self._secure is None:
            self._secure = self._make_secure()
        return await self._secure.handle_async_request(request)


class _Pool:
    """The connections to one host and port.

    A connection or place that gets free goes straight to whoever has waited longest, so that no newcomer takes it.
    Hence nobody waits while one is idle or a place is free.
    """

    def __init__(self, wire: Wire, host: str, port: int) -> None:
        self.wire = wire
        self._address = (host, port)
        self._free = wire.max_connections  # places: connections that may still be opened
        self._open: set[Connection] = set()
        self._idle: list[
            Connection
        ] = []  # the one that is idle longest first; the last is reused first
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()

    async def take(self, time_outs: TimeOuts) -> Connection:
        """A connection that is the caller's until it is put back."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_fresh():
                return connection
            self._drop(connection)
            self._free += 1
        if self._free:
            self._free -= 1
        else:
            passed = await self._wait(time_outs.get("pool"))
            if passed is not None:
                if passed.is_fresh():
                    return passed
                self._drop(passed)
        try:
            return await self._connect(time_outs.get("connect"))
        except BaseException:
            self._give(None)
            raise

    def put_back(self, connection: Connection) -> None:
        """Keep the connection if its call ended well; close it otherwise."""
        now_s = connection.rest()
        if not connection.is_reusable:
            self._drop(connection)
            self._give(None)
            return
        connection.expires_s = now_s + self.wire.keepalive_s
        self._give(connection)
        if self._idle and self._idle[0].expires_s < now_s:
            self._drop(self._idle.pop(0))
            self._free += 1

    def forget(self, connection: Connection) -> None:
        """It is gone. Unless it was idle, its place belongs to the call that has it or was just given it."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
            self._give(None)

    def close(self) -> None:
        """Close every connection and wake everyone who waits."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(httpx.ConnectError("the transport is closed"))
        self._waiting.clear()
        self._idle.clear()
        for connection in list(self._open):
            connection.fail(httpx.ReadError("the transport is closed"))
            self._drop(connection)

    def _give(self, connection: Connection | None) -> None:
        """Pass on a connection, or (None) the place of one that is gone."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        if connection is None:
            self._free += 1
        else:
            self._idle.append(connection)

    def _drop(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.close()

    async def _wait(self, pool_s: float | None) -> Connection | None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        self._waiting.append(waiter)
        error = httpx.PoolTimeout("every connection is in use")
        timer = None if pool_s is None else loop.call_later(pool_s, fail, waiter, error)
        try:
            return await waiter
        except BaseException:
            if waiter.cancelled() or waiter.exception():
                with suppress(ValueError):
                    self._waiting.remove(waiter)
            else:  # cancelled after it was given something
                self._give(waiter.result())
            raise
        finally:
            if timer is not None:
                timer.cancel()

    async def _connect(self, connect_s: float | None) -> Connection:
        loop, uds = asyncio.get_running_loop(), self.wire.uds
        try:
            async with asyncio.timeout(connect_s):
                if uds is None:
                    _, connection = await loop.create_connection(self._new, *self._address)
                else:
                    _, connection = await loop.create_unix_connection(self._new, uds)
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"no connection within {connect_s} s") from error
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(str(error)) from error
        # What is written to a connection that has ended already goes nowhere, without an error: a call without end.
        if self.wire.is_closed or connection.is_closed:
            connection.close()
            raise httpx.ConnectError("closed before anything was sent")
        self._open.add(connection)
        return connection

    def _new(self) -> Connection:
        return Connection(self.forget, self.wire.answer_bytes)
