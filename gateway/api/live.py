"""The live stream: server-sent events, a snapshot first and then what changed."""

from collections.abc import AsyncIterator
from functools import cache
from typing import Annotated, Final

import anyio
from fastapi import APIRouter, Header
from sse_starlette import EventSourceResponse, ServerSentEvent

from chassis.openapi import answer, refusals
from gateway.api.parts import Svc
from gateway.errors import MeshBusy
from gateway.usecases import Gateway

PING_S = 15
"""Seconds between comments that keep idle proxies from closing the stream."""

SEND_LIMIT_S = 5.0
"""A reader that takes nothing for this long is let go, seconds."""

AGAIN_MS = 1000
"""How long a browser waits before it comes back, milliseconds."""

FAREWELL_S = 1.0
"""What a stream has for its last bytes when the process stops, seconds."""

_SAID: Final = """\
id: 41
event: snapshot
data: {"events": [], "mesh": [{"service": "inventory", "state": "ready", "breakers": []}], "faults": []}

id: 42
event: delta
data: {"mesh": [{"service": "inventory", "state": "failing", "breakers": []}]}
"""

LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="Del último evento recibido; el navegador lo manda solo · of the last event "
        "received; browsers send it by themselves.",
    ),
]


@cache
def routes() -> APIRouter:
    """`GET /api/live`."""
    router = APIRouter(prefix="/api", tags=["en vivo · live"])

    @router.get(
        "/live",
        summary="Asientos, servicios y fallos, dos veces por segundo · Seats, services and faults, twice a second",
        description="`text/event-stream`: un evento `snapshot` y después `delta` con las partes "
        "que cambian (`events`, `mesh`, `faults`, y en el laboratorio `edges`); con "
        "`Last-Event-ID` sigue donde quedó · one `snapshot`, then `delta` events with the parts "
        "that change (in the lab also `edges`); goes on from `Last-Event-ID`.",
        response_model=None,
        response_class=EventSourceResponse,
        responses={
            200: answer("El flujo · The stream", _SAID, media_type="text/event-stream"),
            **refusals(MeshBusy),
        },
    )
    async def live(svc: Svc, last_event_id: LastEventId = None) -> EventSourceResponse:
        svc.live.check_room()
        stopping = anyio.Event()

        async def end_when_stopping() -> None:
            await stopping.wait()
            svc.live.close()  # streams end by themselves, whole; nobody's answer is torn

        return EventSourceResponse(
            _stream(svc, last_event_id),
            ping=PING_S,
            send_timeout=SEND_LIMIT_S,
            data_sender_callable=end_when_stopping,
            shutdown_event=stopping,
            shutdown_grace_period=FAREWELL_S,
        )

    return router


async def _stream(svc: Gateway, last_event_id: str | None) -> AsyncIterator[ServerSentEvent]:
    async for event in svc.live.listen(last_event_id):
        again_ms = AGAIN_MS if event.kind == "snapshot" else None
        yield ServerSentEvent(event.data, event=event.kind, id=event.event_id, retry=again_ms)
