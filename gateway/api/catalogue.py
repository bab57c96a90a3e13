"""The buyers' API: what there is to buy."""

import re
from functools import cache
from typing import Final

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from chassis.errors import BadUpstream
from chassis.openapi import refusals
from gateway import errors
from gateway.api.parts import NO_STORE, Svc
from gateway.schemas import EventList, SeatList

EVENT_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@cache
def routes() -> APIRouter:
    """Events and seats."""
    router = APIRouter(prefix="/api")

    @router.get(
        "/events",
        tags=["eventos · events"],
        summary="Eventos y asientos que quedan · Events and seats left",
        response_model=None,
        responses={200: {"model": EventList}, **refusals(errors.CatalogueUnavailable, BadUpstream)},
    )
    async def events(svc: Svc) -> JSONResponse:
        return JSONResponse((await svc.inventory.events()).model_dump(), headers=NO_STORE)

    @router.get(
        "/events/{event_id}/seats",
        tags=["eventos · events"],
        summary="Mapa de asientos · Seat map",
        response_model=None,
        responses={
            200: {"model": SeatList},
            **refusals(errors.EventNotFound, errors.CatalogueUnavailable, BadUpstream),
        },
    )
    async def seats(svc: Svc, event_id: str) -> JSONResponse:
        if not EVENT_ID.fullmatch(event_id):
            raise errors.EventNotFound(event_id=event_id[:100])
        return JSONResponse((await svc.inventory.seats(event_id)).model_dump(), headers=NO_STORE)

    return router
