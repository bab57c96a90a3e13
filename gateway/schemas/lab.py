"""What the lab is told to do, and what came of it."""

from typing import Annotated

from pydantic import BaseModel, Field

from chassis.values import NUMBER
from gateway.schemas.shop import EventId, shown


class ResetOrder(BaseModel):
    """Lab: leave exactly `seats` free seats; held and sold ones stay."""

    model_config = shown({"event_id": "concert-01", "seats": 20}, extra="forbid", frozen=True)

    event_id: EventId
    seats: Annotated[int, Field(ge=0, le=10_000), NUMBER]


class RaceOrder(BaseModel):
    """Lab: `buyers` at once for `seats` seats."""

    model_config = shown({"buyers": 8, "seats": 1}, extra="forbid", frozen=True)

    buyers: Annotated[int, Field(ge=2, le=64), NUMBER] = 8
    seats: Annotated[int, Field(ge=1, le=10), NUMBER] = 1
    event_id: EventId = "concert-02"


class LoadOrder(BaseModel):
    """Lab: `requests` reservations by `workers` at once; a 429 is counted, never retried."""

    model_config = shown({"requests": 50, "workers": 10}, extra="forbid", frozen=True)

    requests: Annotated[int, Field(ge=1, le=200), NUMBER] = 50
    workers: Annotated[int, Field(ge=1, le=50), NUMBER] = 10
    event_id: EventId = "concert-01"


class Verdict(BaseModel):
    """How one promise about the books stands; see docs/audit.md."""

    number: str
    name: str
    title_es: str
    title_en: str
    ok: bool | None = Field(
        description="null: not judged, because it needs a journal or because something is under way."
    )
    checked: int = Field(description="Rows that were looked at.")
    findings: list[str] = Field(description="What breaks it, at most five.")


class AuditReport(BaseModel):
    """An audit of all databases. `ok`: nothing that could be judged is broken."""

    model_config = shown(
        {
            "ok": True,
            "at": "2026-11-24T18:00:00+00:00",
            "took_ms": 240,
            "rest": True,
            "invariants": [
                {
                    "number": "I2",
                    "name": "one-owner",
                    "title_es": "Ningún asiento está, ni estuvo nunca, en dos apartados vivos a la vez.",
                    "title_en": "No seat is, or ever was, in two living holds at once.",
                    "ok": True,
                    "checked": 96,
                    "findings": [],
                }
            ],
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

    model_config = shown(
        {
            "outcomes": [
                {"status": 200, "code": "confirmed", "count": 1},
                {"status": 409, "code": "sold_out", "count": 7},
            ],
            "series": [
                {"at_ms": 0, "took_ms": 42, "outcome": "confirmed"},
                {"at_ms": 1, "took_ms": 120, "outcome": "sold_out"},
            ],
            "p50_ms": 42,
            "p95_ms": 42,
            "elapsed_s": 0.31,
            "retries": 3,
            "ok": True,
        }
    )

    outcomes: list[Count]
    series: list[Answered] = Field(description="Every buyer, in the order in which they came.")
    p50_ms: int | None
    p95_ms: int | None
    elapsed_s: float
    retries: int = Field(0, description="How often a buyer came back after a 429 (race only).")
    ok: bool = Field(
        description="Race: exactly the seats were sold. Flood: all answers in contract."
    )
