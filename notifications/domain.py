"""Pure rules of a message: its states, which addresses are e-mail, and the texts in Spanish and English.

Not here: storage (`store.py`), sending (`clients.py`), time.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

Template = Literal["confirmed", "cancelled"]
Language = Literal["es", "en"]
Data = Mapping[str, str | int | float | Sequence[str] | None]


class MessageState(StrEnum):
    """States of a message. INFLIGHT is a lease: a sender is on it, or died and may have sent it."""

    ACCEPTED = "ACCEPTED"
    INFLIGHT = "INFLIGHT"
    DELIVERED = "DELIVERED"
    DEAD = "DEAD"


class MessageEvent(StrEnum):
    """What can happen to a message."""

    ACCEPT = "accept"
    CLAIM = "claim"
    DELIVER = "deliver"
    GIVE_UP = "give_up"
    PUT_BACK = "put_back"
    RESEND = "resend"


class IllegalArrow(Exception):
    """The event cannot happen in that state."""


_S, _E = MessageState, MessageEvent

ARROWS: Final[Mapping[tuple[MessageState | None, MessageEvent], MessageState]] = MappingProxyType(
    {
        (None, _E.ACCEPT): _S.ACCEPTED,
        (_S.ACCEPTED, _E.CLAIM): _S.INFLIGHT,
        (_S.INFLIGHT, _E.CLAIM): _S.INFLIGHT,  # the lease ran out
        (_S.INFLIGHT, _E.DELIVER): _S.DELIVERED,
        (_S.INFLIGHT, _E.GIVE_UP): _S.DEAD,
        (_S.INFLIGHT, _E.PUT_BACK): _S.ACCEPTED,  # certainly not sent
        (_S.DEAD, _E.RESEND): _S.ACCEPTED,  # an operator's wish, the address perhaps corrected
    }
)
"""Every legal transition; each is a compare-and-set on state and lease in `store.py`."""


def advance(state: MessageState | None, event: MessageEvent) -> MessageState:
    """The state after `event`.

    Raises:
        IllegalArrow: `event` cannot happen in `state`.
    """
    try:
        return ARROWS[state, event]
    except KeyError:
        raise IllegalArrow(f"{event} in {state}") from None


Status = Literal["accepted", "delivered", "dead"]

_STATUS: Final[Mapping[MessageState, Status]] = MappingProxyType(
    {_S.DELIVERED: "delivered", _S.DEAD: "dead"}
)


def status_of(state: MessageState) -> Status:
    """The word on the wire; a message under way is "accepted"."""
    return _STATUS.get(state, "accepted")


# RFC 5322 dot-atom at a host name: what any mail server takes without quoting.
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_EMAIL: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")


def is_email(recipient: str) -> bool:
    """Whether mail can be addressed to `recipient`."""
    return len(recipient) <= 254 and _EMAIL.fullmatch(recipient) is not None


class Mail(NamedTuple):
    """Subject and plain-text body."""

    subject: str
    body: str


class Envelope(NamedTuple):
    """A mail on its way: what any mailer needs to know."""

    notification_id: str
    recipient: str
    mail: Mail


def render(template: Template, lang: Language, data: Data, gateway_url: str) -> Mail:
    """The mail in words.

    Args:
        template: Which mail.
        lang: Its language.
        data: `event_name` (or `event_id`), `seats`, `amount_minor` with `currency` (or `total` as text),
            `reservation_id`; what is missing is left out of the text.
        gateway_url: Where the link to the reservation leads, without a trailing slash.
    """
    return _TEMPLATES[template, lang](_Facts.of(data, gateway_url.rstrip("/")))


class _Facts(NamedTuple):
    """What a text may mention, as text; empty when unknown."""

    event: str
    seats: str
    total: str
    reservation: str
    link: str

    @classmethod
    def of(cls, data: Data, gateway_url: str) -> "_Facts":
        reservation = _line(data.get("reservation_id"))
        return cls(
            event=_line(data.get("event_name") or data.get("event") or data.get("event_id")),
            seats=_line(data.get("seats")),
            total=_line(data.get("total")) or _money(data),
            reservation=reservation,
            link=f"{gateway_url}/r/{reservation}" if reservation else "",
        )


def _line(value: object) -> str:
    """`value` on one line: nothing that comes from outside may start a header or a paragraph."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(_line(item) for item in value)
    return " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())


def _money(data: Data) -> str:
    amount_minor = data.get("amount_minor")
    if not isinstance(amount_minor, int):
        return ""
    return f"{amount_minor // 100}.{amount_minor % 100:02d} {_line(data.get('currency'))}".rstrip()


def _paragraphs(*paragraphs: str | list[tuple[str, str]]) -> str:
    """Paragraphs as plain text; pairs become `label: value` lines, empty values and paragraphs are left out."""
    texts = [
        part
        if isinstance(part, str)
        else "\n".join(f"{label}: {value}" for label, value in part if value)
        for part in paragraphs
    ]
    return "\n\n".join(text for text in texts if text) + "\n"


def _confirmed_es(facts: _Facts) -> Mail:
    about = f": {facts.event}" if facts.event else ""
    return Mail(
        f"Tu reserva está confirmada{about}",
        _paragraphs(
            "¡Hola!",
            "Tu reserva está confirmada. ¡Que lo disfrutes!",
            [
                ("Evento", facts.event),
                ("Asientos", facts.seats),
                ("Total", facts.total),
                ("Reserva", facts.reservation),
            ],
            f"Puedes verla cuando quieras en {facts.link}" if facts.link else "",
            "— Taquilla",
        ),
    )


def _confirmed_en(facts: _Facts) -> Mail:
    about = f": {facts.event}" if facts.event else ""
    return Mail(
        f"Your reservation is confirmed{about}",
        _paragraphs(
            "Hello!",
            "Your reservation is confirmed. Enjoy the show!",
            [
                ("Event", facts.event),
                ("Seats", facts.seats),
                ("Total", facts.total),
                ("Reservation", facts.reservation),
            ],
            f"You can see it any time at {facts.link}" if facts.link else "",
            "— Taquilla",
        ),
    )


def _cancelled_es(facts: _Facts) -> Mail:
    about = f": {facts.event}" if facts.event else ""
    return Mail(
        f"Tu reserva fue cancelada{about}",
        _paragraphs(
            "Hola:",
            "Tu reserva fue cancelada y los asientos quedaron libres. Lo que hayas pagado se te devuelve completo.",
            [
                ("Evento", facts.event),
                ("Asientos", facts.seats),
                ("Devolución", facts.total),
                ("Reserva", facts.reservation),
            ],
            f"El detalle está en {facts.link}" if facts.link else "",
            "Esperamos verte pronto.\n— Taquilla",
        ),
    )


def _cancelled_en(facts: _Facts) -> Mail:
    about = f": {facts.event}" if facts.event else ""
    return Mail(
        f"Your reservation was cancelled{about}",
        _paragraphs(
            "Hello,",
            "Your reservation was cancelled and its seats are free again. Whatever you paid is refunded in full.",
            [
                ("Event", facts.event),
                ("Seats", facts.seats),
                ("Refund", facts.total),
                ("Reservation", facts.reservation),
            ],
            f"The details are at {facts.link}" if facts.link else "",
            "We hope to see you soon.\n— Taquilla",
        ),
    )


_TEMPLATES: Final[Mapping[tuple[Template, Language], Callable[[_Facts], Mail]]] = MappingProxyType(
    {
        ("confirmed", "es"): _confirmed_es,
        ("confirmed", "en"): _confirmed_en,
        ("cancelled", "es"): _cancelled_es,
        ("cancelled", "en"): _cancelled_en,
    }
)
