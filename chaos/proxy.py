"""A TCP proxy for one link of the mesh, which loses, delays, doubles and breaks what passes.

It understands just enough HTTP/1.1 to know where a request and its answer end, so that a fault strikes single requests
and not the whole connection. A caller is led through it by its `*_URL`. Connections, sizes and waits are bounded.

Not here: which fault when (`chaos.matrix`).
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, Self

from chaos.ports import LOOPBACK

Kind = Literal["pass", "delay", "reset", "lost_reply", "refuse", "black_hole", "duplicate"]

KINDS: Final[tuple[Kind, ...]] = (
    "delay",
    "reset",
    "lost_reply",
    "refuse",
    "black_hole",
    "duplicate",
)
"""Every way to strike; "pass" is none.

`delay` holds a request back, then lets it pass · `reset` breaks the connection before the request passed ·
`lost_reply` lets it pass and breaks the connection instead of answering · `refuse` closes the door: connections are
refused · `black_hole` takes the request and never answers · `duplicate` lets it pass and sends it again, later, on a
connection of its own.
"""

MAX_CONNECTIONS: Final = 256
_HEAD_LIMIT: Final = 1 << 16
_BODY_LIMIT: Final = 1 << 22
_HOLE_S: Final = 30.0
_CONNECT_S: Final = 2.0
_EXCHANGE_S: Final = 60.0
_HANG_UP: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on with 0 seconds: close sends RST, not FIN."""


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens on the link.

    Attributes:
        kind: The fault.
        probability: Share of requests that it strikes, 0 to 1.
        seconds: Longest delay of `delay` and `duplicate`; each draws its own.
    """

    kind: Kind = "pass"
    probability: float = 1.0
    seconds: float = 0.5


CLEAR: Final = Weather()


class Proxy:
    """Listens on a port of its own and passes on to another; `async with` opens and closes it. One event loop.

    Args:
        name: For the counters: which link it is.
        target: Loopback port that it leads to.
        seed: Names every draw.
    """

    def __init__(self, name: str, target: int, seed: int) -> None:
        self.name = name
        self.port = 0
        # Requests by what happened to them.
        self.struck: Counter[str] = Counter()
        self._target = target
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        # Written by `weather`, read by every connection.
        self._weather = CLEAR
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def set(self, weather: Weather) -> None:
        """Let `weather` rule from now on; requests already waiting wait on."""
        self._weather = weather
        if weather.kind == "refuse":
            self.struck["refuse"] += 1
            await self._close()
        elif self._server is None:
            await self._open()

    async def _open(self) -> None:
        self._server = await asyncio.start_server(
            self._accept, LOOPBACK, self.port, limit=_HEAD_LIMIT, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            server.close()
            # Kept-alive connections would otherwise lead past the closed door.
            for task in list(self._tasks):
                task.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= MAX_CONNECTIONS:
            _hang_up(writer)
            return
        # A task of ours and not the server's own, which would report its cancellation as a crash.
        self._keep(asyncio.create_task(self._serve(reader, writer)))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _Link(self, reader, writer).run()
        except asyncio.CancelledError:
            _hang_up(writer)  # the door was closed, or the proxy ends
            raise
        finally:
            writer.close()

    def draw(self) -> Weather:
        """What happens to the next request."""
        weather = self._weather
        strikes = weather.kind != "pass" and self._random.random() < weather.probability
        chosen = weather if strikes else CLEAR
        self.struck[chosen.kind] += 1
        return chosen

    def some_of(self, seconds: float) -> float:
        """A delay of at most `seconds`."""
        return self._random.random() * seconds

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A new connection to the target.

        Raises:
            OSError, TimeoutError: It does not listen.
        """
        async with asyncio.timeout(_CONNECT_S):
            return await asyncio.open_connection(LOOPBACK, self._target, limit=_HEAD_LIMIT)

    def again_later(self, request: bytes, seconds: float) -> None:
        """Send `request` once more on a connection of its own, within `seconds`; nobody hears the answer."""
        self._keep(asyncio.create_task(self._again(request, self.some_of(seconds))))

    async def _again(self, request: bytes, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        ends = (_Broken, _Nonsense, OSError, TimeoutError, asyncio.IncompleteReadError)
        with contextlib.suppress(*ends):
            reader, writer = await self.connect()
            try:
                writer.write(request)
                async with asyncio.timeout(_EXCHANGE_S):
                    await _answer(reader)
            finally:
                writer.close()


class _Nonsense(Exception):
    """Not HTTP as the mesh speaks it, or too large."""


class _Broken(Exception):
    """The caller's connection shall break."""


class _Link:
    """One connection of a caller, with at most one to the target behind it."""

    def __init__(
        self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._behind: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self) -> None:
        """Pass requests on, one after the other, until either side ends."""
        try:
            while (request := await _message(self._reader, answers=False)) is not None:
                async with asyncio.timeout(_EXCHANGE_S):
                    self._writer.write(await self._struck(request))
                    await self._writer.drain()
        except (_Broken, _Nonsense, OSError, TimeoutError, asyncio.IncompleteReadError):
            _hang_up(self._writer)
        finally:
            if self._behind is not None:
                self._behind[1].close()

    async def _struck(self, request: bytes) -> bytes:
        weather = self._proxy.draw()
        match weather.kind:
            case "reset":
                raise _Broken
            case "black_hole":
                await asyncio.sleep(_HOLE_S)
                raise _Broken
            case "delay":
                await asyncio.sleep(self._proxy.some_of(weather.seconds))
            case "duplicate":
                self._proxy.again_later(request, weather.seconds)
        answer = await self._pass(request)
        if weather.kind == "lost_reply":
            raise _Broken
        return answer

    async def _pass(self, request: bytes) -> bytes:
        if self._behind is not None and self._behind[0].at_eof():  # the target restarted
            self._behind[1].close()
            self._behind = None
        if self._behind is None:
            self._behind = await self._proxy.connect()
        reader, writer = self._behind
        writer.write(request)
        await writer.drain()
        return await _answer(reader)


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """One whole answer.

    Raises:
        _Broken: The target hung up instead.
    """
    answer = await _message(reader, answers=True)
    if answer is None:
        raise _Broken
    return answer


async def _message(reader: asyncio.StreamReader, *, answers: bool) -> bytes | None:
    """One whole request or answer with its body; None when the other side ended in good order."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    except asyncio.LimitOverrunError as error:
        raise _Nonsense from error
    fields = {
        name.strip().lower(): value.strip().lower()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
    }
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        return head + await _chunks(reader)
    if b"content-length" in fields:
        length = int(fields[b"content-length"]) if fields[b"content-length"].isdigit() else -1
        if not 0 <= length <= _BODY_LIMIT:
            raise _Nonsense
        return head + await reader.readexactly(length)
    if answers and head.split(b" ", 2)[1] not in (b"204", b"304"):
        raise _Nonsense  # an answer until the end of the connection: nobody in the mesh sends that
    return head


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while len(body) <= _BODY_LIMIT:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        body += line + await reader.readexactly(size + 2)
        if size == 0:
            return body
    raise _Nonsense


def _hang_up(writer: asyncio.StreamWriter) -> None:
    """Break the connection with a TCP reset."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _HANG_UP)
    writer.transport.abort()
