"""HTTP/1.1 that costs the client little: a protocol and a callback for each request, no task, no future, no timer.

A request goes out once, as the bytes that it is given, on a connection that is idle or else on a new one, and its
callback is called once, with an answer or with the name of what happened instead, in httpx's words, as the journal has
them. Answers are parsed by llhttp, through httptools.

Not here: when requests start (`engine`). The services' own wire is `chassis.wire`, an httpx transport.
"""

import asyncio
import errno
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, cast

import httptools

from chaos.load.tally import NOT_SENT

ANSWER_LIMIT_S: Final = 15.0
"""Longest wait for one answer, seconds: three times the gateway's own deadline."""

_CONNECT_LIMIT_S: Final = 5.0
_IDLE_S: Final = 4.0
"""Longest rest of a connection that is used again: below the 5 s of most servers, so that they never close it first."""

_LOOK_EVERY_S: Final = 0.25
_MOST_BYTES: Final = 1 << 20
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS})
"""Connections that fail for want of something of the client's own: descriptors, ports, buffers."""


class Answer(NamedTuple):
    """What one request came to.

    Attributes:
        status: HTTP status; 0 when no answer came.
        failure: What happened instead of an answer.
        body: As it came.
        retry_after: The header of that name.
        replayed: Whether the answer says that it repeats an earlier one.
    """

    status: int
    failure: str = ""
    body: bytes = b""
    retry_after: bytes = b""
    replayed: bool = False


Told = Callable[[Answer], None]
"""Called once per request, never from within `Client.send`."""


class Client:
    """Connections to one server; one instance per event loop. `close` it.

    Args:
        host: Address of the server.
        port: Its port.
        clock: Monotonic seconds.
        limit_s: Longest wait for one answer, connecting included, seconds.
    """

    def __init__(
        self, host: str, port: int, clock: Callable[[], float], limit_s: float = ANSWER_LIMIT_S
    ) -> None:
        self._host, self._port = host, port
        self._clock = clock
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        # Rested the shortest last: so few connections are used as will do, and those stay warm.
        self._idle: list[_Connection] = []
        # Those who wait for an answer, in the order in which they asked.
        self._waiting: deque[tuple[float, _Request]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._look = self._loop.call_later(_LOOK_EVERY_S, self._lose_patience)

    def send(self, wire: bytes, told: Told) -> None:
        """Send a request, once."""
        now = self._clock()
        request = _Request(wire, told)
        self._waiting.append((now + self._limit_s, request))
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and connection.rests_since_s + _IDLE_S > now:
                connection.ask(request)
                return
            connection.close()
        task = self._loop.create_task(self._open(request))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def close(self) -> None:
        """Close what is open; who still waits is told nothing."""
        self._look.cancel()
        for task in self._opening:
            task.cancel()
        for connection in self._idle:
            connection.close()
        for _, request in self._waiting:
            request.give_up()

    def rest(self, connection: "_Connection") -> None:
        """A connection has nothing to do."""
        connection.rests_since_s = self._clock()
        self._idle.append(connection)

    async def _open(self, request: "_Request") -> None:
        try:
            async with asyncio.timeout(min(self._limit_s, _CONNECT_LIMIT_S)):
                _, connection = await self._loop.create_connection(
                    lambda: _Connection(self), self._host, self._port
                )
        except TimeoutError:
            request.fail("ConnectTimeout")
        except OSError as error:
            request.fail(NOT_SENT if error.errno in _NO_ROOM else "ConnectError")
        else:
            connection.ask(request)

    def _lose_patience(self) -> None:
        now, waiting = self._clock(), self._waiting
        while waiting and (waiting[0][1].told is None or waiting[0][0] <= now):
            _, request = waiting.popleft()
            if request.told is not None:
                connection = request.connection
                request.fail("ReadTimeout" if connection is not None else "ConnectTimeout")
        self._look = self._loop.call_later(_LOOK_EVERY_S, self._lose_patience)


class _Request:
    """A request until somebody is told what it came to."""

    __slots__ = ("connection", "told", "wire")

    def __init__(self, wire: bytes, told: Told) -> None:
        self.wire = wire
        self.told: Told | None = told
        self.connection: _Connection | None = None

    def end(self, answer: Answer) -> None:
        told, self.told, self.connection, self.wire = self.told, None, None, b""
        if told is not None:
            told(answer)

    def fail(self, why: str) -> None:
        connection = self.connection
        self.end(Answer(0, why))
        if connection is not None:
            connection.close()

    def give_up(self) -> None:
        self.told = None
        if self.connection is not None:
            self.connection.close()


class _Connection(asyncio.Protocol):
    """One connection, with at most one request on it."""

    def __init__(self, client: Client) -> None:
        self.is_open = False
        self.rests_since_s = 0.0
        self._client = client
        self._request: _Request | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._body = b""
        self._retry_after, self._replayed = b"", False

    def ask(self, request: _Request) -> None:
        """Send it; on a connection that has gone meanwhile it has failed."""
        if request.told is None:  # waited too long for the connection
            self._client.rest(self)
            return
        if not self.is_open:
            request.fail("ConnectError")
            return
        assert self._transport is not None
        self._request, request.connection = request, self
        self._transport.write(request.wire)

    def close(self) -> None:
        """End the connection at once."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is a socket."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """More of an answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._lost("RemoteProtocolError")

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed; whoever waits for an answer will not get one."""
        self.is_open = False
        self._lost("RemoteProtocolError" if exc is None else "ReadError")

    # What the parser calls, from within `feed_data`.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the two that matter."""
        if len(name) == 11 and name.lower() == b"retry-after":
            self._retry_after = value
        elif len(name) == 19 and name.lower() == b"idempotent-replayed":
            self._replayed = value == b"true"

    def on_body(self, body: bytes) -> None:
        """A piece of it."""
        self._body += body
        if len(self._body) > _MOST_BYTES:
            self._lost("RemoteProtocolError")

    def on_message_complete(self) -> None:
        """The answer is whole."""
        status = self._parser.get_status_code()
        request, self._request = self._request, None
        if status < 200:  # 100 Continue is none
            self._request = request
            return
        answer = Answer(status, "", self._body, self._retry_after, self._replayed)
        self._body, self._retry_after, self._replayed = b"", b"", False
        if request is None or not self.is_open or not self._parser.should_keep_alive():
            self.close()
        else:
            self._client.rest(self)
        if request is not None:
            request.end(answer)

    def _lost(self, why: str) -> None:
        request, self._request = self._request, None
        self.close()
        if request is not None:
            request.end(Answer(0, why))
