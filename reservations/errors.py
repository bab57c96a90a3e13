"""Every refusal reservations makes.

ServiceError
├── Refusal                     carries `reservation_id`, and `replayed` for a repeated request
│   ├── SoldOut · SeatTaken · PriceChanged · EventNotFound    inventory said no; nothing to undo
│   ├── PaymentDeclined · PaymentTimedOut                     undone or being undone; no money moves
│   ├── HoldGone                                              the seats went before the sale
│   ├── InventoryUnavailable · PaymentsUnavailable · StorageUnavailable    try again with the same key
│   └── RequestInProgress                                     the same request is still being worked on
├── KeyReused                   the key belongs to another body
├── ReservationNotFound
├── ReservationInProgress · InvalidState · NotYours           the buyer's cancel
"""

from typing import Final

from chassis.errors import ServiceError


class Refusal(ServiceError):
    """A refusal about one reservation."""

    def __init__(
        self,
        *,
        reservation_id: str,
        replayed: bool = False,
        retry_after_s: float | None = None,
        **extensions: object,
    ) -> None:
        super().__init__(
            retry_after_s=retry_after_s,
            reservation_id=reservation_id,
            **({"replayed": True} if replayed else {}),
            **extensions,
        )


class SoldOut(Refusal):
    """Fewer free seats than asked for."""

    code, status = "sold_out", 409


class SeatTaken(Refusal):
    """Some named seats are not free; `seats`."""

    code, status = "seat_taken", 409


class PriceChanged(Refusal):
    """The price differs; `price`."""

    code, status = "price_changed", 409


class EventNotFound(Refusal):
    """There is no such event."""

    code, status = "event_not_found", 404


class PaymentDeclined(Refusal):
    """The provider said no; the seats are being freed."""

    code, status = "payment_declined", 402


class PaymentTimedOut(Refusal):
    """The payment took too long; it is being cancelled and no money will move."""

    code, status = "payment_timeout", 504


class HoldGone(Refusal):
    """The hold was gone before it could be sold; the authorization is being voided."""

    code, status = "hold_gone", 409


class InventoryUnavailable(Refusal):
    """Inventory did not answer in time; whatever it may hold is being released."""

    code, status = "inventory_unavailable", 503
    retry_after_s = 1.0


class PaymentsUnavailable(Refusal):
    """Payments did not answer; whatever it may hold is being cancelled."""

    code, status = "payments_unavailable", 503
    retry_after_s = 1.0


class StorageUnavailable(Refusal):
    """The reservation could not be stored; its driver has given it up for good."""

    code, status = "storage_unavailable", 503
    retry_after_s = 1.0


class RequestInProgress(Refusal):
    """The same request is being worked on."""

    code, status = "request_in_progress", 409
    retry_after_s = 1.0


class KeyReused(ServiceError):
    """The idempotency key was used with another body."""

    code, status = "idempotency_key_reused", 422


class ReservationNotFound(ServiceError):
    """There is no such reservation."""

    code, status = "reservation_not_found", 404


class ReservationInProgress(ServiceError):
    """Too early to cancel."""

    code, status = "reservation_in_progress", 409
    retry_after_s = 1.0


class InvalidState(ServiceError):
    """It ended without a sale, so there is nothing to cancel."""

    code, status = "invalid_state", 409


class NotYours(ServiceError):
    """The manage token is missing or another reservation's."""

    code, status = "not_yours", 403


BY_REASON: Final[dict[str, type[Refusal]]] = {
    error.code: error
    for error in (
        SoldOut,
        SeatTaken,
        PriceChanged,
        EventNotFound,
        PaymentDeclined,
        PaymentTimedOut,
        HoldGone,
        InventoryUnavailable,
        PaymentsUnavailable,
        StorageUnavailable,
    )
}
"""The refusal for each reason that a reservation may end with."""
