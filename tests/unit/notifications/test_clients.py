"""SMTP as it is spoken: a real client against a tiny server on a socket of this machine."""

from email import message_from_bytes
from email.policy import default

import httpx
import pytest

from chassis import runtime
from chassis.testing import serve
from notifications.app import create_app
from notifications.clients import MaybeDelivered, NotDelivered, SmtpMailer, Undeliverable
from notifications.domain import Envelope, Mail
from notifications.settings import Settings
from tests.support import until
from tests.unit.notifications.smtp_sink import SmtpSink

ENVELOPE = Envelope("r1:confirmed", "ana@example.com", Mail("Reserva nº 1", "¡Hola!\n.\nAdiós\n"))


@pytest.fixture
async def sink():
    found = SmtpSink()
    found.replies["DATA"] = ["354 go on"]
    async with found.listening():
        yield found


def mailer(sink) -> SmtpMailer:
    return SmtpMailer(f"smtp://127.0.0.1:{sink.port}", "taquilla@example.com", runtime.real())


async def test_the_mail_arrives_whole(sink):
    await mailer(sink).send(ENVELOPE)
    mail = message_from_bytes(sink.mails[0].removesuffix(b".\r\n"), policy=default)
    assert mail["Message-ID"] == "<r1=3Aconfirmed@example.com>"
    assert (mail["To"], mail["From"]) == ("ana@example.com", "taquilla@example.com")
    assert mail["Subject"] == "Reserva nº 1"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content().splitlines()[0] == "¡Hola!"


@pytest.mark.parametrize(
    ("verb", "reply", "expected"),
    [
        ("RCPT", "550 no such user", Undeliverable),
        ("RCPT", "530 authenticate first", NotDelivered),
        ("RCPT", "451 try later", NotDelivered),
        ("MAIL", "550 not you", NotDelivered),
        ("END", "452 disk full", NotDelivered),
        ("END", "554 spam", NotDelivered),
        ("HELLO", "421 closing", NotDelivered),
        ("END", "drop", MaybeDelivered),
        ("END", "taken then drop", MaybeDelivered),
    ],
)
async def test_each_refusal_says_how_much_it_knows(sink, verb, reply, expected):
    sink.replies[verb] = [reply]
    with pytest.raises(expected):
        await mailer(sink).send(ENVELOPE)


async def test_nobody_listening_is_certainly_not_delivered(sink):
    async with SmtpSink().listening() as gone:
        address = mailer(gone)
    with pytest.raises(NotDelivered):
        await address.send(ENVELOPE)


async def test_busy_then_taken_end_to_end(sink, tmp_path):
    """The whole service against the server: 451 first, delivered by the loop, one mail."""
    sink.replies["RCPT"] = ["451 try later", "250 ok"]
    settings = Settings(data_dir=tmp_path, smtp_url=f"smtp://127.0.0.1:{sink.port}")
    body = {"notification_id": "r1.confirmed", "to": "ana@example.com", "template": "confirmed"}
    async with (
        serve(create_app(settings, runtime.real())) as transport,
        httpx.AsyncClient(transport=transport, base_url="http://n") as http,
    ):
        assert (await http.post("/send", json=body)).json()["status"] == "accepted"

        async def is_delivered() -> bool:
            again = await http.post("/send", json=body)
            return again.json()["status"] == "delivered"

        await until(is_delivered, limit_s=10)
        message = (await http.get("/messages")).json()["messages"][0]
    assert message["attempts"] == 2
    assert len(sink.mails) == 1
