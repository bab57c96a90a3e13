"""Routes of reservations: parse, call, render."""

from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Header, Path, Response

from chassis import tracing
from chassis.catalogue import MESSAGES, language
from chassis.errors import StorageUnavailable
from chassis.fastpath import reply, running
from chassis.openapi import answer, leads_to, refusals
from reservations import domain, errors, usecases
from reservations.domain import PUBLIC_STATUS, Errand, Line, Reservation, State, timeline
from reservations.schemas import (
    PENDING,
    REFUNDING,
    Answer,
    Moment,
    Money,
    Notification,
    ReservationView,
    ReserveRequest,
)
from reservations.usecases import Outcome, Reservations

Svc = Annotated[Reservations, Depends(running)]
ReservationId = Annotated[str, Path(examples=["r1f0c7d9a4b6e8325d17c09be2fa4d318"])]
Token = Annotated[str | None, Header(alias="X-Manage-Token", max_length=200)]


_OF_IT: Final = {"reservation_id": "reservation_id", "X-Manage-Token": "manage_token"}
_NEXT: Final = {
    "look": leads_to("show_reservations__reservation_id__get", _OF_IT),
    "cancel": leads_to("cancel_reservations__reservation_id__cancel_post", _OF_IT),
}


def _message(row: Reservation) -> str:
    status = PUBLIC_STATUS[row.state]
    key = "refunding" if row.state is State.REFUNDING else status
    return MESSAGES[key].render(language.get())


def _total(row: Reservation) -> Money | None:
    if row.total_minor is None or row.currency is None:
        return None
    return Money(amount_minor=row.total_minor, currency=row.currency)


def _notification(*, sent: bool, dead: bool = False) -> Notification:
    detail = MESSAGES["mail_dead" if dead else "mail_later"].render(language.get())
    return Notification(sent=sent, detail=None if sent else detail)


async def _answer(svc: Reservations, outcome: Outcome) -> Answer:
    row = outcome.row
    sent = outcome.mail_sent
    if sent is None and not outcome.open:
        sent = await _is_mail_out(svc, row)
    public = PUBLIC_STATUS[row.state]
    status: Literal["confirmed", "pending", "refunded"] = (
        "confirmed" if public == "confirmed" else "refunded" if public == "refunded" else "pending"
    )
    return Answer(
        status=status,
        message=_message(row),
        reservation_id=row.reservation_id,
        event_id=row.event_id,
        seats=row.seats,
        quantity=row.quantity,
        total=_total(row),
        notification=_notification(sent=bool(sent)),
        manage_token=row.manage_token,
        replayed=outcome.replayed,
    )


async def _is_mail_out(svc: Reservations, row: Reservation) -> bool:
    try:
        _, _, errands = await svc.sagas.view(row.reservation_id)
    except (
        StorageUnavailable
    ):  # of the mail nothing is known; of the seat and the money everything is
        return False
    notice = _notice(_known(svc, errands))
    return notice is not None and notice.state == "SENT"


def _known(svc: Reservations, errands: list[Errand]) -> list[Errand]:
    """What is owed, with what the outbox has not ticked off yet."""
    return [
        errand._replace(state=mark.state, sent_at=mark.at, detail=mark.detail)
        if (mark := svc.mailed.get(errand.key)) is not None and errand.state == "PENDING"
        else errand
        for errand in errands
    ]


def _notice(errands: list[Errand]) -> Errand | None:
    """The last notice to the buyer."""
    return next((errand for errand in reversed(errands) if errand.kind == "notify"), None)


def _view(
    svc: Reservations,
    row: Reservation,
    log: list[Line],
    errands: list[Errand],
    manage_token: str | None,
) -> ReservationView:
    mine = usecases.owns(row, manage_token)
    errands = _known(svc, errands)
    notice = _notice(errands)
    cancelled = PUBLIC_STATUS[row.state] == "cancelled"
    return ReservationView.model_validate(
        {
            "status": PUBLIC_STATUS[row.state],
            "message": _message(row),
            "reservation_id": row.reservation_id,
            "event_id": row.event_id,
            "seats": [] if cancelled else row.seats,
            "quantity": row.quantity,
            "total": _total(row),
            "notification": Notification(sent=False)
            if notice is None
            else _notification(sent=notice.state == "SENT", dead=notice.state == "DEAD"),
            "reason": row.reason,
            "email": row.email if mine else None,
            "timeline": [_moment(one) for one in timeline(log, errands, row.attempt)],
        }
    )


def _moment(one: domain.Moment) -> Moment:
    return Moment.model_validate(
        {
            **one._asdict(),
            "at": datetime.fromtimestamp(one.at, UTC).isoformat(),
            "duration_ms": None if one.took_s is None else round(one.took_s * 1000),
        }
    )


@cache
def routes() -> APIRouter:
    """All routes."""
    router = APIRouter(tags=["reservations"])

    @router.post(
        "/reserve",
        summary="Reservar · Reserve",
        description="Una entrega de la solicitud de un comprador: guarda la reserva y la lleva por "
        "la saga; la misma clave recibe la misma reserva · One delivery of a buyer's request: "
        "stores the reservation and takes it through the saga; the same key gets the same "
        "reservation.",
        response_model=Answer,
        response_description="Confirmada, o como quedó · Confirmed, or as it stands",
        responses={
            200: {"links": _NEXT},
            202: answer("Resultado pendiente · Outcome still open", PENDING, model=Answer),
            **refusals(*errors.BY_REASON.values(), errors.KeyReused, errors.RequestInProgress),
        },
    )
    async def reserve(svc: Svc, request: ReserveRequest) -> Response:
        tracing.about(request.reservation_id)
        answer = await _answer(svc, await usecases.reserve(svc, request))
        replayed = {"idempotent-replayed": "true"} if answer.replayed else {}
        if answer.status == "pending":
            return reply(answer, 202, {"retry-after": "1", **replayed})
        return reply(answer, headers=replayed)

    @router.get(
        "/reservations/{reservation_id}",
        summary="Estado y línea de tiempo · State and timeline",
        description="La reserva y cada paso de su saga; el correo solo con `X-Manage-Token` · The "
        "reservation and every step of its saga; the e-mail address only with `X-Manage-Token`.",
        response_description="La reserva · The reservation",
        responses=refusals(errors.ReservationNotFound, StorageUnavailable),
    )
    async def show(
        svc: Svc, reservation_id: ReservationId, manage_token: Token = None
    ) -> ReservationView:
        return _view(svc, *await svc.sagas.view(reservation_id), manage_token)

    @router.post(
        "/reservations/{reservation_id}/cancel",
        summary="Cancelar y devolver el dinero · Cancel and refund",
        description="Deshace una reserva confirmada: devuelve el dinero y los asientos · Undoes a "
        "confirmed reservation: gives back money and seats.",
        response_description="Dinero devuelto · Refunded",
        responses={
            202: answer(
                "Devolución en curso · Refund on its way", REFUNDING, model=ReservationView
            ),
            **refusals(
                errors.ReservationNotFound,
                errors.NotYours,
                errors.ReservationInProgress,
                errors.InvalidState,
                StorageUnavailable,
            ),
        },
    )
    async def cancel(
        svc: Svc, reservation_id: ReservationId, response: Response, manage_token: Token = None
    ) -> ReservationView:
        tracing.about(reservation_id)
        row = await usecases.cancel(svc, reservation_id, manage_token or "")
        if row.state is State.REFUNDING:
            response.status_code = 202
            response.headers["retry-after"] = "1"
        return _view(svc, *await svc.sagas.view(reservation_id), manage_token)

    return router
