"""States, addresses, and what buyers read."""

from itertools import product

import pytest

from notifications.domain import (
    ARROWS,
    IllegalArrow,
    MessageEvent,
    MessageState,
    advance,
    is_email,
    render,
)

DATA = {
    "event_name": "Noche de Boleros",
    "seats": ["A-07", "A-08"],
    "amount_minor": 10050,
    "currency": "USD",
    "reservation_id": "r4f0c",
}


@pytest.mark.parametrize(("state", "event"), list(product([None, *MessageState], MessageEvent)))
def test_every_arrow_outside_the_table_is_refused(state, event):
    if (state, event) not in ARROWS:
        with pytest.raises(IllegalArrow):
            advance(state, event)


def test_delivered_is_an_end_and_only_a_resend_leads_out_of_dead():
    def events(state):
        return [event for event in MessageEvent if (state, event) in ARROWS]

    assert events(MessageState.DELIVERED) == []
    assert events(MessageState.DEAD) == [MessageEvent.RESEND]


def test_the_confirmation_says_everything_in_spanish():
    mail = render("confirmed", "es", DATA, "http://shop.test/")
    assert mail.subject == "Tu reserva está confirmada: Noche de Boleros"
    for fact in ("A-07, A-08", "100.50 USD", "http://shop.test/r/r4f0c"):
        assert fact in mail.body


@pytest.mark.parametrize(
    ("template", "subject"),
    [
        ("confirmed", "Your reservation is confirmed: Noche de Boleros"),
        ("cancelled", "Your reservation was cancelled: Noche de Boleros"),
    ],
)
def test_english_is_english(template, subject):
    mail = render(template, "en", DATA, "http://shop.test")
    assert mail.subject == subject
    assert "reserva " not in mail.body


def test_what_is_missing_is_left_out():
    mail = render("cancelled", "es", {}, "http://shop.test")
    assert mail.subject == "Tu reserva fue cancelada"
    assert "None" not in mail.body
    assert "/r/" not in mail.body
    assert "Evento" not in mail.body


def test_nothing_from_outside_can_start_a_header():
    mail = render("confirmed", "en", {"event_name": "X\r\nBcc: all@example.com"}, "http://s")
    assert "\n" not in mail.subject
    assert "\r" not in mail.body
    assert "X Bcc: all@example.com" in mail.subject


@pytest.mark.parametrize(
    ("recipient", "yes"),
    [
        ("ana@example.com", True),
        ("ana.b+c@mail.example.co", True),
        ("ana@localhost", True),
        ("ana", False),
        ("ana@", False),
        ("@example.com", False),
        ("a..b@example.com", False),
        ("ana@exa mple.com", False),
        ("ana@example.com\n", False),
        ("ana@example.com,eva@example.com", False),
        ("a" * 250 + "@x.co", False),
    ],
)
def test_addresses(recipient, yes):
    assert is_email(recipient) is yes
