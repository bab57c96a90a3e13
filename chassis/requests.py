"""What belongs to one request: its id, its language, its size. The outermost and innermost middleware.

Sources: RFC 9110 §12.5.4 (Accept-Language), §8.6 (Content-Length).
"""

import re
from contextvars import ContextVar
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.catalogue import language, negotiate
from chassis.errors import PayloadTooLarge
from chassis.runtime import Runtime

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""The id of the request being answered; travels to every callee as `X-Request-ID`."""

CONTENT_POLICY: Final = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'"
"""What a page of ours may load: nothing from anywhere else, and no inline script."""

_USABLE_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestContextMiddleware:
    """Give every request an id and a language, echo both, and bind the id to the log."""

    def __init__(self, app: ASGIApp, *, runtime: Runtime) -> None:
        self.app = app
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set the context, then run the app."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        incoming = Headers(scope=scope)
        given = incoming.get("x-request-id", "")
        current = given if _USABLE_ID.fullmatch(given) else self._runtime.new_id()
        lang = negotiate(incoming.get("accept-language"))
        request_id.set(current)
        language.set(lang)
        structlog.contextvars.bind_contextvars(request_id=current)

        async def stamp(message: Message) -> None:
            if message["type"] == "http.response.start":
                outgoing = MutableHeaders(scope=message)
                outgoing["x-request-id"] = current
                outgoing["content-language"] = lang
                outgoing.add_vary_header("Accept-Language")
                outgoing["x-content-type-options"] = "nosniff"
                if outgoing.get("content-type", "").startswith("text/html"):
                    outgoing["content-security-policy"] = CONTENT_POLICY
                    outgoing["referrer-policy"] = "no-referrer"
            await send(message)

        await self.app(scope, receive, stamp)


class BodyLimitMiddleware:
    """Read the request body whole, or refuse it with 413 as soon as it proves too large.

    The app then reads from memory, so a request whose caller has left still runs to its end.
    """

    def __init__(self, app: ASGIApp, *, limit_bytes: int) -> None:
        self.app = app
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Buffer, then run the app.

        Raises:
            PayloadTooLarge: More than the limit was announced or received.
        """
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdigit() and int(announced) > self._limit_bytes:
            raise PayloadTooLarge(limit_bytes=self._limit_bytes)
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return  # the caller left before the request was complete: nothing was asked
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._limit_bytes:
                raise PayloadTooLarge(limit_bytes=self._limit_bytes)
        delivered = False

        async def replay() -> Message:
            nonlocal delivered
            if delivered:
                return await receive()
            delivered = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self.app(scope, replay, send)
