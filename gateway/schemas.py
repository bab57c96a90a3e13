"""What goes over the gateway's wire, validated and with the examples of the docs page."""

import re
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

_EMAIL: Final = re.compile(
    r"[^\s@\x00-\x20<>\"(),:;\[\]\\]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)
_MAX_PRICE: Final = 1_000_000


def _number(value: object) -> object:
    if isinstance(value, bool):  # JSON true is no price, though Python counts it as 1
        raise PydanticCustomError("decimal_type", "not a number")
    return value


def _email(value: str) -> str:
    if len(value) > 254 or not _EMAIL.fullmatch(value):
        raise PydanticCustomError("email", "not an e-mail address")
    return value


Price = Annotated[Decimal, BeforeValidator(_number), Field(gt=0, le=_MAX_PRICE, decimal_places=2)]
SeatName = Annotated[str, Field(pattern=r"^[A-Z]{1,3}-[0-9]{1,4}$")]
EventId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class ReserveRequest(BaseModel):
    """An order for seats. Unknown fields are ignored: the course's clients send more."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        json_schema_extra={
            "examples": [
                {"user_id": "ana", "event_id": "concert-01", "quantity": 1, "price": 50},
                {
                    "user_id": "luis",
                    "event_id": "concert-02",
                    "seats": ["A-07", "A-08"],
                    "email": "luis@example.com",
                },
            ]
        },
    )

    user_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._@-]{1,64}$", description="Who buys.")]
    event_id: Annotated[EventId, Field(description="For what; see GET /api/events.")]
    seats: Annotated[
        list[SeatName] | None,
        Field(min_length=1, max_length=10, description="Named seats; else the best available."),
    ] = None
    quantity: Annotated[
        int | None, Field(strict=True, ge=1, le=10, description="Number of seats; default 1.")
    ] = None
    price: Annotated[
        Price | None,
        Field(description="Per seat, in major units; if given it must be the event's."),
    ] = None
    email: Annotated[
        Annotated[str, AfterValidator(_email)] | None, Field(description="Where the ticket goes.")
    ] = None

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


class ReservationAnswer(BaseModel):
    """What a buyer is told. `manage_token` is the key to cancelling: keep it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CONFIRMED]})

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

    events: list[Event]


class Seat(BaseModel):
    """One seat of the map."""

    seat: str
    row: str
    number: int
    state: Literal["free", "held", "sold"]


class SeatList(BaseModel):
    """Every seat of one event."""

    event_id: str
    seats: list[Seat]


class ResetOrder(BaseModel):
    """Lab: leave exactly `seats` free seats; held and sold ones stay."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"event_id": "concert-01", "seats": 20}]},
    )

    event_id: EventId
    seats: Annotated[int, Field(strict=True, ge=0, le=10_000)]


class RaceOrder(BaseModel):
    """Lab: `buyers` at once for `seats` seats."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"examples": [{"buyers": 8, "seats": 1}]}
    )

    buyers: Annotated[int, Field(strict=True, ge=2, le=64)] = 8
    seats: Annotated[int, Field(strict=True, ge=1, le=10)] = 1
    event_id: EventId = "concert-02"


class LoadOrder(BaseModel):
    """Lab: `requests` reservations by `workers` at once; a 429 is counted, never retried."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"requests": 50, "workers": 10}]},
    )

    requests: Annotated[int, Field(strict=True, ge=1, le=200)] = 50
    workers: Annotated[int, Field(strict=True, ge=1, le=50)] = 10
    event_id: EventId = "concert-01"


class Verdict(BaseModel):
    """How one promise about the books stands; see docs/audit.md."""

    number: str = Field(examples=["I1"])
    name: str = Field(examples=["seats-conserved"])
    title_es: str
    title_en: str
    ok: bool | None = Field(
        description="null: not judged, because it needs a journal or because something is under way."
    )
    checked: int = Field(description="Rows that were looked at.")
    findings: list[str] = Field(description="What breaks it, at most five.")


_VERDICT: Final[dict[str, Any]] = {
    "number": "I1",
    "name": "seats-conserved",
    "title_es": "Cada evento: asientos = libres + apartados + vendidos.",
    "title_en": "Per event seats = free + held + sold.",
    "ok": True,
    "checked": 60,
    "findings": [],
}


class AuditReport(BaseModel):
    """An audit of all databases. `ok`: nothing that could be judged is broken."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "ok": True,
                    "at": "2026-11-24T18:00:00.120000+00:00",
                    "took_ms": 810,
                    "rest": True,
                    "invariants": [_VERDICT],
                }
            ]
        }
    )

    ok: bool
    at: str
    took_ms: int
    rest: bool = Field(description="Whether nothing was under way.")
    invariants: list[Verdict]


class Count(BaseModel):
    """How often one answer came."""

    status: int
    code: str
    count: int


class Answered(BaseModel):
    """What one buyer heard: when it came (since the start) and how long it took, returns after a 429 included."""

    at_ms: int
    took_ms: int
    outcome: str


class CrowdReport(BaseModel):
    """What came of a race or a flood. Percentiles are of accepted reservations, milliseconds."""

    outcomes: list[Count]
    series: list[Answered] = Field(description="Every buyer, in the order in which they came.")
    p50_ms: int | None
    p95_ms: int | None
    elapsed_s: float
    retries: int = Field(0, description="How often a buyer came back after a 429 (race only).")
    ok: bool = Field(
        description="Race: exactly the seats were sold. Flood: all answers in contract."
    )
