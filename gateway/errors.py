"""Every refusal of the gateway.

ServiceError
├── GatewaySaturated                      full: nothing was done
├── UserBusy                              the user has as many reservations under way as anybody may
├── MeshBusy                              the lab is already running a race or a flood
├── FaultNotFound                         a service has no such switch: its own answer, passed on
├── AuditUnavailable                      the databases cannot be seen from here
├── Unreachable                           a read could not be answered
│   └── CatalogueUnavailable · RecordsUnavailable · PaymentsUnreachable · NotificationsUnreachable
├── ReservationsUnavailable               the request provably never got there
└── Relayed                               decided by reservations or inventory, told in their code
    ├── SoldOut · SeatTaken · EventNotFound · PriceChanged
    ├── PaymentDeclined · PaymentTimeout · HoldGone
    ├── InventoryUnavailable · PaymentsUnavailable · StorageUnavailable
    ├── IdempotencyKeyReused · RequestInProgress
    └── ReservationNotFound · ReservationInProgress · InvalidState · NotYours · EventBusy

The chassis adds its own: 400, 401, 404, 405, 413, 422, 500, 502 and `deadline_exceeded`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from chassis.errors import ServiceError


class GatewaySaturated(ServiceError):
    """As many reservations are in flight as the gateway takes; refused before any write."""

    code, status, final = "gateway_saturated", 429, False
    retry_after_s = 1.0


class UserBusy(ServiceError):
    """This user has as many reservations under way as anybody may; refused before any write."""

    code, status, final = "user_busy", 429, False
    retry_after_s = 1.0


class MeshBusy(ServiceError):
    """A race or a flood of the lab is still running, or too many live streams are open."""

    code, status, final = "overloaded", 503, False
    retry_after_s = 2.0


class FaultNotFound(ServiceError):
    """The service has no such fault."""

    code, status = "fault_not_found", 404


class AuditUnavailable(ServiceError):
    """There are no databases to be seen from the gateway, or the audit took too long."""

    code, status, final = "audit_unavailable", 503, False
    retry_after_s = 5.0


class Unreachable(ServiceError):
    """A service did not answer a question; asking changes nothing."""

    status, final = 503, False
    retry_after_s = 1.0


class CatalogueUnavailable(Unreachable):
    """Inventory did not answer a read."""

    code = "inventory_unavailable"


class RecordsUnavailable(Unreachable):
    """Reservations did not answer a read."""

    code = "reservations_unavailable"


class PaymentsUnreachable(Unreachable):
    """Payments did not answer a read."""

    code = "payments_unavailable"


class NotificationsUnreachable(Unreachable):
    """Notifications did not answer a read."""

    code = "notifications_unavailable"


class ReservationsUnavailable(ServiceError):
    """The request provably never reached reservations: refused connection, open breaker, shed."""

    code, status, final = "reservations_unavailable", 503, False
    retry_after_s = 1.0


class Relayed(ServiceError):
    """A refusal that another service decided.

    Attributes:
        replayed: Whether the answer repeats an earlier one of the same Idempotency-Key.
    """

    replayed: bool = False


class SoldOut(Relayed):
    """No seats are left."""

    code, status = "sold_out", 409


class SeatTaken(Relayed):
    """Named seats are not free; `seats` lists them."""

    code, status = "seat_taken", 409


class EventNotFound(Relayed):
    """There is no such event; `event_id` repeats it."""

    code, status = "event_not_found", 404


class PriceChanged(Relayed):
    """The price given differs from the event's; `price` has the current one."""

    code, status = "price_changed", 409


class PaymentDeclined(Relayed):
    """The provider declined; the seats are free again."""

    code, status = "payment_declined", 402


class PaymentTimeout(Relayed):
    """The payment took too long and was cancelled; no money will move."""

    code, status = "payment_timeout", 504


class HoldGone(Relayed):
    """The hold ran out before the sale; the authorisation is voided, nothing was charged."""

    code, status = "hold_gone", 409


class InventoryUnavailable(Relayed):
    """Inventory was down; nothing was held or charged."""

    code, status = "inventory_unavailable", 503
    retry_after_s = 1.0


class PaymentsUnavailable(Relayed):
    """Payments was down; nothing was charged, the seats are let go."""

    code, status = "payments_unavailable", 503
    retry_after_s = 1.0


class StorageUnavailable(Relayed):
    """The reservation could not be stored; of this delivery no money will move and no seat will stay."""

    code, status = "storage_unavailable", 503
    retry_after_s = 1.0


class IdempotencyKeyReused(Relayed):
    """The key was used with another body."""

    code, status = "idempotency_key_reused", 422


class RequestInProgress(Relayed):
    """The same key is still being worked on by another delivery."""

    code, status, final = "request_in_progress", 409, False
    retry_after_s = 1.0


class ReservationNotFound(Relayed):
    """There is no such reservation."""

    code, status = "reservation_not_found", 404


class ReservationInProgress(Relayed):
    """It is not confirmed yet, so it cannot be cancelled yet."""

    code, status = "reservation_in_progress", 409
    retry_after_s = 1.0


class InvalidState(Relayed):
    """Its state does not allow this."""

    code, status = "invalid_state", 409


class NotYours(Relayed):
    """The header `X-Manage-Token` is missing or wrong."""

    code, status = "not_yours", 403


class EventBusy(Relayed):
    """The event has open holds, so its seats cannot be reset now."""

    code, status = "event_busy", 409
    retry_after_s = 1.0


_RELAYED: Final[tuple[type[Relayed], ...]] = (
    SoldOut,
    SeatTaken,
    EventNotFound,
    PriceChanged,
    PaymentDeclined,
    PaymentTimeout,
    HoldGone,
    InventoryUnavailable,
    PaymentsUnavailable,
    StorageUnavailable,
    IdempotencyKeyReused,
    RequestInProgress,
    ReservationNotFound,
    ReservationInProgress,
    InvalidState,
    NotYours,
    EventBusy,
)

RELAYED: Final[Mapping[str, type[Relayed]]] = MappingProxyType(
    {error.code: error for error in _RELAYED}
)
"""Refusals of other services that buyers may hear, by code; any other code is a broken contract."""

UNREACHABLE: Final[Mapping[str, type[Unreachable]]] = MappingProxyType(
    {
        "reservations": RecordsUnavailable,
        "inventory": CatalogueUnavailable,
        "payments": PaymentsUnreachable,
        "notifications": NotificationsUnreachable,
    }
)
"""What to say when a read of that service goes unanswered."""
