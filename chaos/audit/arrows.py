"""Every legal transition of every party's books, written down a second time: the services' own tables are not read.

`(machine, from, to, word)`: `word` is the event or step that may make it; None means any.
"""

from typing import Final

Arrow = tuple[str, str | None, str, str | None]

_OPEN: Final = ("RECEIVED", "HELD", "AUTHORIZED", "CANCELLING", "REFUNDING")

_HOLD: Final = (
    (None, "HELD"),
    (None, "REFUSED"),
    (None, "RELEASED"),  # the tombstone
    ("HELD", "SOLD"),
    ("HELD", "RELEASED"),
    ("HELD", "EXPIRED"),
    ("SOLD", "RELEASED"),
)

_SAGA: Final = (
    (None, "RECEIVED", "accept"),
    ("RECEIVED", "HELD", "hold"),
    ("RECEIVED", "REFUSED", "hold"),
    ("RECEIVED", "CANCELLING", None),
    ("HELD", "AUTHORIZED", "authorize"),
    ("HELD", "CANCELLING", None),
    ("AUTHORIZED", "CONFIRMED", "sell"),
    ("AUTHORIZED", "CANCELLING", "sell"),  # only when the hold is gone: never by recovery
    ("CONFIRMED", "REFUNDING", "cancel"),
    ("REFUNDING", "REFUNDED", "refund"),
    ("CANCELLING", "DECLINED", "undo"),
    ("CANCELLING", "PAYMENT_TIMEOUT", "undo"),
    ("CANCELLING", "UNAVAILABLE", "undo"),
    ("CANCELLING", "CANCELLED", "undo"),
    ("UNAVAILABLE", "RECEIVED", "accept"),  # attempt n + 1
    *((state, state, "recover") for state in _OPEN),  # another driver took over
)

_PAYMENT: Final = (
    (None, "AUTH_PENDING", "pay"),
    (None, "VOID_PENDING", "cancel"),
    ("AUTH_PENDING", "AUTHORIZED", "authorized"),
    ("AUTH_PENDING", "DECLINED", "declined"),
    ("AUTH_PENDING", "VOID_PENDING", "cancel"),
    ("AUTHORIZED", "CAPTURE_PENDING", "capture"),
    ("AUTHORIZED", "VOID_PENDING", "cancel"),
    ("CAPTURE_PENDING", "CAPTURED", "captured"),
    ("CAPTURE_PENDING", "CAPTURE_PENDING", "cancel"),  # refund wanted
    ("CAPTURED", "REFUND_PENDING", "cancel"),
    ("REFUND_PENDING", "REFUNDED", "refunded"),
    ("VOID_PENDING", "VOIDED", "voided"),
)

_MESSAGE: Final = (
    (None, "ACCEPTED", "accept"),
    ("ACCEPTED", "INFLIGHT", "claim"),
    ("INFLIGHT", "INFLIGHT", "claim"),
    ("INFLIGHT", "DELIVERED", "deliver"),
    ("INFLIGHT", "DEAD", "give_up"),
    ("INFLIGHT", "ACCEPTED", "put_back"),
    ("DEAD", "ACCEPTED", "resend"),
)

_PROVIDER: Final = (
    (None, "authorize"),
    (None, "decline"),
    (None, "tombstone"),
    ("authorize", "capture"),
    ("authorize", "void"),
    ("capture", "refund"),
    ("decline", "tombstone"),
)

ARROWS: Final[tuple[Arrow, ...]] = (
    *(("hold", *pair, None) for pair in _HOLD),
    *(("saga", *one) for one in _SAGA),
    *(("payment", *one) for one in _PAYMENT),
    *(("message", *one) for one in _MESSAGE),
    *(("provider", *pair, None) for pair in _PROVIDER),
)
"""All of them."""

AGREEMENTS: Final = (
    ("AUTH_PENDING", None),
    ("AUTH_PENDING", "authorized"),
    ("AUTH_PENDING", "declined"),
    ("AUTH_PENDING", "voided"),
    ("AUTHORIZED", "authorized"),
    ("DECLINED", "declined"),
    ("CAPTURE_PENDING", "authorized"),
    ("CAPTURE_PENDING", "captured"),
    ("CAPTURED", "captured"),
    ("REFUND_PENDING", "captured"),
    ("REFUND_PENDING", "refunded"),
    ("REFUNDED", "refunded"),
    ("VOID_PENDING", None),
    ("VOID_PENDING", "authorized"),
    ("VOID_PENDING", "declined"),
    ("VOID_PENDING", "voided"),
    ("VOIDED", "voided"),
)
"""What payments' state and the provider's may be at once; None: the provider never heard of it."""

ENDS_AS: Final = (
    ("authorize", "authorized"),
    ("decline", "declined"),
    ("capture", "captured"),
    ("void", "voided"),
    ("tombstone", "voided"),
    ("refund", "refunded"),
)
"""The provider's state after each kind of entry."""

FINAL_REFUSALS: Final = (
    "payment_declined",
    "payment_timeout",
    "event_not_found",
    "sold_out",
    "seat_taken",
    "price_changed",
    "hold_gone",
)
"""Codes after which a key never sells: 402, 404, 409 and 504. A 503 lets the same key try again."""
