"""Notifications' wire models; their examples are what the docs page shows."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from notifications.domain import Language, Status, Template

StateWord = Literal["accepted", "inflight", "delivered", "dead"]
"""The states of a message as they are written on the wire."""

NotificationId = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9._:-]{1,100}$", examples=["r4f0c9a6e.confirmed"])
]
Recipient = Annotated[
    str, Field(pattern=r"^[^\s\x00-\x1f\x7f]{1,254}$", examples=["ana@example.com"])
]
_Name = Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")]
_Text = Annotated[str, Field(max_length=300)]
_Value = _Text | int | float | Annotated[list[_Text], Field(max_length=20)] | None


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Notification(_In):
    """A message to one buyer; its id makes a re-send safe."""

    notification_id: NotificationId
    to: Recipient = Field(
        description="An e-mail address, or any name: then the message waits in the mailbox."
    )
    template: Template = Field(examples=["confirmed"])
    lang: Language = Field("es", examples=["es"])
    data: dict[_Name, _Value] = Field(
        default_factory=dict,
        max_length=20,
        description="event_name or event_id, seats, amount_minor, currency, reservation_id.",
        examples=[
            {
                "event_name": "Noche de Boleros",
                "seats": ["A-07"],
                "amount_minor": 5000,
                "currency": "USD",
                "reservation_id": "r4f0c9a6e",
            }
        ],
    )


class NotificationGroup(_In):
    """Several messages, stored in one commit."""

    items: list[Notification] = Field(min_length=1, max_length=256)


def _one_or_group(value: Any, _union: ValidatorFunctionWrapHandler) -> Any:
    # A plain union would report the errors of both forms.
    form = NotificationGroup if isinstance(value, dict) and "items" in value else Notification
    return form.model_validate(value)


SendRequest = Annotated[Notification | NotificationGroup, WrapValidator(_one_or_group)]
"""One message, or a group."""


class SendResult(BaseModel):
    """How far a message came: `accepted` is stored and will be delivered, `dead` can never be."""

    notification_id: NotificationId
    status: Status = Field(examples=["delivered"])


class SendResults(BaseModel):
    """One result per item, in the order given."""

    items: list[SendResult]


class MessageView(BaseModel):
    """A message as stored."""

    notification_id: NotificationId
    to: str = Field(examples=["ana@example.com"])
    template: Template
    lang: Language
    subject: str = Field(examples=["Tu reserva está confirmada: Noche de Boleros"])
    body: str
    state: StateWord = Field(examples=["delivered"])
    attempts: int = Field(description="Times that sending was begun.", examples=[1])
    redelivered: int = Field(
        description="Of these, how many may have been a second mail.", examples=[0]
    )
    error: str | None = Field(
        description="Why the last attempt failed; of a dead message, why it is dead."
    )
    created_at: datetime
    delivered_at: datetime | None


class MessageList(BaseModel):
    """Messages, newest first."""

    messages: list[MessageView]


class ResendRequest(_In):
    """A dead message shall be tried again."""

    to: Recipient | None = Field(
        None, description="The corrected address; the one it has when left out."
    )


class Resent(BaseModel):
    """What became of the wish."""

    resent: bool = Field(
        description="False: the message was not dead, and nothing was changed.", examples=[True]
    )
    message: MessageView
