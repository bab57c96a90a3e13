"""Inventory's routes: parse, call, render."""

from functools import cache
from typing import Annotated

from fastapi import APIRouter, Depends

from chassis.errors import StorageUnavailable
from chassis.fastpath import running
from chassis.openapi import refusals
from inventory import usecases
from inventory.errors import (
    EventBusy,
    EventNotFound,
    HoldGone,
    HoldNotFound,
    HoldTokenStale,
    PriceChanged,
    SeatTaken,
    SoldOut,
)
from inventory.schemas import (
    ConfirmRequest,
    EventList,
    EventView,
    Hold,
    HoldRequest,
    HoldStatus,
    Money,
    ReleaseRequest,
    ResetRequest,
    SeatMap,
    SeatView,
)
from inventory.store import Counts
from inventory.usecases import Inventory

Svc = Annotated[Inventory, Depends(running)]


def _event(counts: Counts) -> EventView:
    return EventView(
        event_id=counts.event_id,
        name=counts.name,
        price=Money(amount_minor=counts.price_minor, currency=counts.currency),
        capacity=counts.available + counts.held + counts.sold,
        available=counts.available,
        held=counts.held,
        sold=counts.sold,
    )


@cache
def routes(*, lab: bool) -> APIRouter:
    """All routes; `lab` adds the reset."""
    router = APIRouter(tags=["inventory"])

    @router.post(
        "/reserve",
        summary="Apartar asientos · Hold seats",
        responses=refusals(
            EventNotFound, PriceChanged, SoldOut, SeatTaken, HoldGone, StorageUnavailable
        ),
    )
    async def reserve(svc: Svc, request: HoldRequest) -> Hold:
        return await usecases.hold(svc, request)

    @router.post(
        "/confirm",
        summary="Vender lo apartado · Sell a hold",
        responses=refusals(HoldNotFound, HoldTokenStale, HoldGone, StorageUnavailable),
    )
    async def confirm(svc: Svc, request: ConfirmRequest) -> HoldStatus:
        return await usecases.confirm(svc, request.hold_id, request.token)

    @router.post(
        "/release",
        summary="Liberar lo apartado · Release a hold",
        responses=refusals(StorageUnavailable),
    )
    async def release(svc: Svc, request: ReleaseRequest) -> HoldStatus:
        return await usecases.release(svc, request.hold_id)

    @router.get(
        "/events",
        summary="Eventos y asientos libres · Events and free seats",
        responses=refusals(StorageUnavailable),
    )
    async def events(svc: Svc) -> EventList:
        return EventList(events=[_event(counts) for counts in await svc.store.events()])

    @router.get(
        "/events/{event_id}/seats",
        summary="Mapa de asientos · Seat map",
        responses=refusals(EventNotFound, StorageUnavailable),
    )
    async def seats(svc: Svc, event_id: str) -> SeatMap:
        rows = await svc.store.seats(event_id)
        return SeatMap(
            event_id=event_id,
            seats=[
                SeatView.model_validate(
                    dict(zip(("seat", "row", "number", "state"), row, strict=True))
                )
                for row in rows
            ],
        )

    if lab:

        @router.post(
            "/admin/reset",
            summary="Dejar n asientos libres · Leave n seats free",
            responses=refusals(EventNotFound, EventBusy, StorageUnavailable),
        )
        async def reset(svc: Svc, request: ResetRequest) -> EventView:
            await svc.store.reset(request.event_id, request.seats)
            found = await svc.store.events()
            return _event(next(row for row in found if row.event_id == request.event_id))

    return router
