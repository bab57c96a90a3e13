"""What goes over the gateway's wire, validated and with the examples of the docs page."""

from gateway.schemas.lab import (
    Answered,
    AuditReport,
    Count,
    CrowdReport,
    LoadOrder,
    RaceOrder,
    ResetOrder,
    Verdict,
)
from gateway.schemas.shop import (
    CANCELLING_EXAMPLE,
    EventList,
    PendingAnswer,
    ReservationAnswer,
    ReservationView,
    ReserveRequest,
    SeatList,
    TimelineEntry,
)

__all__ = [
    "CANCELLING_EXAMPLE",
    "Answered",
    "AuditReport",
    "Count",
    "CrowdReport",
    "EventList",
    "LoadOrder",
    "PendingAnswer",
    "RaceOrder",
    "ReservationAnswer",
    "ReservationView",
    "ReserveRequest",
    "ResetOrder",
    "SeatList",
    "TimelineEntry",
    "Verdict",
]
