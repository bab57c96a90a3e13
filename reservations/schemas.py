"""Wire models of reservations; their examples are what the docs page shows."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:@-]{1,200}$")]


class ReserveRequest(BaseModel):
    """One delivery of a buyer's request, as the gateway validated it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reservation_id: Identifier = Field(
        description="Derived from scope and key.", examples=["r4f0c1d"]
    )
    delivery_id: Identifier = Field(
        description="One per client POST; a re-send of the same POST keeps it.", examples=["d81b"]
    )
    scope: Identifier = Field(examples=["reserve:ana"])
    key: str = Field(pattern=r"^[\x21-\x7e]{16,128}$", examples=["compra-de-ana-0001"])
    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$", examples=["0" * 64])
    user_id: Identifier = Field(examples=["ana"])
    event_id: Identifier = Field(examples=["concert-01"])
    quantity: int = Field(ge=1, le=10, examples=[1])
    seats: list[str] | None = Field(None, max_length=10)
    price_minor: int | None = Field(None, ge=0, examples=[5000])
    email: str | None = Field(None, max_length=254)
    lang: Literal["es", "en"] = "es"


class Money(BaseModel):
    """An amount in minor units."""

    amount_minor: int = Field(examples=[5000])
    currency: str = Field(examples=["USD"])


class Notification(BaseModel):
    """Whether the mail is out; if not, it will be."""

    sent: bool
    detail: str | None = None


class Moment(BaseModel):
    """One moment of the saga's timeline: a step's result, or what was tried on the way to it."""

    at: str = Field(
        description="When it ended; it began `duration_ms` before.",
        examples=["2026-11-24T18:00:00.120000+00:00"],
    )
    step: str = Field(examples=["hold"])
    attempt: int
    outcome: str = Field(examples=["HELD"])
    detail: str | None = None
    duration_ms: int | None = Field(None, description="null: an instant, or not over.")
    service: str | None = Field(None, description="Whom it is about; null: several.")
    kind: Literal["step", "attempt", "wait", "error", "compensation"] = "step"


class ReservationView(BaseModel):
    """A reservation as its buyer may see it."""

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

    status: Literal["confirmed", "pending", "refunded"]
    message: str
    reservation_id: str
    event_id: str
    seats: list[str] = Field(examples=[["A-07"]])
    quantity: int
    total: Money | None = None
    notification: Notification
    manage_token: str | None = Field(None, description="Proves ownership; keep it to cancel.")
    replayed: bool = Field(description="True for a repeated request.")
