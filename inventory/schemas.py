"""Inventory's wire models; their examples are what the docs page shows."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,100}$")]
SeatName = Annotated[str, Field(pattern=r"^[A-Z]{1,3}-\d{1,4}$")]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HoldRequest(_In):
    """Seats to set aside. `seats` names them; without it the best available are chosen."""

    hold_id: Identifier = Field(examples=["r4f0c….1"])
    event_id: Identifier = Field(examples=["concert-01"])
    quantity: int = Field(1, ge=1, le=10, examples=[2])
    seats: list[SeatName] | None = Field(None, min_length=1, max_length=10, examples=[None])
    price: int | None = Field(
        None, ge=0, description="What the buyer expects per seat, minor units.", examples=[5000]
    )


class Hold(BaseModel):
    """A hold as granted; a re-send of the same id gets it unchanged."""

    hold_id: str
    token: str = Field(description="Fencing token: /confirm demands it.")
    event_id: str
    seats: list[str] = Field(examples=[["A-07", "A-08"]])
    unit_price: int = Field(description="Catalogue price per seat, minor units.", examples=[5000])
    currency: str = Field(examples=["USD"])
    expires_at: str = Field(examples=["2026-11-24T18:00:20+00:00"])
    state: Literal["HELD", "SOLD"]


class ConfirmRequest(_In):
    """Turn a hold into a sale."""

    hold_id: Identifier
    token: Identifier


class ReleaseRequest(_In):
    """Give a hold back; an unknown id leaves a tombstone, so that a late hold of it is refused."""

    hold_id: Identifier


class HoldStatus(BaseModel):
    """Where a hold stands."""

    hold_id: str
    state: str = Field(examples=["SOLD"])
    seats: list[str]


class Money(BaseModel):
    """An amount in minor units."""

    amount_minor: int = Field(examples=[5000])
    currency: str = Field(examples=["USD"])


class EventView(BaseModel):
    """An event and its counters: capacity = available + held + sold."""

    event_id: str = Field(examples=["concert-01"])
    name: str = Field(examples=["Noche de Boleros"])
    price: Money
    capacity: int = Field(examples=[96])
    available: int = Field(examples=[90])
    held: int = Field(examples=[2])
    sold: int = Field(examples=[4])


class EventList(BaseModel):
    """All events."""

    events: list[EventView]


class SeatView(BaseModel):
    """One seat of the map."""

    seat: str = Field(examples=["A-07"])
    row: str = Field(examples=["A"])
    number: int = Field(examples=[7])
    state: Literal["free", "held", "sold"]


class SeatMap(BaseModel):
    """The seats of one event, best first."""

    event_id: str
    seats: list[SeatView]


class ResetRequest(_In):
    """Leave exactly `seats` free seats."""

    event_id: Identifier = Field(examples=["concert-01"])
    seats: int = Field(ge=0, le=100_000, examples=[1])
