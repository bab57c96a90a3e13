"""Refuse at the door: a request that finds no room is answered as soon as its head has been parsed.

Below the framework a refusal costs a tenth: no task, no scope of middlewares, no body. Whether there is room, the
Shield says; what a refusal looks like, too: the answer is rendered once by the middleware and the Shield themselves,
and only its request id and its path are filled in. The body of who is refused is read and dropped; the connection
stays.

Whoever is let in still passes the Shield, which alone takes slots. Until they get there (in the next turn of the event
loop) they are counted here, or a crowd that comes in one turn would find the same free slot.

Not here: what a request may look like and how long it may take to arrive (`chassis.connections`, from which the
protocol inherits); clients that come too often and deadlines, which need the Shield; anything that uvicorn alone can do
well: a request behind another one on its connection, one whose client does not read.
"""

import asyncio
import http
import json
import urllib.parse
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, Final, NamedTuple

import httptools
from prometheus_client import Histogram
from starlette.types import Message, Receive, Scope, Send

from chassis.catalogue import Language
from chassis.connections import Bounds, Connections, Guarded
from chassis.mutual import CERTIFIED, names_of
from chassis.requests import RequestContextMiddleware, fields_of, identity
from chassis.runtime import Runtime
from chassis.telemetry import Metrics
from resilience import Refusal, Shield
from resilience.admission import PASSED

_PATH, _ID = "/here-goes-the-path", "here-goes-the-id"
_VARYING: Final = (b"x-request-id", b"content-length")


class Door:
    """What the connections of one app share. One per app and event loop.

    Attributes:
        shield: Who says whether there is room; None until the app has started.
        connections: Those that are open.
    """

    def __init__(self, runtime: Runtime, metrics: Metrics, bounds: Bounds) -> None:
        self.shield: Shield | None = None
        self.connections = Connections(bounds, runtime, metrics.refused)
        self._runtime = runtime
        self._metrics = metrics
        # Let through, but not at the Shield yet.
        self._coming = 0
        # By what a rendered refusal depends on, besides id and path.
        self._templates: dict[tuple[Refusal, Language], _Template] = {}
        # By method and status, as in the registry.
        self._timed: dict[tuple[str, int], Histogram] = {}

    def look(self, scope: Scope) -> tuple[bytes, bytes] | bool:
        """Head (without its end) and body of a refusal, or whether a request that is let in must be followed.

        Args:
            scope: Of the connection: type, method, path, query and headers.

        Returns:
            True counts the request as coming: `arrived` must be called as soon as it is at the Shield.
        """
        refusal = False if self.shield is None else self.shield.look(scope, self._coming)
        if self.shield is None or isinstance(refusal, bool):
            self._coming += refusal is True
            return refusal is True
        began_s = self._runtime.mono()
        self.shield.count(refusal)
        current, lang = identity(fields_of(scope), scope["query_string"], self._runtime)
        template = self._templates.get((refusal, lang))
        if template is None:
            template = self._templates[refusal, lang] = _rendered(
                self.shield, refusal, lang, self._runtime
            )
        answer = template.fill(current, scope["path"])
        # No router has seen it: as for the Shield's refusals, its route is "other".
        key = (scope["method"], template.status)
        timed = self._timed.get(key)
        if timed is None:
            timed = self._timed[key] = self._metrics.requests.labels(key[0], "other", key[1])
        timed.observe(self._runtime.mono() - began_s)
        return answer

    def arrived(self, scope: Scope) -> None:
        """One that was coming has reached the Shield, or waits for its body and comes anew when it is here."""
        self._coming -= 1
        scope.pop(PASSED, None)

    def protocol(self) -> Callable[..., Guarded]:
        """What uvicorn takes as `http`."""

        def build(*args: Any, **options: Any) -> Guarded:
            return DoorProtocol(self, *args, **options)

        return build


class DoorProtocol(Guarded):
    """The guarded protocol, with somebody at the door."""

    def __init__(self, door: Door, *args: Any, **options: Any) -> None:
        super().__init__(door.connections, *args, **options)
        self._door = door
        self._keeps_alive = True
        # Of a request that is counted as coming and whose end has not been read.
        self._coming: Scope | None = None
        # Names in the caller's certificate; None on a plain connection.
        self._names: frozenset[str] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody is here."""
        super().connection_made(transport)
        certificate = transport.get_extra_info("peercert")
        if certificate is not None:
            self._names = names_of(certificate)

    def on_headers_complete(self) -> None:
        """Refuse, or let uvicorn go on."""
        if self._names is not None:
            self.scope[CERTIFIED] = self._names  # type: ignore[typeddict-unknown-key]
        if self.check_head():
            self._look()
            self.headers = []  # what comes now are trailers, which nobody reads

    def _look(self) -> None:
        is_alone = self.cycle is None or self.cycle.response_complete
        if not is_alone or self.flow.write_paused:
            super().on_headers_complete()
            return
        scope = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope["path"] = self.root_path + (urllib.parse.unquote(path) if "%" in path else path)
        scope["query_string"] = url.query or b""
        answer = self._door.look(scope)  # type: ignore[arg-type]  # a TypedDict is a mapping
        if isinstance(answer, bool):
            super().on_headers_complete()
            if answer:
                self._coming = scope  # type: ignore[assignment]
            return
        self.is_answered = True
        self._answer(*answer)

    def on_body(self, body: bytes) -> None:
        """Drop it, or let uvicorn go on."""
        if not self.is_answered:
            super().on_body(body)

    def on_body_due(self) -> None:
        """It will be long: until then it is not coming, or a crowd that sends no bodies would close the door."""
        if self._coming is not None:
            self._door.arrived(self._coming)
            self._coming = None

    def on_message_complete(self) -> None:
        """The end of a refused request, or let uvicorn go on."""
        super().on_message_complete()
        if self._coming is not None:
            # Its task was made just now, and gets to the Shield before this is called.
            self.loop.call_soon(self._door.arrived, self._coming)
            self._coming = None
        if self.is_answered:
            if not self._keeps_alive:
                self.transport.close()
            self.on_response_complete()

    def _answer(self, head: bytes, body: bytes) -> None:
        parser, parts = self.parser, [head]
        for name, value in self.server_state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        # Who waits for `100 Continue` need not send the body now: what comes next would be anybody's guess.
        waits = self.expect_100_continue
        is_modern = parser.get_http_version() != "1.0"
        self._keeps_alive = is_modern and not waits and parser.should_keep_alive()
        parts.append(b"\r\n" if self._keeps_alive else b"connection: close\r\n\r\n")
        if self.scope["method"] != "HEAD":
            parts.append(body)
        self.transport.write(b"".join(parts))
        if waits:
            self.transport.close()


class _Template(NamedTuple):
    """A rendered refusal, cut where the path and the id go."""

    status: int
    head: bytes
    body: tuple[bytes, bytes, bytes]

    def fill(self, current: str, path: str) -> tuple[bytes, bytes]:
        """Head and body for this request id and path."""
        before, between, after = self.body
        ident = current.encode()
        instance = json.dumps(path, ensure_ascii=False).encode("utf-8", "surrogatepass")
        body = b"".join((before, instance, between, ident, after))
        varying = b"x-request-id: %b\r\ncontent-length: %d\r\n" % (ident, len(body))
        return self.head + varying, body


def _rendered(shield: Shield, refusal: Refusal, lang: Language, runtime: Runtime) -> _Template:
    """What the outermost middleware and the Shield make of a refusal."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def refuse(scope: Scope, _receive: Receive, send: Send) -> None:
        status, headers, body = shield.answer(refusal, scope)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def receive() -> Message:
        raise NotImplementedError  # a refusal reads nothing

    headers = [(b"x-request-id", _ID.encode()), (b"accept-language", lang.encode())]
    scope = {
        "type": "http",
        "method": "POST",
        "path": _PATH,
        "query_string": b"",
        "headers": headers,
    }
    stamped = RequestContextMiddleware(refuse, runtime=runtime)
    copy_context().run(_run, stamped(scope, receive, send))
    start, end = sent
    status = start["status"]
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, http.HTTPStatus(status).phrase.encode())]
    lines += (b"%b: %b\r\n" % pair for pair in start["headers"] if pair[0] not in _VARYING)
    before, rest = end["body"].split(json.dumps(_PATH).encode())
    between, after = rest.split(_ID.encode())
    return _Template(status, b"".join(lines), (before, between, after))


def _run(refusing: Coroutine[Any, Any, None]) -> None:
    try:
        refusing.send(None)
    except StopIteration:
        return
    raise RuntimeError("a refusal waits for nothing")
