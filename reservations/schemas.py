"""Wire models of reservations; their examples are what the docs page shows."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from chassis.values import MAX_AMOUNT_MINOR, NUMBER, Recipient, SeatName

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:@-]{1,200}$")]
# What inventory, payments and notifications take for an id: these two go on to them, with a suffix of up to ten.
ReservationId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,90}$")]
EventId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,100}$")]

_ANSWER: Final[dict[str, Any]] = {
    "status": "confirmed",
    "message": "Reserva confirmada.",
    "reservation_id": "r1f0c7d9a4b6e8325d17c09be2fa4d318",
    "event_id": "concert-01",
    "seats": ["A-07"],
    "quantity": 1,
    "total": {"amount_minor": 5000, "currency": "USD"},
    "notification": {"sent": True, "detail": None},
}
_OPEN: Final[dict[str, Any]] = {
    "status": "pending",
    "seats": [],
    "total": None,
    "notification": {
        "sent": False,
        "detail": "El correo de confirmación todavía no salió; se reintentará.",
    },
}
PENDING: Final[dict[str, Any]] = {
    **_ANSWER,
    **_OPEN,
    "message": "Tu solicitud está en curso. Te avisaremos por correo del resultado; todavía no es una plaza segura.",
    "manage_token": None,
    "replayed": False,
}
"""An answer whose outcome is still open."""

_TIMELINE: Final[list[dict[str, Any]]] = [
    {
        "at": f"2026-11-24T18:00:00.{at}0000+00:00",
        "step": step,
        "attempt": 1,
        "outcome": outcome,
        "detail": None,
    }
    for at, step, outcome in (
        (10, "accept", "RECEIVED"),
        (12, "hold", "HELD"),
        (15, "authorize", "AUTHORIZED"),
        (19, "sell", "CONFIRMED"),
    )
]
_VIEW: Final[dict[str, Any]] = {**_ANSWER, "reason": None, "email": None, "timeline": _TIMELINE}
REFUNDING: Final[dict[str, Any]] = {
    **_VIEW,
    "status": "pending",
    "message": "Reserva cancelada; la devolución está en curso.",
}
"""A cancellation whose refund is on its way."""


class ReserveRequest(BaseModel):
    """One delivery of a buyer's request, as the gateway validated it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "reservation_id": "r1f0c7d9a4b6e8325d17c09be2fa4d318",
                    "delivery_id": "d81b6f3a",
                    "scope": "reserve:ana",
                    "key": "compra-de-ana-0001",
                    "fingerprint": "0" * 64,
                    "user_id": "ana",
                    "event_id": "concert-01",
                    "quantity": 1,
                    "price_minor": 5000,
                }
            ]
        },
    )

    reservation_id: ReservationId = Field(description="Derived from scope and key.")
    delivery_id: Identifier = Field(
        description="One per client POST; a re-send of the same POST keeps it."
    )
    scope: Identifier
    key: str = Field(pattern=r"^[\x21-\x7e]{16,128}$")
    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")
    user_id: Identifier
    event_id: EventId
    quantity: Annotated[int, Field(ge=1, le=10), NUMBER]
    seats: list[SeatName] | None = Field(None, min_length=1, max_length=10)
    price_minor: Annotated[int, Field(ge=0, le=MAX_AMOUNT_MINOR), NUMBER] | None = None
    email: Recipient | None = None
    lang: Literal["es", "en"] = "es"


class Money(BaseModel):
    """An amount in minor units."""

    amount_minor: int
    currency: str


class Notification(BaseModel):
    """Whether the mail is out; if not, it will be."""

    sent: bool
    detail: str | None = None


class Moment(BaseModel):
    """One moment of the saga's timeline: a step's result, or what was tried on the way to it."""

    at: str = Field(description="When it ended; it began `duration_ms` before.")
    step: str
    attempt: int
    outcome: str
    detail: str | None = None
    duration_ms: int | None = Field(None, description="null: an instant, or not over.")
    service: str | None = Field(None, description="Whom it is about; null: several.")
    kind: Literal["step", "attempt", "wait", "error", "compensation"] = "step"


class ReservationView(BaseModel):
    """A reservation as its buyer may see it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_VIEW]})

    status: Literal["confirmed", "pending", "cancelled", "refunded"]
    message: str
    reservation_id: str
    event_id: str
    seats: list[str]
    quantity: int
    total: Money | None = None
    notification: Notification
    reason: str | None = None
    email: str | None = None
    timeline: list[Moment] = []


class Answer(BaseModel):
    """The answer to a reservation request; `status` pending means that the outcome is still open."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **_ANSWER,
                    "manage_token": "b1946ac92492d2347c6235b4d2611184",
                    "replayed": False,
                }
            ]
        }
    )

    status: Literal["confirmed", "pending", "refunded"]
    message: str
    reservation_id: str
    event_id: str
    seats: list[str]
    quantity: int
    total: Money | None = None
    notification: Notification
    manage_token: str | None = Field(None, description="Proves ownership; keep it to cancel.")
    replayed: bool = Field(description="True for a repeated request.")
