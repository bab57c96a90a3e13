"""The live stream's other end: who listens, and what each was told last.

One sample serves all listeners. A listener gets a snapshot first and then, each round, the parts that changed; ids
grow by one per event and are the same for everybody. A listener that does not read is let go: it reconnects and gets
a snapshot. Not here: when samples are taken (`gateway.loops`), the HTTP side (`gateway.api.live`).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, NamedTuple

from gateway.domain import changed
from gateway.errors import MeshBusy

BACKLOG: Final = 32
"""Events that wait for one listener; with more it is let go."""


class LiveEvent(NamedTuple):
    """One event of the stream; `data` is JSON."""

    number: int
    kind: str
    data: str


class Live:
    """The listeners of one gateway. Used from its event loop only; `publish` is O(listeners).

    Args:
        most: Listeners at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # Changed by join, leave, publish and close, none of which awaits.
        self._listeners: dict[int, asyncio.Queue[LiveEvent | None]] = {}
        self._joined = 0
        self._number = 0
        self._last: dict[str, Any] | None = None
        self._closed = False
        # Set once by the composition root: whoever joins an unwatched stream wants a sample now.
        self.on_first: Callable[[], None] | None = None

    @property
    def is_watched(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def snapshot(self) -> dict[str, int]:
        """Live values for readiness."""
        return {"clients": len(self._listeners), "last_event": self._number}

    def check_room(self) -> None:
        """Say no while a status line can still be sent.

        Raises:
            MeshBusy: As many listen as may.
        """
        if len(self._listeners) >= self._most or self._closed:
            raise MeshBusy

    async def listen(self) -> AsyncIterator[LiveEvent]:
        """Everything from now on: a snapshot, then what changes. Ends when let go or closed."""
        if len(self._listeners) >= self._most or self._closed:
            return  # the room was taken between the check and the start of the stream
        self._joined += 1
        ticket, queue = self._joined, asyncio.Queue[LiveEvent | None]()
        unwatched = not self._listeners
        self._listeners[ticket] = queue
        if unwatched:
            self._last = None  # nobody looked for a while: what was seen last is old
            if self.on_first is not None:
                self.on_first()
        elif self._last is not None:
            queue.put_nowait(self._event("snapshot", self._last))
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._listeners.pop(ticket, None)

    def publish(self, parts: Mapping[str, Any]) -> None:
        """Tell everybody what changed since the last sample; those who heard nothing yet get all of it."""
        self._number += 1
        first = self._last is None
        event = (
            self._event("snapshot", parts)
            if first
            else self._event("delta", changed(self._last or {}, parts))
        )
        self._last = dict(parts)
        for ticket, queue in list(self._listeners.items()):
            if queue.qsize() >= BACKLOG:
                del self._listeners[ticket]
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    def close(self) -> None:
        """Let everybody go, for good."""
        self._closed = True
        for queue in self._listeners.values():
            queue.put_nowait(None)

    def _event(self, kind: str, parts: Mapping[str, Any]) -> LiveEvent:
        return LiveEvent(self._number, kind, json.dumps(parts, ensure_ascii=False))
