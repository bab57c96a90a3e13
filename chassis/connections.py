"""What a client may do with its connection: how much it may send unasked, and how long it may take for it.

uvicorn and its parser bound none of it: heads grow for ever, a body may come byte by byte, a reader need not read.
Here everything has a limit, and what exceeds it is told so by a problem and closed. What is no HTTP/1.1, or could be
read in another way by a proxy in front of us, is refused: two readers of one request is how requests are smuggled.

Time is kept by one timer per process, not by one per request: every second it looks at each connection, and only there
is it noticed since when nothing has changed. So a limit of n seconds strikes after n to n + 2; a request that comes in
one piece costs two attributes and a look into a table.

Not here: whether there is room for a request (`chassis.door`), how long its body may be (`chassis.requests`).
Sources: RFC 9112 §2.2, §3.2, §6.3, §11.2; RFC 9110 §7.8 (Upgrade may be ignored); Apache mod_reqtimeout for the rule
of time and rate; nginx's large_client_header_buffers and Apache's LimitRequestFields for the sizes.
"""

import asyncio
import http
import re
import urllib.parse
from collections import Counter
from contextvars import copy_context
from functools import lru_cache
from typing import Any, Final, NamedTuple

import httptools
import prometheus_client
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from chassis import problems
from chassis.addresses import group_of
from chassis.catalogue import language
from chassis.errors import (
    HeadersTooLarge,
    MalformedRequest,
    MethodNotAllowed,
    Overloaded,
    PayloadTooLarge,
    RequestTimeout,
    ServiceError,
    TooManyConnections,
    UriTooLong,
)
from chassis.requests import fields_of, identity, request_id, stamped
from chassis.runtime import Runtime

URI_BYTES: Final = 8 * 1024
HEAD_BYTES: Final = 32 * 1024
FIELDS: Final = 100
PIPELINED: Final = 16
"""Requests of one connection that may wait behind the one being answered."""

LEAST_BYTES_PER_S: Final = 1000
"""What a body, or a reader of an answer, must do in the long run."""

IDLE_S: Final = 30.0
"""How long a connection without a request is kept: above our own clients' 10 s, so that they close first."""

STUCK_S: Final = 30.0
"""How long a client may take nothing of an answer, and a closed connection may linger."""

LINGER_S: Final = 2.0
"""How long somebody who was turned away has to hear why: a close with bytes unread would take the answer back."""

SWEEP_S: Final = 1.0

_BETWEEN, _HEAD, _BODY = range(3)
"""What the parser waits for."""

_SINGLE: Final = frozenset(
    b"host content-type content-length authorization idempotency-key x-manage-token x-deadline-ms x-request-id".split()
)
"""Fields that say one thing, so that whoever reads the first and whoever reads the last must find the same."""

_AMBIGUOUS: Final = re.compile(
    rb"/(?:\.|%2e){1,2}(?:[/;]|$)|[\\#]|%(?![0-9a-f]{2})|%(?:2f|5c|7f|[01][0-9a-f])",
    re.IGNORECASE,
)
"""In a path: dot segments, backslashes, fragments, broken escapes, escaped slashes and control characters."""


class Bounds(NamedTuple):
    """The limits that are settings; 0 clients is no limit."""

    receive_s: float
    body_bytes: int
    connections: int
    per_client: int


class Connections:
    """The open connections of one process. One per app and event loop.

    Args:
        bounds: Their limits.
        runtime: Makes request ids.
        refused: Counts by `code` who was refused here or cut.
    """

    def __init__(
        self, bounds: Bounds, runtime: Runtime, refused: prometheus_client.Counter
    ) -> None:
        self.bounds = bounds
        self.runtime = runtime
        self.refused = refused
        # In the order of their coming; changed by `enter` and `leave` only.
        self._open: dict[Guarded, None] = {}
        # By client address; whoever has none open has no entry.
        self._of_client: Counter[str] = Counter()
        self._sweep: asyncio.TimerHandle | None = None

    def enter(self, one: "Guarded") -> ServiceError | None:
        """Count it; why it has to go at once, if it has to."""
        self._open[one] = None
        address = one.address
        self._of_client[address] += 1
        if self._sweep is None:
            self._sweep = one.loop.call_later(SWEEP_S, self._look, one.loop)
        if 0 < self.bounds.per_client < self._of_client[address]:
            return TooManyConnections()
        return Overloaded() if len(self._open) > self.bounds.connections else None

    def leave(self, one: "Guarded") -> None:
        """It is closed."""
        self._open.pop(one, None)
        self._of_client[one.address] -= 1
        if self._of_client[one.address] <= 0:
            del self._of_client[one.address]

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for one in list(self._open):
            one.look(now)
        self._sweep = loop.call_later(SWEEP_S, self._look, loop) if self._open else None


class Guarded(HttpToolsProtocol):
    """uvicorn's protocol for one connection, within limits.

    Attributes:
        address: The client's, without its port; of an IPv6 client its /64.
    """

    def __init__(self, connections: Connections, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._all = connections
        self.address = ""
        # Of what is being read: its state, and bytes in earlier pieces of its head or body. Of its last piece: bytes.
        self._reads = _BETWEEN
        self._earlier = self._piece = 0
        # Begun so far: two looks that see the same number see the same request.
        self._begun = 0
        self._is_upgrade = self._is_done_for = False
        # Whether the request that is being read was answered without an app.
        self.is_answered = False
        # Written by `look` only: what was seen, since when, and what was left to be sent then.
        self._seen: tuple[object, ...] = ()
        self._since = 0.0
        self._unsent = 0

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has come; one too many is told so."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self.address = group_of(self.client[0]) if self.client else ""
        refusal = self._all.enter(self)
        if refusal is not None:
            self._turn_away(refusal)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Somebody has left."""
        self._all.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless it is too much."""
        if self._is_done_for:
            return
        self._piece = len(data)
        if self._reads != _BETWEEN:
            self._earlier += self._piece
        try:
            self.parser.feed_data(data)
            if self._earlier > HEAD_BYTES:
                self._check_size()
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._turn_away(cause if isinstance(cause, ServiceError) else MalformedRequest())
        except ServiceError as refusal:
            self._turn_away(refusal)
        if self._reads == _BODY:
            self.on_body_due()

    # What the parser calls. What it raises reaches `data_received`.

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._reads, self._earlier = _HEAD, 0
        self._begun += 1
        self._is_upgrade = False

    def check_head(self) -> bool:
        """Judge a head that is whole; False if it is better read again without its Upgrade.

        Raises:
            UriTooLong, HeadersTooLarge, MalformedRequest, MethodNotAllowed: It is not acceptable.
        """
        size, self._reads, self._earlier = self._earlier + self._piece, _BODY, 0
        self.is_answered = False
        url, headers = self.url, self.headers
        if len(url) > URI_BYTES:
            raise UriTooLong(limit_bytes=URI_BYTES)
        if len(headers) > FIELDS or (size > HEAD_BYTES and _size_of(headers) > HEAD_BYTES):
            raise HeadersTooLarge(limit_fields=FIELDS, limit_bytes=HEAD_BYTES)
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise MethodNotAllowed
            self._is_upgrade = True
            return False
        self._check_form()
        if len(self.pipeline) >= PIPELINED:
            raise Overloaded
        return True

    def _check_form(self) -> None:
        by_name = fields_of(self.scope)  # type: ignore[arg-type]  # a TypedDict is a mapping
        if len(by_name) != len(self.headers) and _says_it_twice(self.headers):
            raise MalformedRequest
        version = self.parser.get_http_version()
        # RFC 9112 §3.2 and §6.1: there is a Host, and before 1.1 there were no chunks.
        has_form = b"host" in by_name if version == "1.1" else b"transfer-encoding" not in by_name
        if not has_form or version not in ("1.1", "1.0"):
            raise MalformedRequest
        is_clear = _is_clear(self.url) or (
            self.url == b"*" and self.parser.get_method() == b"OPTIONS"
        )
        if not is_clear:
            raise MalformedRequest

    def on_body_due(self) -> None:
        """Not the parser's: a piece ended before the body did."""

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        self._reads, self._earlier = _BETWEEN, 0
        if not self._is_upgrade and not self.is_answered:
            super().on_message_complete()

    # What ends a request.

    def on_response_complete(self) -> None:
        """As uvicorn's, without a timer of its own: `look` sees for how long nothing comes."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)

    def look(self, now: float) -> None:
        """Cut it, if what it does has taken too long. Called about once in `SWEEP_S`."""
        closing, stuck = self.transport.is_closing(), self.flow.write_paused
        seen = (self._reads, self._begun, self._is_busy, self.flow.read_paused, closing, stuck)
        if seen != self._seen:
            self._seen, self._since = seen, now
            self._unsent = self.transport.get_write_buffer_size()
            return
        waited_s = now - self._since
        if self._is_done_for and not self._is_busy:
            if waited_s > LINGER_S:
                self.transport.abort()
        elif closing or stuck:
            self._look_stuck(waited_s)
        elif self._reads == _BODY and not self.flow.read_paused:
            if waited_s > self._all.bounds.receive_s + self._earlier / LEAST_BYTES_PER_S:
                self._turn_away(RequestTimeout())
        elif not self._is_busy:
            self._look_idle(waited_s)

    def _look_stuck(self, waited_s: float) -> None:
        taken = self._unsent - self.transport.get_write_buffer_size()
        if waited_s > STUCK_S + max(0, taken) / LEAST_BYTES_PER_S:
            self._all.refused.labels("stuck").inc()
            self.transport.abort()

    def _look_idle(self, waited_s: float) -> None:
        receive_s = self._all.bounds.receive_s
        if self._reads == _HEAD and waited_s > receive_s:
            self._turn_away(RequestTimeout())
        elif self._reads == _BETWEEN and waited_s > (IDLE_S if self._begun else receive_s):
            self.transport.close()  # it asked for nothing, so it is told nothing

    @property
    def _is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _is_own(self) -> bool:
        """Whether the newest request at the app is the one whose body is being read."""
        return self._reads == _BODY and self.cycle is not None and self.cycle.scope is self.scope

    def _check_size(self) -> None:
        """Of a request that comes in pieces."""
        if self._reads == _HEAD and len(self.url) > URI_BYTES:
            raise UriTooLong(limit_bytes=URI_BYTES)
        if self._reads == _HEAD:
            raise HeadersTooLarge(limit_fields=FIELDS, limit_bytes=HEAD_BYTES)
        limit_bytes = self._all.bounds.body_bytes
        if self._reads == _BODY and self._earlier > 4 * limit_bytes:  # of which most is framing
            raise PayloadTooLarge(limit_bytes=limit_bytes)

    def _go_on(self, rest: bytes) -> None:
        """Ignore the Upgrade, which the parser cannot: a new one reads the head again without it."""
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name not in (b"upgrade", b"http2-settings", b"connection"):
                lines.append(name + b": " + value)
            elif name == b"connection" and b"close" in value.lower():
                lines.append(b"connection: close")
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"\r\n".join((*lines, b"", b"")) + rest)

    def _turn_away(self, refusal: ServiceError) -> None:
        """Say no where an answer can be the one to this request, and close."""
        if self._is_done_for or self.transport.is_closing():
            return
        self._is_done_for = True
        self._all.refused.labels(refusal.code).inc()
        cycle = self.cycle
        if self.is_answered or (self._is_own and (cycle.response_started or self.pipeline)):
            self.transport.close()  # its answer is there or begun, or cannot be given out of turn
            return
        if self._is_own:  # its app waits for a body that does not come
            cycle.disconnected = cycle.response_complete = True
            cycle.message_event.set()
        elif self._is_busy:  # an earlier one is being answered: that answer is the last
            cycle.keep_alive = False
            self.flow.pause_reading()
            return
        self.transport.write(self._said(refusal))
        if self.transport.can_write_eof():
            self.transport.write_eof()  # what still comes is read and dropped (RFC 9112 §9.6)
        else:
            self.transport.close()

    def _said(self, refusal: ServiceError) -> bytes:
        given = dict(self.scope["headers"] if self.scope else ())  # perhaps not all of them yet
        current, lang = identity(given, b"", self._all.runtime)
        context = copy_context()
        context.run(language.set, lang)
        context.run(request_id.set, current)
        path = (self.url if self.scope else b"").partition(b"?")[0]
        instance = path.decode("ascii", "replace")[:URI_BYTES] or "/"
        body = context.run(problems.encode, refusal, instance)
        fields = problems.headers(refusal) | {"content-type": problems.MEDIA_TYPE}
        pairs = [(name.encode(), value.encode()) for name, value in fields.items()]
        pairs += [*self.server_state.default_headers, (b"connection", b"close")]
        pairs.append((b"content-length", b"%d" % len(body)))
        if refusal.status in (429, 503):
            pairs.append((b"x-shed", b"1"))
        phrase = http.HTTPStatus(refusal.status).phrase.encode()
        head = [b"HTTP/1.1 %d %b" % (refusal.status, phrase)]
        head += [name + b": " + value for name, value in stamped(pairs, current, lang)]
        return b"\r\n".join((*head, b"", body))


def _size_of(headers: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)


def _says_it_twice(headers: list[tuple[bytes, bytes]]) -> bool:
    names = [name for name, _ in headers if name in _SINGLE]
    return len(set(names)) != len(names)


@lru_cache(maxsize=512)
def _is_clear(url: bytes) -> bool:
    """Whether a request target has one reading: a path without tricks, or that of an http(s) address."""
    path = url
    if not url.startswith(b"/"):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in (b"http", b"https") or not parts.netloc or b"@" in parts.netloc:
            return False
        path = parts.path
    return _AMBIGUOUS.search(path.partition(b"?")[0]) is None and b"#" not in url
