"""Everything mail goes through: the protocol, the mailbox in our own database, and SMTP.

A mailer that returns has delivered. Otherwise it says how much it knows: `Undeliverable` (never), `NotDelivered`
(certainly not now), `MaybeDelivered` (unknown: a retry may be a second mail).

Source: RFC 5321 §4.2.1 (reply codes), RFC 3834 §5 (Auto-Submitted).
"""

import email.policy
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib

from chassis.runtime import Runtime
from notifications.domain import Envelope, MessageState

_COMMAND_TIMEOUT_S: Final = 10.0

_AUTHENTICATION_REQUIRED: Final = 530
"""Permanent by its number, but about us and not about the recipient (RFC 4954 §6)."""


class Undeliverable(Exception):
    """The recipient's address was refused for good."""


class NotDelivered(Exception):
    """Nothing was sent; the server is down, busy or refuses us."""


class MaybeDelivered(Exception):
    """The connection broke while the mail was handed over."""


class Mailer(Protocol):
    """A way to deliver one mail."""

    @property
    def is_atomic(self) -> bool:
        """True when delivering also records DELIVERED, in one commit: then no lease is needed."""
        ...

    async def send(self, envelope: Envelope) -> None:
        """Deliver.

        Raises:
            Undeliverable, NotDelivered, MaybeDelivered: See the module.
        """
        ...


class StoreMailer:
    """The embedded default: mail stays in the mailbox table, to be read at `GET /messages`.

    Args:
        put: Stores the mailbox entry and DELIVERED in one transaction.
    """

    is_atomic = True

    def __init__(self, put: Callable[[str], Awaitable[MessageState]]) -> None:
        self._put = put

    async def send(self, envelope: Envelope) -> None:
        """See `Mailer`.

        Raises:
            StorageUnavailable: Unknown whether it is stored; repeating it is safe.
        """
        await self._put(envelope.notification_id)


class SmtpMailer:
    """Real mail, one connection each.

    Args:
        url: smtp://[user:password@]host[:port] (STARTTLS if the server offers it), or smtps:// (TLS from the start).
        sender: From address; its domain also names us to the server and makes the Message-ID.
        runtime: The clock for the Date header.
    """

    is_atomic = False

    def __init__(self, url: str, sender: str, runtime: Runtime) -> None:
        self._url = urlsplit(url)
        self._sender = sender
        self._domain = sender.partition("@")[2]
        self._runtime = runtime

    async def send(self, envelope: Envelope) -> None:
        """See `Mailer`."""
        server = self._server()
        try:
            await self._connect(server)
            await self._hand_over(server, envelope)
        finally:
            # A polite QUIT could only fail, or tell us about a mail that is already decided.
            server.close()

    def message(self, envelope: Envelope) -> EmailMessage:
        """The mail as RFC 5322 has it; the same notification always has the same Message-ID."""
        message = EmailMessage(policy=email.policy.SMTP)
        message["From"] = self._sender
        message["To"] = envelope.recipient
        message["Subject"] = envelope.mail.subject
        message["Date"] = format_datetime(self._runtime.now())
        message["Message-ID"] = f"<{envelope.notification_id.replace(':', '=3A')}@{self._domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(envelope.mail.body, cte="quoted-printable")
        return message

    def _server(self) -> aiosmtplib.SMTP:
        url = self._url
        return aiosmtplib.SMTP(
            hostname=url.hostname,
            port=url.port,
            username=unquote(url.username) if url.username else None,
            password=unquote(url.password) if url.password else None,
            use_tls=url.scheme == "smtps",
            local_hostname=self._domain,  # its default asks DNS, and blocks
            timeout=_COMMAND_TIMEOUT_S,
        )

    async def _connect(self, server: aiosmtplib.SMTP) -> None:
        try:
            await server.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            raise NotDelivered(_short(error)) from error

    async def _hand_over(self, server: aiosmtplib.SMTP, envelope: Envelope) -> None:
        try:
            await server.send_message(
                self.message(envelope), sender=self._sender, recipients=[envelope.recipient]
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            code = error.recipients[0].code
            if 500 <= code <= 599 and code != _AUTHENTICATION_REQUIRED:
                raise Undeliverable(_short(error.recipients[0])) from error
            raise NotDelivered(_short(error.recipients[0])) from error
        except (aiosmtplib.SMTPResponseException, aiosmtplib.SMTPNotSupported) as error:
            raise NotDelivered(_short(error)) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MaybeDelivered(_short(error)) from error


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
