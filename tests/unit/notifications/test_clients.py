"""SMTP as it is spoken: a real client on sockets of this machine.

Against aiosmtpd, as in life; against a tiny server of our own where a connection must break in the middle of a word.
"""

from contextlib import asynccontextmanager
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
from tests.support.mail import MailServer
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


@asynccontextmanager
async def notifications(tmp_path, server):
    """The whole service, its mail going to `server`."""
    settings = Settings(data_dir=tmp_path, smtp_url=server.url)
    async with (
        serve(create_app(settings, runtime.real())) as transport,
        httpx.AsyncClient(transport=transport, base_url="http://n") as http,
    ):
        yield http


BODY = {"notification_id": "r1.confirmed", "to": "ana@example.com", "template": "confirmed"}


async def test_aiosmtpd_gets_the_mail_whole():
    async with MailServer().listening() as server:
        await SmtpMailer(server.url, "taquilla@example.com", runtime.real()).send(ENVELOPE)
        (mail,) = server.mails
    assert mail.recipients == ["ana@example.com"]
    assert mail.message["Message-ID"] == "<r1=3Aconfirmed@example.com>"
    assert mail.message.get_content().splitlines() == ["¡Hola!", ".", "Adiós"]


async def test_busy_then_taken_end_to_end(tmp_path):
    """451 first, then delivered by the loop, one mail."""
    replies = iter(["451 try later"])
    async with MailServer().listening() as server:
        server.on_recipient = lambda _address: next(replies, None)
        async with notifications(tmp_path, server) as http:
            assert (await http.post("/send", json=BODY)).json()["status"] == "accepted"

            async def is_delivered() -> bool:
                again = await http.post("/send", json=BODY)
                return again.json()["status"] == "delivered"

            await until(is_delivered, limit_s=10)
            message = (await http.get("/messages")).json()["messages"][0]
    assert (message["attempts"], message["redelivered"]) == (2, 0)
    assert server.ids() == ["<r1.confirmed@localhost>"]


async def test_a_refused_address_is_a_dead_letter_until_it_is_corrected(tmp_path):
    async with MailServer().listening() as server:
        server.on_recipient = lambda address: (
            None if address.endswith("@example.org") else "550 no such user"
        )
        async with notifications(tmp_path, server) as http:
            assert (await http.post("/send", json=BODY)).json()["status"] == "dead"
            (dead,) = (await http.get("/messages", params={"state": "dead"})).json()["messages"]
            assert "550" in dead["error"]
            path = "/messages/r1.confirmed/resend"
            in_vain = (await http.post(path, json={})).json()
            assert (in_vain["resent"], in_vain["message"]["state"]) == (True, "dead")
            done = (await http.post(path, json={"to": "ana@example.org"})).json()
            assert (done["resent"], done["message"]["state"]) == (True, "delivered")
            assert done["message"]["error"] is None
            assert (await http.post(path, json={})).json()["resent"] is False
    assert [mail.recipients for mail in server.mails] == [["ana@example.org"]]
