"""Breaking the connection under a request: where `reset` and `lost_reply` touch the socket.

ASGI has no message for "hang up without an answer", and uvicorn turns an exception into a 500. So
the transport is looked up behind the `receive` and `send` callables that the server handed in:
uvicorn's are bound methods of a cycle that owns `transport`, and the middleware around them are
closures over the next one. The search is bounded and reads only. Where no transport exists
(in-process ASGI clients, simulation) `ConnectionDropped` is raised: renderers of problems let it
pass, and the client's transport turns it into a broken connection.
"""

import asyncio
import contextlib
import socket
import struct
from typing import Any, Final, cast

from chaos.faults.base import Injection

_SEARCH_LIMIT: Final = 64
_HANG_UP: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on with 0 seconds: close sends RST, not FIN."""

_TURNS: Final = 10


class ConnectionDropped(Exception):
    """A fault breaks the connection and there is no socket: the caller must see no answer."""


async def hang_up(injection: Injection) -> None:
    """Break the connection with a TCP reset; nothing is answered.

    Raises:
        ConnectionDropped: The request did not come over a socket.
    """
    transport = _transport_behind(injection.send) or _transport_behind(injection.receive)
    if transport is None:
        raise ConnectionDropped(injection.scope["path"])
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _HANG_UP)
    transport.abort()
    # The server learns of the loss in its next turns of the loop; returning before that would make
    # it answer 500.
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def _transport_behind(call: Any) -> asyncio.Transport | None:
    queue, seen = [call], set[int]()
    while queue and len(seen) < _SEARCH_LIMIT:
        found = queue.pop(0)
        if id(found) in seen:
            continue
        seen.add(id(found))
        owner = getattr(found, "__self__", None)
        transport = getattr(owner, "transport", None)
        if hasattr(transport, "abort"):  # uvloop's transports are no subclass of asyncio's
            return cast(asyncio.Transport, transport)
        queue.extend(_callables_in(found, owner))
    return None


def _callables_in(found: Any, owner: Any) -> list[Any]:
    cells = getattr(found, "__closure__", None) or ()
    inner = []
    for cell in cells:
        with contextlib.suppress(ValueError):  # an empty cell: a name not bound yet
            inner.append(cell.cell_contents)
    inner += [getattr(found, "func", None), getattr(found, "__func__", None)]
    for name in ("send", "receive", "_send", "_receive"):
        inner.append(getattr(owner, name, None))
    return [item for item in inner if callable(item)]
