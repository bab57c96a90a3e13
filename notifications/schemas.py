"""Notifications' wire models; their examples are what the docs page shows."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from chassis.values import Recipient
from notifications.domain import Language, Status, Template

StateWord = Literal["accepted", "inflight", "delivered", "dead"]
"""The states of a message as they are written on the wire."""

_ID: Final = "r1f0c7d9a4b6e8325d17c09be2fa4d318.confirmed"
_NOTICE: Final[dict[str, Any]] = {
    "notification_id": _ID,
    "to": "ana@example.com",
    "template": "confirmed",
    "lang": "es",
    "data": {
        "event_name": "Noche de Boleros",
        "seats": ["A-07"],
        "amount_minor": 5000,
        "currency": "USD",
        "reservation_id": "r1f0c7d9a4b6e8325d17c09be2fa4d318",
    },
}
_STORED: Final[dict[str, Any]] = {
    "notification_id": _ID,
    "to": "ana@example.com",
    "template": "confirmed",
    "lang": "es",
    "subject": "Tu reserva está confirmada: Noche de Boleros",
    "body": "¡Hola!\n\nTu reserva está confirmada. ¡Que lo disfrutes!\n\n— Taquilla\n",
    "state": "delivered",
    "attempts": 1,
    "redelivered": 0,
    "error": None,
    "created_at": "2026-11-24T18:00:00.300000Z",
    "delivered_at": "2026-11-24T18:00:00.320000Z",
}

NotificationId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,100}$", examples=[_ID])]
_Name = Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")]
_Text = Annotated[str, Field(max_length=300)]
_Value = _Text | StrictInt | StrictFloat | Annotated[list[_Text], Field(max_length=20)] | None


def _shown(*examples: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": list(examples)})


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Notification(_In):
    """A message to one buyer; its id makes a re-send safe."""

    model_config = _shown(_NOTICE)

    notification_id: NotificationId
    to: Recipient = Field(
        description="An e-mail address, or any name: then the message waits in the mailbox."
    )
    template: Template
    lang: Language = "es"
    data: dict[_Name, _Value] = Field(
        default_factory=dict,
        max_length=20,
        description="event_name or event_id, seats, amount_minor, currency, reservation_id.",
        json_schema_extra={"additionalProperties": False},
    )


class NotificationGroup(_In):
    """Several messages, stored in one commit."""

    model_config = _shown({"items": [_NOTICE]})

    items: list[Notification] = Field(min_length=1, max_length=256)


def _one_or_group(value: Any, _union: ValidatorFunctionWrapHandler) -> Any:
    # A plain union would report the errors of both forms.
    form = NotificationGroup if isinstance(value, dict) and "items" in value else Notification
    return form.model_validate(value)


SendRequest = Annotated[Notification | NotificationGroup, WrapValidator(_one_or_group)]
"""One message, or a group."""


class SendResult(BaseModel):
    """How far a message came: `accepted` is stored and will be delivered, `dead` can never be."""

    model_config = _shown({"notification_id": _ID, "status": "delivered"})

    notification_id: NotificationId
    status: Status


class SendResults(BaseModel):
    """One result per item, in the order given."""

    model_config = _shown({"items": [{"notification_id": _ID, "status": "accepted"}]})

    items: list[SendResult]


class MessageView(BaseModel):
    """A message as stored."""

    notification_id: NotificationId
    to: str
    template: Template
    lang: Language
    subject: str
    body: str
    state: StateWord
    attempts: int = Field(description="Times that sending was begun.")
    redelivered: int = Field(description="Of these, how many may have been a second mail.")
    error: str | None = Field(
        None, description="Why the last attempt failed; of a dead message, why it is dead."
    )
    created_at: datetime
    delivered_at: datetime | None = None


class MessageList(BaseModel):
    """Messages, newest first."""

    model_config = _shown({"messages": [_STORED]})

    messages: list[MessageView]


class ResendRequest(_In):
    """A dead message shall be tried again."""

    model_config = _shown({"to": "ana@example.org"}, {})

    to: Recipient | None = Field(
        None, description="The corrected address; the one it has when left out."
    )


class Resent(BaseModel):
    """What became of the wish."""

    model_config = _shown(
        {
            "resent": True,
            "message": {
                **_STORED,
                "to": "ana@example.org",
                "state": "accepted",
                "attempts": 0,
                "delivered_at": None,
            },
        }
    )

    resent: bool = Field(description="False: the message was not dead, and nothing was changed.")
    message: MessageView
