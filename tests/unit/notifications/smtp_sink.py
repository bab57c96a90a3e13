"""A tiny SMTP server for tests: answers as it is told and keeps the mails it took."""

import asyncio
from contextlib import asynccontextmanager


class SmtpSink:
    """Replies by verb; what is not set is agreed to.

    `replies["RCPT"] = ["451 busy", "250 ok"]` plays in order, the last one repeats. "drop" closes the connection.
    """

    def __init__(self):
        self.replies: dict[str, list[str]] = {}
        self.mails: list[bytes] = []
        self.verbs: list[str] = []
        self.port = 0

    @asynccontextmanager
    async def listening(self):
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()

    def _reply(self, verb: str, default: str) -> str:
        self.verbs.append(verb)
        script = self.replies.get(verb, [default])
        return script.pop(0) if len(script) > 1 else script[0]

    async def _talk(self, reader, writer):
        try:
            await self._say(writer, self._reply("HELLO", "220 sink"))
            while line := await reader.readline():
                verb = line.split(b" ", 1)[0].strip().decode().upper()
                if not await self._say(writer, self._reply(verb, "250 ok")):
                    return
                if verb == "DATA" and self.replies.get("DATA", ["354"])[0].startswith("354"):
                    mail = await reader.readuntil(b"\r\n.\r\n")
                    reply = self._reply("END", "250 taken")
                    if reply.startswith("250") or reply == "taken then drop":
                        self.mails.append(mail)
                    if not await self._say(writer, reply):
                        return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _say(self, writer, reply: str) -> bool:
        if "drop" in reply:
            return False
        writer.write(reply.encode() + b"\r\n")
        await writer.drain()
        return True
