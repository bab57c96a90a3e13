"""Bytes on a socket, for requests that no client library would send."""

import asyncio
import json
import socket
from contextlib import suppress
from typing import Any, NamedTuple

LIMIT_S = 30.0
"""A bound, not a claim: by then the far end has answered and closed."""


class Heard(NamedTuple):
    """What the far end said until it closed.

    Attributes:
        status: Of the first answer; 0 if the connection was closed without a word.
        headers: Of the first answer, names in small letters.
        body: What came after its head.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The body as a problem document; {} if it is none."""
        if self.headers.get("content-type") != "application/problem+json":
            return {}
        return json.loads(self.body[: int(self.headers["content-length"])])


async def exchange(port: int, *pieces: bytes, source: str | None = None) -> Heard:
    """Send the pieces one after the other, and listen until the far end of 127.0.0.1 closes.

    Args:
        port: Where to.
        pieces: What to send; the far end may close before it has taken all of it.
        source: Address to come from, one of this machine's own.
    """
    loop = asyncio.get_running_loop()
    said = b""
    with socket.socket() as line:
        line.setblocking(False)
        if source is not None:
            line.bind((source, 0))
        async with asyncio.timeout(LIMIT_S):
            await loop.sock_connect(line, ("127.0.0.1", port))
            with suppress(ConnectionError):
                for piece in pieces:
                    await loop.sock_sendall(line, piece)
            with suppress(
                ConnectionError
            ):  # closed while we spoke: what it said before is still there
                while piece := await loop.sock_recv(line, 65536):
                    said += piece
    return _parts(said)


def _parts(said: bytes) -> Heard:
    head, _, body = said.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    status = int(first.split()[1]) if first.startswith("HTTP/1.1 ") else 0
    pairs = (line.split(": ", 1) for line in lines)
    return Heard(status, {name.lower(): value for name, value in pairs}, body)
