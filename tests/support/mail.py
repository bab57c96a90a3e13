"""A real SMTP server (aiosmtpd) on the running loop, which answers as a test tells it."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import NamedTuple

from aiosmtpd.smtp import SMTP


class Received(NamedTuple):
    """A mail that the server has taken."""

    recipients: list[str]
    message: EmailMessage


class MailServer:
    """Takes mail for everybody, unless told otherwise.

    Attributes:
        mails: What was taken, oldest first.
        on_recipient: Reply to RCPT TO by address; None takes it.
        on_taken: Awaited when a mail is taken and before "250" is said.
    """

    def __init__(self) -> None:
        self.mails: list[Received] = []
        self.on_recipient: Callable[[str], str | None] = lambda _address: None
        self.on_taken: Callable[[Received], Awaitable[None]] | None = None
        self.port = 0
        self._sessions: list[SMTP] = []
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """For SMTP_URL."""
        return f"smtp://127.0.0.1:{self.port}"

    def ids(self) -> list[str]:
        """The Message-ID of every mail taken."""
        return [str(mail.message["Message-ID"]) for mail in self.mails]

    def about(self, reservation_id: str) -> list[Received]:
        """The mails about one reservation."""
        pattern = re.compile(rf"<{re.escape(reservation_id)}\.")
        return [mail for mail in self.mails if pattern.match(str(mail.message["Message-ID"]))]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["MailServer"]:
        """Serve for the length of the block."""
        await self.start()
        try:
            yield self
        finally:
            await self.stop()

    async def start(self) -> None:
        """Listen; after a stop, on the same port as before."""
        loop = asyncio.get_running_loop()

        def session() -> SMTP:
            self._sessions.append(SMTP(self, hostname="mail.test", ident="test", loop=loop))
            return self._sessions[-1]

        self._listener = await loop.create_server(session, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections and cut those that are open; harmless when nothing listens."""
        if self._listener is None:
            return
        self._listener.close()
        for one in self._sessions:
            if one.transport is not None:
                one.transport.close()
        self._sessions.clear()
        await self._listener.wait_closed()
        self._listener = None

    # aiosmtpd calls these by name.

    async def handle_RCPT(self, _server, _session, envelope, address, _options) -> str:  # noqa: N802
        reply = self.on_recipient(address)
        if reply is not None:
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope) -> str:  # noqa: N802
        mail = Received(
            list(envelope.rcpt_tos), message_from_bytes(envelope.content, policy=default)
        )
        self.mails.append(mail)
        if self.on_taken is not None:
            await self.on_taken(mail)
        return "250 taken"
