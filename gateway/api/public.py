"""The buyers' API: reservations."""

import re
from functools import cache
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse

from chassis import problems
from chassis.errors import BadUpstream, DeadlineGone, InvalidKey, RateLimited, ServiceError
from chassis.idempotency import USABLE_KEY, checked
from chassis.openapi import answer, leads_to, refusals
from gateway import errors, usecases
from gateway.api.parts import NO_STORE, ReservationId, Svc
from gateway.schemas import (
    CANCELLING_EXAMPLE,
    PendingAnswer,
    ReservationAnswer,
    ReservationView,
    ReserveRequest,
)
from gateway.usecases import Told
from resilience import deadline

OPEN_RETRY_S: Final = 2
"""What 202 says in Retry-After, seconds."""

_ID: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")  # dots alone would lead elsewhere

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="16–128 caracteres visibles; si falta, se crea y se devuelve en esta cabecera "
        "· 16–128 visible characters; made and returned in this header when missing.",
        json_schema_extra={"anyOf": [{"type": "string", "pattern": f"^{USABLE_KEY}$"}]},
    ),
]
Token = Annotated[
    str | None,
    Header(
        alias="X-Manage-Token",
        max_length=200,
        pattern=r"^[!-~]*$",
        description="`manage_token` de la reserva · of the reservation.",
    ),
]

_OF_IT: Final = {"reservation_id": "reservation_id", "X-Manage-Token": "manage_token"}
_RESERVE_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "model": ReservationAnswer,
        "description": "Confirmada · Confirmed",
        "links": {
            "look": leads_to("reservation_api_reservations__reservation_id__get", _OF_IT),
            "cancel": leads_to("cancel_api_reservations__reservation_id__cancel_post", _OF_IT),
        },
    },
    202: {
        "model": PendingAnswer,
        "description": "Resultado pendiente; mira `Location` · Outcome open; see `Location`",
    },
    **refusals(
        errors.SoldOut,
        errors.SeatTaken,
        errors.EventNotFound,
        errors.PriceChanged,
        errors.PaymentDeclined,
        errors.PaymentTimeout,
        errors.HoldGone,
        errors.InventoryUnavailable,
        errors.PaymentsUnavailable,
        errors.StorageUnavailable,
        errors.ReservationsUnavailable,
        errors.GatewaySaturated,
        errors.UserBusy,
        RateLimited,
        errors.IdempotencyKeyReused,
        errors.RequestInProgress,
        InvalidKey,
        BadUpstream,
    ),
}
_CANCEL_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": ReservationView, "description": "Dinero devuelto · Refunded"},
    202: answer("Devolución en curso · Refund on its way", CANCELLING_EXAMPLE, model=PendingAnswer),
    **refusals(
        errors.NotYours,
        errors.ReservationNotFound,
        errors.ReservationInProgress,
        errors.InvalidState,
        errors.StorageUnavailable,
        errors.ReservationsUnavailable,
        errors.GatewaySaturated,
        RateLimited,
        BadUpstream,
    ),
}


@cache
def routes() -> APIRouter:
    """Reserve, look, cancel."""
    router = APIRouter(prefix="/api")
    _add_reserve(router)
    _add_view(router)
    _add_cancel(router)
    return router


def _add_reserve(router: APIRouter) -> None:
    @router.post(
        "/reserve",
        tags=["reservas · reservations"],
        summary="Reservar asientos · Reserve seats",
        description="Compra asientos: los aparta, autoriza el pago y los vende, o no hace nada. "
        "Repite con la misma `Idempotency-Key` sin miedo: es la misma reserva · Buys seats: holds "
        "them, authorizes the payment and sells them, or does nothing. Repeat with the same "
        "`Idempotency-Key` without fear: it is the same reservation.",
        response_model=None,
        responses=_RESERVE_ANSWERS,
    )
    async def reserve(
        request: Request, svc: Svc, order: ReserveRequest, idempotency_key: Key = None
    ) -> JSONResponse:
        key = svc.runtime.new_id() if idempotency_key is None else checked(idempotency_key)
        with deadline(svc.settings.reserve_deadline_s):
            try:
                response = _told(await usecases.reserve_in_turn(svc, order, key))
            except ServiceError as refusal:
                response = _refused(refusal, request)
        response.headers["idempotency-key"] = key
        return response


def _add_view(router: APIRouter) -> None:
    @router.get(
        "/reservations/{reservation_id}",
        tags=["reservas · reservations"],
        summary="Estado y línea de tiempo · State and timeline",
        description="Cómo está una reserva y cada paso que dio; el correo solo con "
        "`X-Manage-Token` · How a reservation stands and every step that it took; the e-mail "
        "address only with `X-Manage-Token`.",
        response_model=None,
        responses={
            200: {"model": ReservationView, "description": "La reserva · The reservation"},
            **refusals(errors.ReservationNotFound, errors.RecordsUnavailable, BadUpstream),
        },
    )
    async def reservation(
        svc: Svc, reservation_id: ReservationId, manage_token: Token = None
    ) -> JSONResponse:
        found = await svc.reservations.view(_reservation_id(reservation_id), manage_token)
        return JSONResponse(found, headers=NO_STORE)


def _add_cancel(router: APIRouter) -> None:
    @router.post(
        "/reservations/{reservation_id}/cancel",
        tags=["reservas · reservations"],
        summary="Cancelar y recuperar el dinero · Cancel and get the money back",
        description="Deshace una reserva confirmada con su `manage_token`: el dinero vuelve y los "
        "asientos quedan libres · Undoes a confirmed reservation with its `manage_token`: the "
        "money comes back and the seats are free.",
        response_model=None,
        responses=_CANCEL_ANSWERS,
    )
    async def cancel(
        request: Request, svc: Svc, reservation_id: ReservationId, manage_token: Token = None
    ) -> JSONResponse:
        with deadline(svc.settings.reserve_deadline_s):
            try:
                return _told(
                    await usecases.cancel(svc, _reservation_id(reservation_id), manage_token)
                )
            except ServiceError as refusal:
                return _refused(refusal, request)


def _told(told: Told) -> JSONResponse:
    headers = {**NO_STORE, "location": f"/api/reservations/{told.body['reservation_id']}"}
    if told.is_open:
        headers["retry-after"] = str(OPEN_RETRY_S)
    if told.replayed:
        headers["idempotent-replayed"] = "true"
    return JSONResponse(told.body, 202 if told.is_open else 200, headers=headers)


def _refused(refusal: ServiceError, request: Request) -> JSONResponse:
    response = problems.render(refusal, request.url.path)
    response.headers.update(NO_STORE)
    if isinstance(refusal, DeadlineGone):
        response.headers["x-deadline-expired"] = "1"
    if isinstance(refusal, errors.Relayed) and refusal.replayed:
        response.headers["idempotent-replayed"] = "true"
    return response


def _reservation_id(given: str) -> str:
    if not _ID.fullmatch(given):
        raise errors.ReservationNotFound
    return given
