"""What buyers send and are told."""

import re
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from chassis.values import MAX_AMOUNT_MINOR, NUMBER, SPACES, UNSEEN, SeatName

_EMAIL: Final = re.compile(
    rf"[^{SPACES}{UNSEEN}@<>\"(),:;\[\]\\]{{1,64}}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{{0,61}}[A-Za-z0-9])?\.)+[A-Za-z]{{2,63}}"
)
_EMAIL_LENGTH: Final = 254
_MAX_PRICE: Final = MAX_AMOUNT_MINOR // 100
_PLAIN: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?")


def _number(value: object) -> object:
    # JSON true is no price, though Python counts it as 1; nor are "NaN", "5e1" and " 50", which Decimal reads.
    if isinstance(value, bool) or (isinstance(value, str) and not _PLAIN.fullmatch(value)):
        raise PydanticCustomError("decimal_type", "not a number")
    return value


def _email(value: str) -> str:
    if len(value) > _EMAIL_LENGTH or not _EMAIL.fullmatch(value):
        raise PydanticCustomError("email", "not an e-mail address")
    return value


def shown(*examples: dict[str, Any], **strict: Any) -> ConfigDict:
    """A model's examples, and what else is asked of it."""
    return cast("ConfigDict", {"json_schema_extra": {"examples": list(examples)}, **strict})


Price = Annotated[
    Decimal,
    Field(gt=0, le=_MAX_PRICE, decimal_places=2),
    BeforeValidator(_number),
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "number",
                    "exclusiveMinimum": 0,
                    "maximum": _MAX_PRICE,
                    "multipleOf": 0.01,
                },
                {
                    "type": "string",
                    "pattern": r"^(0\.(0[1-9]|[1-9][0-9]?)|[1-9][0-9]{0,5}(\.[0-9]{1,2})?|1000000(\.00?)?)$",
                },
            ]
        }
    ),
]
Email = Annotated[
    str,
    AfterValidator(_email),
    Field(json_schema_extra={"pattern": f"^{_EMAIL.pattern}$", "maxLength": _EMAIL_LENGTH}),
]
EventId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class ReserveRequest(BaseModel):
    """An order for seats. Unknown fields are ignored: the course's clients send more."""

    model_config = shown(
        {"user_id": "ana", "event_id": "concert-01", "quantity": 1, "price": 50},
        {
            "user_id": "luis",
            "event_id": "concert-02",
            "seats": ["A-07", "A-08"],
            "email": "luis@example.com",
        },
        extra="ignore",
        frozen=True,
    )

    user_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._@-]{1,64}$", description="Who buys.")]
    event_id: Annotated[EventId, Field(description="For what; see GET /api/events.")]
    seats: Annotated[
        list[SeatName] | None,
        Field(
            min_length=1,
            max_length=10,
            description="Named seats; else the best available.",
            json_schema_extra={"uniqueItems": True},
        ),
    ] = None
    quantity: Annotated[
        Annotated[int, Field(ge=1, le=10), NUMBER] | None,
        Field(description="Number of seats; default 1. With `seats` it must be how many they are."),
    ] = None
    price: Annotated[
        Price | None,
        Field(description="Per seat, in major units; if given it must be the event's."),
    ] = None
    email: Annotated[Email | None, Field(description="Where the ticket goes.")] = None

    @field_validator("seats")
    @classmethod
    def _names_each_seat_once(cls, seats: list[str] | None) -> list[str] | None:
        if seats is not None and len(set(seats)) < len(seats):
            raise PydanticCustomError("duplicate_seats", "repeated seats")
        return seats

    @field_validator("quantity")
    @classmethod
    def _counts_the_seats(cls, quantity: int | None, info: ValidationInfo) -> int | None:
        seats = info.data.get("seats")
        if quantity is not None and seats is not None and quantity != len(seats):
            raise PydanticCustomError("seats_and_quantity", "quantity differs from seats")
        return quantity

    def canonical(self) -> dict[str, Any]:
        """The order with its defaults, in minor units: equal for orders that mean the same."""
        return {
            "user_id": self.user_id,
            "event_id": self.event_id,
            "quantity": len(self.seats) if self.seats else self.quantity or 1,
            "seats": sorted(self.seats) if self.seats else None,
            "price_minor": None if self.price is None else int(self.price * 100),
            "email": self.email,
        }


class Money(BaseModel):
    """An amount in the currency's minor unit (cents)."""

    amount_minor: int
    currency: str


class NotificationState(BaseModel):
    """Whether the ticket's e-mail has left."""

    sent: bool
    detail: str | None = None


_CONFIRMED: Final[dict[str, Any]] = {
    "status": "confirmed",
    "message": "Reserva confirmada.",
    "reservation_id": "r1f0c7d9a4b6e8325d17c09be2fa4d318",
    "event_id": "concert-01",
    "seats": ["A-07"],
    "quantity": 1,
    "total": {"amount_minor": 5000, "currency": "USD"},
    "notification": {"sent": True, "detail": None},
    "manage_token": "b1946ac92492d2347c6235b4d2611184",
}


_MONEY_BACK: Final[dict[str, Any]] = {
    "status": "refunded",
    "message": "Reserva cancelada y dinero devuelto.",
    "manage_token": None,
    "timeline": [
        {
            "at": f"2026-11-24T18:00:{second}.120000+00:00",
            "step": step,
            "attempt": 1,
            "outcome": outcome,
            "duration_ms": duration_ms,
            "service": service,
            "kind": "compensation" if step == "refund" else "step",
        }
        for second, step, outcome, duration_ms, service in (
            ("01", "hold", "HELD", 9, "inventory"),
            ("02", "authorize", "AUTHORIZED", 12, "payments"),
            ("03", "sell", "CONFIRMED", 8, "inventory"),
            ("21", "refund", "REFUNDED", 15, None),
        )
    ],
}
CANCELLING_EXAMPLE: Final[dict[str, Any]] = {
    "status": "pending",
    "message": "Reserva cancelada; la devolución está en curso.",
    "reservation_id": "r1f0c7d9a4b6e8325d17c09be2fa4d318",
}
"""The answer to a cancellation whose refund is on its way."""


class ReservationAnswer(BaseModel):
    """What a buyer is told. `manage_token` is the key to cancelling: keep it."""

    model_config = shown(_CONFIRMED)

    status: Literal["confirmed", "pending", "cancelled", "refunded"]
    message: str
    reservation_id: str
    event_id: str
    seats: list[str]
    quantity: int
    total: Money | None = None
    notification: NotificationState | None = None
    manage_token: str | None = None


class PendingAnswer(BaseModel):
    """The outcome is open: ask `Location` again after `Retry-After` seconds."""

    model_config = shown(
        {
            "status": "pending",
            "message": "Tu solicitud está en curso. Te avisaremos por correo del resultado; "
            "todavía no es una plaza segura.",
            "reservation_id": "r1f0c7d9a4b6e8325d17c09be2fa4d318",
            "event_id": "concert-01",
            "quantity": 1,
        }
    )

    status: Literal["pending"]
    message: str
    reservation_id: str
    event_id: str | None = None
    quantity: int | None = None


class TimelineEntry(BaseModel):
    """One moment of the saga, a step's result or what was tried on the way to it; began `duration_ms` before `at`."""

    at: str
    step: str
    attempt: int
    outcome: str
    detail: str | None = None
    duration_ms: int | None = Field(None, description="null: an instant, or not over.")
    service: str | None = Field(None, description="Whom it is about; null: several.")
    kind: Literal["step", "attempt", "wait", "error", "compensation"] = "step"


class ReservationView(ReservationAnswer):
    """A reservation as it stands; `email` only with the header `X-Manage-Token`."""

    model_config = shown({**_CONFIRMED, **_MONEY_BACK})

    reason: str | None = None
    email: str | None = None
    timeline: list[TimelineEntry] = Field(default_factory=list)


class Event(BaseModel):
    """An event and its seats by state."""

    event_id: str
    name: str
    price: Money
    capacity: int
    available: int
    held: int
    sold: int


class EventList(BaseModel):
    """Every event."""

    model_config = shown(
        {
            "events": [
                {
                    "event_id": "concert-01",
                    "name": "Noche de Boleros",
                    "price": {"amount_minor": 5000, "currency": "USD"},
                    "capacity": 96,
                    "available": 90,
                    "held": 2,
                    "sold": 4,
                }
            ]
        }
    )

    events: list[Event]


class Seat(BaseModel):
    """One seat of the map."""

    seat: str
    row: str
    number: int
    state: Literal["free", "held", "sold"]
    held_until: str | None = Field(
        None, description="Until when a held seat is promised to somebody; absent otherwise."
    )


class SeatList(BaseModel):
    """Every seat of one event."""

    model_config = shown(
        {
            "event_id": "concert-01",
            "seats": [
                {"seat": "A-07", "row": "A", "number": 7, "state": "sold"},
                {"seat": "A-08", "row": "A", "number": 8, "state": "free"},
            ],
        }
    )

    event_id: str
    seats: list[Seat]
