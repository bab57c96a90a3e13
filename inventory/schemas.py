"""Inventory's wire models; their examples are what the docs page shows."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from chassis.values import MAX_AMOUNT_MINOR, NUMBER, SeatName

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,100}$")]


_HOLD_ID: Final = "r1f0c7d9a4b6e8325d17c09be2fa4d318.1"
_FENCE: Final = "5d41402abc4b2a76b9719d911017c592"
_EVENT: Final[dict[str, Any]] = {
    "event_id": "concert-01",
    "name": "Noche de Boleros",
    "price": {"amount_minor": 5000, "currency": "USD"},
    "capacity": 96,
    "available": 90,
    "held": 2,
    "sold": 4,
}


def _shown(*examples: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": list(examples)})


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HoldRequest(_In):
    """Seats to set aside. `seats` names them; without it the best available are chosen."""

    model_config = _shown(
        {"hold_id": _HOLD_ID, "event_id": "concert-01", "quantity": 2, "price": 5000},
        {"hold_id": _HOLD_ID, "event_id": "concert-01", "quantity": 1, "seats": ["A-07"]},
    )

    hold_id: Identifier
    event_id: Identifier
    quantity: Annotated[int, Field(ge=1, le=10), NUMBER] = 1
    seats: list[SeatName] | None = Field(None, min_length=1, max_length=10)
    price: Annotated[int, Field(ge=0, le=MAX_AMOUNT_MINOR), NUMBER] | None = Field(
        None, description="What the buyer expects per seat, minor units."
    )


class Hold(BaseModel):
    """A hold as granted; a re-send of the same id gets it unchanged."""

    model_config = _shown(
        {
            "hold_id": _HOLD_ID,
            "token": _FENCE,
            "event_id": "concert-01",
            "seats": ["A-07", "A-08"],
            "unit_price": 5000,
            "currency": "USD",
            "expires_at": "2026-11-24T18:00:20+00:00",
            "state": "HELD",
        }
    )

    hold_id: str
    token: str = Field(description="Fencing token: /confirm demands it.")
    event_id: str
    seats: list[str]
    unit_price: int = Field(description="Catalogue price per seat, minor units.")
    currency: str
    expires_at: str
    state: Literal["HELD", "SOLD"]


class ConfirmRequest(_In):
    """Turn a hold into a sale."""

    model_config = _shown({"hold_id": _HOLD_ID, "token": _FENCE})

    hold_id: Identifier
    token: Identifier


class ReleaseRequest(_In):
    """Give a hold back; an unknown id leaves a tombstone, so that a late hold of it is refused."""

    model_config = _shown({"hold_id": _HOLD_ID})

    hold_id: Identifier


class HoldStatus(BaseModel):
    """Where a hold stands."""

    model_config = _shown({"hold_id": _HOLD_ID, "state": "SOLD", "seats": ["A-07", "A-08"]})

    hold_id: str
    state: str
    seats: list[str]


class Money(BaseModel):
    """An amount in minor units."""

    amount_minor: int
    currency: str


class EventView(BaseModel):
    """An event and its counters: capacity = available + held + sold."""

    model_config = _shown(_EVENT)

    event_id: str
    name: str
    price: Money
    capacity: int
    available: int
    held: int
    sold: int


class EventList(BaseModel):
    """All events."""

    model_config = _shown({"events": [_EVENT]})

    events: list[EventView]


class SeatView(BaseModel):
    """One seat of the map."""

    seat: str
    row: str
    number: int
    state: Literal["free", "held", "sold"]
    held_until: str | None = Field(
        None,
        description="Until when a held seat is promised to somebody; absent otherwise.",
        examples=["2026-11-24T18:00:20+00:00"],
    )


class SeatMap(BaseModel):
    """The seats of one event, best first."""

    model_config = _shown(
        {
            "event_id": "concert-01",
            "seats": [
                {"seat": "A-07", "row": "A", "number": 7, "state": "sold"},
                {"seat": "A-08", "row": "A", "number": 8, "state": "free"},
            ],
        }
    )

    event_id: str
    seats: list[SeatView]


class ResetRequest(_In):
    """Leave exactly `seats` free seats."""

    model_config = _shown({"event_id": "concert-01", "seats": 1})

    event_id: Identifier
    seats: Annotated[int, Field(ge=0, le=100_000), NUMBER]
