"""What belongs to one request: its id, its language, its size. The outermost and innermost middleware.

Sources: RFC 9110 §12.5.4 (Accept-Language), §8.6 (Content-Length).
"""

import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.catalogue import Language, language
from chassis.errors import PayloadTooLarge
from chassis.languages import asked_for
from chassis.runtime import Runtime

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""The id of the request being answered; travels to every callee as `X-Request-ID`."""

CONTENT_POLICY: Final = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
)
"""What a page of ours may load: nothing from anywhere else, and no inline script; nobody may frame it."""

_OF_PAGES: Final = (
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_OF_SECURE_PAGES: Final = (*_OF_PAGES, (b"strict-transport-security", b"max-age=31536000"))
"""A proxy that ends TLS in front of us adds the last one itself."""

_VARY: Final = b"Accept-Language"
_STAMPED: Final = frozenset(
    {b"x-request-id", b"content-language", b"vary", b"x-content-type-options"}
)

_USABLE_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")


FIELDS: Final = "taquilla.fields"
"""Where in the scope the header fields stand by name, once somebody has looked."""


def fields_of(scope: Scope) -> Mapping[bytes, bytes]:
    """The header fields by name, of each the last; made once per request."""
    found: dict[bytes, bytes] | None = scope.get(FIELDS)
    if found is None:
        found = scope[FIELDS] = dict(scope["headers"])
    return found


def identity(
    headers: Mapping[bytes, bytes], query: bytes, runtime: Runtime
) -> tuple[str, Language]:
    """The id of a request, its own if that is usable, and the language of its answer."""
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    current = given if _USABLE_ID.fullmatch(given) else runtime.new_id()
    return current, asked_for(query, headers.get(b"accept-language", b"").decode("latin-1"))


class RequestContextMiddleware:
    """Give every request an id and a language, and echo both."""

    def __init__(self, app: ASGIApp, *, runtime: Runtime) -> None:
        self.app = app
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set the context, then run the app."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        current, lang = identity(fields_of(scope), scope["query_string"], self._runtime)
        request_id.set(current)
        language.set(lang)

        async def stamp(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = stamped(
                    message["headers"], current, lang, secure=scope.get("scheme") == "https"
                )
            await send(message)

        await self.app(scope, receive, stamp)


def stamped(
    headers: Iterable[tuple[bytes, bytes]], current: str, lang: str, *, secure: bool = False
) -> list[tuple[bytes, bytes]]:
    """An answer's headers, and ours.

    Args:
        headers: The answer's.
        current: Its request id.
        lang: Its language.
        secure: Whether it goes out over TLS.
    """
    vary, is_page = _VARY, False
    kept = []
    for name, value in headers:
        if name == b"vary" and value != _VARY:
            vary = value + b", " + _VARY
        elif name not in _STAMPED:
            kept.append((name, value))
            is_page = is_page or (name == b"content-type" and value.startswith(b"text/html"))
    kept += (
        (b"x-request-id", current.encode()),
        (b"content-language", lang.encode()),
        (b"vary", vary),
        (b"x-content-type-options", b"nosniff"),
    )
    if is_page:
        kept += _OF_SECURE_PAGES if secure else _OF_PAGES
    return kept


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
        announced = fields_of(scope).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._limit_bytes:
            raise PayloadTooLarge(limit_bytes=self._limit_bytes)
        body = await self._read(receive)
        if body is None:
            return  # the caller left before the request was complete: nothing was asked
        whole = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes | None:
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._limit_bytes:
                raise PayloadTooLarge(limit_bytes=self._limit_bytes)
            more = message.get("more_body", False)
        return b"".join(parts)
