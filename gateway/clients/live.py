"""The live stream's other end: who listens, and how far each was told.

One sample serves all listeners. It has parts; each part carries the number of the sample that changed it last. So
whatever anybody has missed is one look at these numbers: nothing is kept per listener but how far it was told, a slow
one is told everything at once when it comes back for more, and one that reconnects goes on where it was. Not here: when
samples are taken (`gateway.loops`), the HTTP side (`gateway.api.live`).
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, NamedTuple

from gateway.domain import changed
from gateway.errors import MeshBusy

_ID: Final = re.compile(r"([0-9a-f]{8})-(\d{1,15})")


class LiveEvent(NamedTuple):
    """One event of the stream.

    Attributes:
        event_id: Opaque; a listener that gives it back gets what changed since.
        kind: `snapshot` (every part) or `delta` (those that changed).
        data: The parts as JSON.
    """

    event_id: str
    kind: str
    data: str


class Live:
    """The listeners of one gateway. Used from its event loop only; `publish` is O(parts + listeners).

    Args:
        most: Listeners at a time.
        new_id: Names this stream, when somebody listens first: ids of another process mean nothing here.
    """

    def __init__(self, most: int, new_id: Callable[[], str]) -> None:
        self._most = most
        self._new_id = new_id
        self._name = ""
        # Changed by `publish` only: the last sample's parts, and the number of the sample that changed each last.
        self._parts: dict[str, Any] = {}
        self._changed_by: dict[str, int] = {}
        self._number = 0
        # Whether the parts are of now; not while nobody listened.
        self._is_fresh = False
        # Changed by `listen` and `close`, of which neither awaits between looking and changing.
        self._listeners = 0
        self._closed = False
        # Set, and replaced by a new one, whenever there is something to tell.
        self._news = asyncio.Event()
        # Events as JSON by how far their listener had been told; good until the next sample.
        self._written: dict[int | None, LiveEvent] = {}
        # Set once by the composition root: whoever joins an unwatched stream wants a sample now.
        self.on_first: Callable[[], None] | None = None

    @property
    def is_watched(self) -> bool:
        """Whether anybody listens."""
        return self._listeners > 0

    def snapshot(self) -> dict[str, int]:
        """Live values for readiness."""
        return {"clients": self._listeners, "last_event": self._number}

    def check_room(self) -> None:
        """Say no while a status line can still be sent.

        Raises:
            MeshBusy: As many listen as may.
        """
        if self._listeners >= self._most or self._closed:
            raise MeshBusy

    async def listen(self, last_event_id: str | None = None) -> AsyncIterator[LiveEvent]:
        """Everything from now on, until closed.

        Args:
            last_event_id: Of the last event that this listener had. Where it means something, the first event has what
                changed since, be it nothing; else it is a snapshot.
        """
        if self._listeners >= self._most or self._closed:
            return  # the room was taken between the check and the start of the stream
        self._name = self._name or self._new_id()[:8]
        self._listeners += 1
        if self._listeners == 1:
            self._is_fresh = False  # nobody looked for a while: what was seen last is old
            if self.on_first is not None:
                self.on_first()
        told, is_first = self._number_of(last_event_id), True
        try:
            while not self._closed:
                if self._is_fresh and (is_first or told != self._number):
                    event = self._event(told)
                    told, is_first = self._number, False
                    yield event
                else:
                    await self._news.wait()
        finally:
            self._listeners -= 1

    def publish(self, parts: Mapping[str, Any]) -> None:
        """Tell everybody what changed since the last sample; nothing, if nothing did."""
        news = changed(self._parts, parts)
        if news or not self._is_fresh:
            self._number += bool(news)
            self._changed_by |= dict.fromkeys(news, self._number)
            self._parts = dict(parts)
            self._is_fresh = True
            self._written.clear()
            self._wake()

    def close(self) -> None:
        """Let everybody go, for good."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _number_of(self, event_id: str | None) -> int | None:
        """How far somebody was told; None where the id is not one of ours."""
        found = _ID.fullmatch(event_id or "")
        if found is None or found[1] != self._name or int(found[2]) > self._number:
            return None
        return int(found[2])

    def _event(self, told: int | None) -> LiveEvent:
        event = self._written.get(told)
        if event is None:
            parts = {
                name: part
                for name, part in self._parts.items()
                if told is None or self._changed_by[name] > told
            }
            kind = "snapshot" if told is None else "delta"
            data = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
            event = LiveEvent(f"{self._name}-{self._number}", kind, data)
            self._written[told] = event
        return event
