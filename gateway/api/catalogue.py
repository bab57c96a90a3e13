"""The buyers' API: what there is to buy."""

import re
from functools import cache
from typing import Final

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from chassis.errors import BadUpstream
from chassis.openapi import refusals
from gateway import errors
from gateway.api.parts import NO_STORE, EventId, Svc
from gateway.schemas import EventList, SeatList

EVENT_ID: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,64}")  # dots alone would lead elsewhere


@cache
def routes() -> APIRouter:
    """Events and seats."""
    router = APIRouter(prefix="/api")

    @router.get(
        "/events",
        tags=["eventos · events"],
        summary="Eventos y asientos que quedan · Events and seats left",
        description="Qué se puede comprar, a qué precio y cuántos asientos quedan · What can be "
        "bought, at which price, and how many seats are left.",
        response_model=None,
        responses={
            200: {"model": EventList, "description": "Los eventos · The events"},
            **refusals(errors.CatalogueUnavailable, BadUpstream),
        },
    )
    async def events(svc: Svc) -> JSONResponse:
        return JSONResponse((await svc.inventory.events()).model_dump(), headers=NO_STORE)

    @router.get(
        "/events/{event_id}/seats",
        tags=["eventos · events"],
        summary="Mapa de asientos · Seat map",
        description="Cada asiento de un evento: libre, apartado o vendido · Every seat of an "
        "event: free, held or sold.",
        response_model=None,
        responses={
            200: {"model": SeatList, "description": "Los asientos · The seats"},
            **refusals(errors.EventNotFound, errors.CatalogueUnavailable, BadUpstream),
        },
    )
    async def seats(svc: Svc, event_id: EventId) -> JSONResponse:
        if not EVENT_ID.fullmatch(event_id):
            raise errors.EventNotFound(event_id=event_id[:100])
        found = (await svc.inventory.seats(event_id)).model_dump(exclude_none=True)
        return JSONResponse(found, headers=NO_STORE)

    return router
