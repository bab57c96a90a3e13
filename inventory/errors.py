"""Every refusal inventory makes.

ServiceError
├── EventNotFound · PriceChanged · SoldOut · SeatTaken    a hold that cannot be
├── HoldGone                                              released, expired or refused: never taken again
├── HoldTokenStale                                        not the holder
├── HoldNotFound                                          confirm of an id never seen
└── EventBusy                                             reset while holds are open
"""

from chassis.errors import ServiceError


class EventNotFound(ServiceError):
    """There is no such event."""

    code, status = "event_not_found", 404

    def __init__(self, *, event_id: str) -> None:
        super().__init__(event_id=event_id)


class PriceChanged(ServiceError):
    """The buyer's price is not the catalogue's; `price` is, in major units, and `price_minor` in minor ones."""

    code, status = "price_changed", 409

    def __init__(self, *, price_minor: int, currency: str) -> None:
        whole, cents = divmod(price_minor, 100)
        super().__init__(
            price=f"{whole}.{cents:02d} {currency}", price_minor=price_minor, currency=currency
        )


class SoldOut(ServiceError):
    """Fewer free seats than asked for."""

    code, status = "sold_out", 409


class SeatTaken(ServiceError):
    """Some of the named seats are not free, or not there; `seats` names them."""

    code, status = "seat_taken", 409

    def __init__(self, *, seats: list[str]) -> None:
        super().__init__(seats=seats)


class HoldGone(ServiceError):
    """The hold was released, has expired, or was refused."""

    code, status = "hold_gone", 409


class HoldTokenStale(ServiceError):
    """The token is not the one made with this hold."""

    code, status = "hold_token_stale", 409


class HoldNotFound(ServiceError):
    """There never was such a hold."""

    code, status = "hold_not_found", 404


class EventBusy(ServiceError):
    """The event has open holds, so the number of free seats cannot be set now."""

    code, status = "event_busy", 409
    retry_after_s = 1.0
