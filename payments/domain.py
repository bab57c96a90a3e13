"""Pure rules of a payment: its states and every legal arrow between them.

Not here: storage (`store.py`), the provider (`clients.py`), time.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal


class PaymentState(StrEnum):
    """States of a payment. *_PENDING: decided here, the provider's acknowledgement is still missing."""

    AUTH_PENDING = "AUTH_PENDING"
    AUTHORIZED = "AUTHORIZED"
    DECLINED = "DECLINED"
    CAPTURE_PENDING = "CAPTURE_PENDING"
    CAPTURED = "CAPTURED"
    REFUND_PENDING = "REFUND_PENDING"
    REFUNDED = "REFUNDED"
    VOID_PENDING = "VOID_PENDING"
    VOIDED = "VOIDED"


class PaymentEvent(StrEnum):
    """What can happen to a payment: three decisions of ours, five answers of the provider's."""

    PAY = "pay"
    CAPTURE = "capture"
    CANCEL = "cancel"
    AUTHORIZED = "authorized"
    DECLINED = "declined"
    CAPTURED = "captured"
    VOIDED = "voided"
    REFUNDED = "refunded"


class IllegalArrow(Exception):
    """The event cannot happen in that state."""


_S, _E = PaymentState, PaymentEvent

ARROWS: Final[Mapping[tuple[PaymentState | None, PaymentEvent], PaymentState]] = MappingProxyType(
    {
        (None, _E.PAY): _S.AUTH_PENDING,
        (None, _E.CANCEL): _S.VOID_PENDING,  # the tombstone that a late /pay meets
        (_S.AUTH_PENDING, _E.AUTHORIZED): _S.AUTHORIZED,
        (_S.AUTH_PENDING, _E.DECLINED): _S.DECLINED,
        (_S.AUTH_PENDING, _E.CANCEL): _S.VOID_PENDING,
        (_S.AUTHORIZED, _E.CAPTURE): _S.CAPTURE_PENDING,
        (_S.AUTHORIZED, _E.CANCEL): _S.VOID_PENDING,
        (_S.CAPTURE_PENDING, _E.CAPTURED): _S.CAPTURED,
        # A capture under way is settled first; the wish is stored as `refund_wanted`.
        (_S.CAPTURE_PENDING, _E.CANCEL): _S.CAPTURE_PENDING,
        (_S.CAPTURED, _E.CANCEL): _S.REFUND_PENDING,
        (_S.REFUND_PENDING, _E.REFUNDED): _S.REFUNDED,
        (_S.VOID_PENDING, _E.VOIDED): _S.VOIDED,
    }
)
"""Every legal transition; each is a compare-and-set on state and version in `store.py`. No way leads back."""

PENDING: Final = (_S.AUTH_PENDING, _S.CAPTURE_PENDING, _S.REFUND_PENDING, _S.VOID_PENDING)
"""States that the settle loop must end."""

CANCELLED: Final = (_S.VOID_PENDING, _S.VOIDED)
"""States in which no money will ever move."""

Status = Literal["pending", "authorized", "captured", "voided", "refunded", "declined"]

_STATUS: Final[Mapping[PaymentState, Status]] = MappingProxyType(
    {
        _S.AUTHORIZED: "authorized",
        _S.DECLINED: "declined",
        _S.CAPTURED: "captured",
        _S.REFUNDED: "refunded",
        _S.VOIDED: "voided",
    }
)


def is_legal(state: PaymentState | None, event: PaymentEvent) -> bool:
    """Whether `event` can happen in `state`; None is a payment that does not exist yet."""
    return (state, event) in ARROWS


def advance(state: PaymentState | None, event: PaymentEvent) -> PaymentState:
    """The state after `event`.

    Raises:
        IllegalArrow: `event` cannot happen in `state`.
    """
    try:
        return ARROWS[state, event]
    except KeyError:
        raise IllegalArrow(f"{event} in {state}") from None


def status_of(state: PaymentState) -> Status:
    """The word on the wire; every *_PENDING is "pending"."""
    return _STATUS.get(state, "pending")
