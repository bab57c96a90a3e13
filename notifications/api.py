"""Notifications' routes: parse, call, render."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from types import MappingProxyType
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query

from chassis.errors import NotFound, StorageUnavailable
from chassis.fastpath import running
from chassis.openapi import refusals
from chassis.values import Recipient
from notifications import usecases
from notifications.domain import MessageState, status_of
from notifications.schemas import (
    MessageList,
    MessageView,
    NotificationGroup,
    NotificationId,
    ResendRequest,
    Resent,
    SendRequest,
    SendResult,
    SendResults,
    StateWord,
)
from notifications.store import MessageRow
from notifications.usecases import Notifications

Svc = Annotated[Notifications, Depends(running)]

_WORDS: Final[Mapping[MessageState, StateWord]] = MappingProxyType(
    {
        MessageState.ACCEPTED: "accepted",
        MessageState.INFLIGHT: "inflight",
        MessageState.DELIVERED: "delivered",
        MessageState.DEAD: "dead",
    }
)


def _view(row: MessageRow) -> MessageView:
    return MessageView.model_validate(
        {
            "notification_id": row.notification_id,
            "to": row.recipient,
            "template": row.template,
            "lang": row.lang,
            "subject": row.subject,
            "body": row.body,
            "state": _WORDS[row.state],
            "attempts": row.attempts,
            "redelivered": row.redelivered,
            "error": row.last_error,
            "created_at": datetime.fromtimestamp(row.created_at, UTC),
            "delivered_at": None
            if row.delivered_at is None
            else datetime.fromtimestamp(row.delivered_at, UTC),
        }
    )


@cache
def routes() -> APIRouter:
    """All routes."""
    router = APIRouter(tags=["notifications"])

    @router.post(
        "/send",
        summary="Enviar un aviso · Send a message",
        description="Guarda uno o varios avisos y después los entrega; el mismo `notification_id` "
        "se entrega una vez · Stores one or several messages, then delivers them; the same "
        "`notification_id` is delivered once.",
        response_description="Hasta dónde llegó · How far it came",
        responses=refusals(StorageUnavailable),
    )
    async def send(svc: Svc, request: SendRequest) -> SendResult | SendResults:
        items = request.items if isinstance(request, NotificationGroup) else [request]
        states = await usecases.send(svc, items)
        results = [
            SendResult(
                notification_id=item.notification_id,
                status=status_of(states[item.notification_id]),
            )
            for item in items
        ]
        return SendResults(items=results) if isinstance(request, NotificationGroup) else results[0]

    @router.get(
        "/messages",
        summary="Avisos, los últimos primero · Messages, newest first",
        description="El buzón: qué se envió a quién, y qué sigue pendiente · The mailbox: what was "
        "sent to whom, and what still waits.",
        response_description="Los avisos · The messages",
        responses=refusals(StorageUnavailable),
    )
    async def messages(
        svc: Svc,
        to: Recipient | None = None,
        notification_id: NotificationId | None = None,
        state: StateWord | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> MessageList:
        rows = await svc.store.messages(
            recipient=to,
            notification_id=notification_id,
            state=None if state is None else MessageState(state.upper()),
            limit=limit,
        )
        return MessageList(messages=[_view(row) for row in rows])

    @router.post(
        "/messages/{notification_id}/resend",
        summary="Reenviar un aviso muerto · Send a dead message again",
        description="Un aviso cuya dirección fue rechazada se intenta otra vez, a la dirección "
        "corregida · A message whose address was refused is tried again, at the corrected address.",
        response_description="Si se reenvía, y el aviso · Whether it is sent again, and the message",
        responses=refusals(NotFound, StorageUnavailable),
    )
    async def resend(svc: Svc, notification_id: NotificationId, request: ResendRequest) -> Resent:
        row, was_dead = await usecases.resend(svc, notification_id, request.to)
        return Resent(resent=was_dead, message=_view(row))

    return router
