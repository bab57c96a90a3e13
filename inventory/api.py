"""Inventory's routes: parse, call, render."""

from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path

from chassis.errors import StorageUnavailable
from chassis.fastpath import running
from chassis.openapi import leads_to, refusals
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


_NEXT: Final = {
    "confirm": leads_to("confirm_confirm_post", body={"hold_id": "hold_id", "token": "token"}),
    "release": leads_to("release_release_post", body={"hold_id": "hold_id"}),
}


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


def _seat(row: tuple[str, str, int, str, float | None]) -> SeatView:
    *values, until = row
    found = dict(zip(("seat", "row", "number", "state"), values, strict=True))
    if until is not None:
        found["held_until"] = datetime.fromtimestamp(until, UTC).isoformat()
    return SeatView.model_validate(found)


@cache
def routes(*, lab: bool) -> APIRouter:
    """All routes; `lab` adds the reset."""
    router = APIRouter(tags=["inventory"])
    _add_holds(router)
    _add_reads(router)
    if lab:
        _add_reset(router)
    return router


def _add_holds(router: APIRouter) -> None:
    @router.post(
        "/reserve",
        summary="Apartar asientos · Hold seats",
        description="Aparta asientos por un tiempo: una fila con `hold_id` y un token; el mismo "
        "`hold_id` recibe siempre lo mismo · Sets seats aside for a while: a row with `hold_id` "
        "and a token; the same `hold_id` always gets the same.",
        response_description="Apartados · Held",
        responses={
            200: {"links": _NEXT},
            **refusals(
                EventNotFound, PriceChanged, SoldOut, SeatTaken, HoldGone, StorageUnavailable
            ),
        },
    )
    async def reserve(svc: Svc, request: HoldRequest) -> Hold:
        return await usecases.hold(svc, request)

    @router.post(
        "/confirm",
        summary="Vender lo apartado · Sell a hold",
        description="Convierte un apartado en venta; exige su token, para que un mensaje viejo no "
        "venda nada · Turns a hold into a sale; demands its token, so that an old message sells "
        "nothing.",
        response_description="Vendido · Sold",
        responses=refusals(HoldNotFound, HoldTokenStale, HoldGone, StorageUnavailable),
    )
    async def confirm(svc: Svc, request: ConfirmRequest) -> HoldStatus:
        return await usecases.confirm(svc, request.hold_id, request.token)

    @router.post(
        "/release",
        summary="Liberar lo apartado · Release a hold",
        description="Devuelve los asientos; de un `hold_id` que nadie ha visto deja una lápida, y "
        "si llega tarde ya no aparta nada · Gives the seats back; an unknown `hold_id` leaves a "
        "tombstone, which a late hold meets.",
        response_description="Cómo queda lo apartado · Where the hold stands",
        responses=refusals(StorageUnavailable),
    )
    async def release(svc: Svc, request: ReleaseRequest) -> HoldStatus:
        return await usecases.release(svc, request.hold_id)


def _add_reads(router: APIRouter) -> None:
    @router.get(
        "/events",
        summary="Eventos y asientos libres · Events and free seats",
        description="Todos los eventos con sus cuentas: aforo = libres + apartados + vendidos · "
        "Every event with its counts: capacity = available + held + sold.",
        response_description="Los eventos · The events",
        responses=refusals(StorageUnavailable),
    )
    async def events(svc: Svc) -> EventList:
        return EventList(events=[_event(counts) for counts in await svc.store.events()])

    @router.get(
        "/events/{event_id}/seats",
        summary="Mapa de asientos · Seat map",
        description="Cada asiento de un evento y su estado, los mejores primero · Every seat of an "
        "event and its state, the best first.",
        response_description="Los asientos · The seats",
        response_model_exclude_none=True,
        responses=refusals(EventNotFound, StorageUnavailable),
    )
    async def seats(svc: Svc, event_id: Annotated[str, Path(examples=["concert-01"])]) -> SeatMap:
        rows = await svc.store.seats(event_id)
        return SeatMap(
            event_id=event_id,
            seats=[_seat(row) for row in rows],
        )


def _add_reset(router: APIRouter) -> None:
    @router.post(
        "/admin/reset",
        summary="Dejar n asientos libres · Leave n seats free",
        description="Solo laboratorio: añade o quita asientos libres; apartados y vendidos no "
        "se tocan · Lab only: adds or removes free seats; held and sold ones are not touched.",
        response_description="El evento, después · The event, afterwards",
        responses=refusals(EventNotFound, EventBusy, StorageUnavailable),
    )
    async def reset(svc: Svc, request: ResetRequest) -> EventView:
        await svc.store.reset(request.event_id, request.seats)
        found = await svc.store.events()
        return _event(next(row for row in found if row.event_id == request.event_id))
