"""One HTTP/1.1 connection of the wire: a request goes out whole, its answer comes in whole, and nothing else passes.

The parser is llhttp, through httptools: strict where h11, which is under stock httpx, is lenient (docs/adr/0013).

Not here: which connection a call gets, and when one is opened (`chassis.wire`).
"""

import asyncio
import re
import select
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple, cast

import httptools
import httpx

_HEAD_BYTES: Final = 100 * 1024  # longest head of an answer, as h11's
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_ONCE: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection"})

TimeOuts = Mapping[str, float | None]
"""Seconds by `connect`, `read`, `write`, `pool`, as in `request.extensions["timeout"]`."""


class Connection(asyncio.Protocol):
    """One connection, with at most one call on it: from `send` to `rest`.

    Args:
        forget: Called when the far end has closed it, or has to be taken for closed.
        answer_bytes: Longest answer, head and framing included, before its content is decoded.

    Attributes:
        is_closed: Nothing can be sent any more.
        is_reusable: True only between the last byte of a whole answer and anything that comes after it.
        expires_s: Loop time at which it gets too old to be used again.
    """

    _transport: asyncio.Transport
    _request: httpx.Request
    _fields: list[tuple[bytes, bytes]]
    _head: list[tuple[bytes, bytes]] | None  # of the final answer, once it is there
    _body: list[bytes]
    _is_sized: bool  # whether the head says how long the body is
    _is_coded: bool  # whether the body has to be decoded
    _may_stay: bool  # whether the request lets the connection live

    def __init__(self, forget: Callable[["Connection"], None], answer_bytes: int) -> None:
        self._forget = forget
        self._answer_bytes = answer_bytes
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._probe = select.poll() if hasattr(select, "poll") else None
        self._answer: asyncio.Future[_Response] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_writing = self.is_closed = self.is_reusable = False
        self.expires_s = 0.0

    def is_fresh(self) -> bool:
        """Whether a request may go out: it has not expired, and nothing has come, not even the end.

        As httpcore does, this asks the socket, of which the loop may not have heard yet.
        """
        if self.is_closed or self.expires_s < self._loop.time():
            return False
        return self._probe is None or not self._probe.poll(0)

    def send(
        self, message: "Message", request: httpx.Request, time_outs: TimeOuts
    ) -> "asyncio.Future[_Response]":
        """Write the message; the future ends with its answer or its error."""
        self._answer = self._loop.create_future()
        self._request, self._read_s = request, time_outs.get("read")
        self._fields, self._head, self._body, self._size = [], None, [], 0
        self._may_stay, self.is_reusable = message.may_stay, False
        self._sent_s = self._heard_s = self._loop.time()
        self._transport.write(message.wire)
        if not self._is_writing:
            self._listen()
        elif (write_s := time_outs.get("write")) is not None:
            error = httpx.WriteTimeout("the request could not be written in time")
            self._timer = self._loop.call_later(write_s, fail, self._answer, error)
        return self._answer

    def rest(self) -> float:
        """The call is over; the loop's time."""
        self._answer = None
        self._stop_timer()
        return self._loop.time()

    def fail(self, error: httpx.TransportError) -> None:
        """End the call, if there is one and it has not ended."""
        if self._answer is not None:
            fail(self._answer, error)

    def close(self) -> None:
        """Close at once; what was not written yet never is."""
        self.is_closed, self.is_reusable = True, False
        self._transport.abort()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is a socket."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of no such class
        self._transport.set_write_buffer_limits(0)  # paused means: not all written
        if self._probe is not None:
            self._probe.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def pause_writing(self) -> None:
        """Something is left to be written."""
        self._is_writing = True

    def resume_writing(self) -> None:
        """Everything is written."""
        self._is_writing = False
        self._stop_timer()
        self._listen()

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        if self._answer is None or self._answer.done():
            self.close()  # nobody asked for this
            self._forget(self)
            return
        self._size += len(data)
        if self._size > self._answer_bytes:
            self.fail(httpx.RemoteProtocolError("the answer is too long"))
            return
        if self._timer is not None:
            self._heard_s = self._loop.time()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.is_reusable = False
            self.fail(httpx.RemoteProtocolError(f"not HTTP: {error}"))
        if self._head is None and self._size > _HEAD_BYTES:
            self.fail(httpx.RemoteProtocolError("the head of the answer is too long"))

    def eof_received(self) -> None:
        """The far end sends no more; the loop closes."""
        self._ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, with an error if it was not closed."""
        self._ended(exc)

    def _ended(self, exc: Exception | None) -> None:
        if self.is_closed:
            return
        self.is_closed, self.is_reusable = True, False
        self._forget(self)
        if exc is not None:
            self.fail(httpx.ReadError(str(exc)))
        elif self._answer is not None and self._head is not None and not self._is_sized:
            self._complete()
        else:
            self.fail(httpx.RemoteProtocolError("closed before the answer was whole"))

    # What the parser calls.

    def on_message_begin(self) -> None:
        """The first byte of an answer, a provisional one (1xx) included."""
        if self._answer is None or self._answer.done():
            self.is_reusable = False  # a second answer, for which nobody asked

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field of a head, or a trailer."""
        self._fields.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._status = self._parser.get_status_code()
        fields, self._fields = self._fields, []  # trailers, or the head after a 1xx, come next
        if (
            self._status < 200 or self._head is not None
        ):  # at 101, which nobody asks for, the parser stops
            return
        self._head = fields
        self._is_sized = self._is_coded = False
        for name, value in fields:
            if 14 <= len(name) <= 17:
                self._note(name.lower(), value)
        if self._request.method == "HEAD":
            self._complete()  # the parser waits for a body; the connection is not used again

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            self._is_sized = True
        elif name == b"content-encoding":
            self._is_coded = True
        elif name == b"transfer-encoding":
            if value.lower() != b"chunked" or self._is_sized:
                self.fail(httpx.RemoteProtocolError("not chunked, or not only"))
            self._is_sized = True

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self._status >= 200 and self._answer is not None and not self._answer.done():
            # Only in here does the parser know whether to go on. A request that is answered before it has been written
            # whole would leave its rest in the way of the next.
            goes_on = self._parser.should_keep_alive() and not self._is_writing
            self.is_reusable = self._may_stay and goes_on
            self._complete()

    def _complete(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(
                _Response(
                    self._status,
                    self._head,
                    self._body[0] if len(self._body) == 1 else b"".join(self._body),
                    is_coded=self._is_coded,
                    request=self._request,
                    elapsed_s=self._loop.time() - self._sent_s,
                )
            )

    # The read time-out: one timer per call, moved on when it strikes and something has come since.

    def _listen(self) -> None:
        if self._read_s is not None:
            self._heard_s = self._loop.time()
            self._timer = self._loop.call_later(self._read_s, self._check_silence, self._read_s)

    def _check_silence(self, read_s: float) -> None:
        left_s = self._heard_s + read_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._check_silence, read_s)
        else:
            self.fail(httpx.ReadTimeout(f"nothing came for {read_s} s"))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Response(httpx.Response):
    """A response whose body is here. httpx would read it once more, for a fifth of the whole call's time."""

    def __init__(
        self,
        status: int,
        fields: list[tuple[bytes, bytes]] | None,
        body: bytes,
        *,
        is_coded: bool,
        request: httpx.Request,
        elapsed_s: float,
    ) -> None:
        super().__init__(
            status,
            headers=fields,
            stream=httpx.ByteStream(body),
            request=request,
            extensions={"http_version": b"HTTP/1.1"},
        )
        if not is_coded:
            self._content = body
            self._num_bytes_downloaded = len(body)
            self.is_closed = self.is_stream_consumed = True
        self.elapsed = timedelta(seconds=elapsed_s)


def fail(future: asyncio.Future[Any], error: Exception) -> None:
    """End the future with the error, unless it has ended."""
    if not future.done():
        future.set_exception(error)
        future.exception()  # seen, even if its waiter is cancelled before it wakes


class Message(NamedTuple):
    """A request as it goes out.

    Attributes:
        wire: Every byte of it.
        may_stay: False if it asks for the connection to be closed.
    """

    wire: bytes
    may_stay: bool

    @classmethod
    def of(cls, request: httpx.Request, body: bytes) -> "Message":
        """Put it together.

        Raises:
            httpx.LocalProtocolError: It would not be one request: a forged line, or a length that is not the body's.
        """
        fields = request.headers.raw
        parts = [_method(request.method), request.url.raw_path, b" HTTP/1.1\r\n"]
        once: dict[bytes, bytes] = {}
        for name, value in fields:
            prefix, known = _name(name)
            parts += (prefix, value, b"\r\n")
            if known:
                if known in once:
                    raise httpx.LocalProtocolError(f"given twice: {known!r}")
                once[known] = value
        parts.append(b"\r\n")
        head = b"".join(parts)
        lines = len(fields) + 2
        if head.count(b"\n") != lines or head.count(b"\r") != lines or b"\0" in head:
            raise httpx.LocalProtocolError("illegal header value")
        if b"host" not in once:
            raise httpx.LocalProtocolError("no Host header")
        framed = _framed(body, once.get(b"content-length"), once.get(b"transfer-encoding"))
        return cls(head + framed, b"close" not in once.get(b"connection", b"").lower())


def _framed(body: bytes, length: bytes | None, coding: bytes | None) -> bytes:
    """The body as announced: were it of another length, the callee would take the next request for its rest."""
    if coding is None:
        if (length or b"0") != b"%d" % len(body):
            raise httpx.LocalProtocolError("the body is not as long as Content-Length says")
        return body
    if length is not None or coding.lower() != b"chunked":
        raise httpx.LocalProtocolError("a body is either chunked or has a length")
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"


@lru_cache(maxsize=64)
def _method(method: str) -> bytes:
    if not _TOKEN.fullmatch(method):
        raise httpx.LocalProtocolError("illegal method")
    return method.encode() + b" "


@lru_cache(maxsize=1024)
def _name(name: bytes) -> tuple[bytes, bytes]:
    """The name with its colon; and in lower case, if it must not stand twice."""
    if not _TOKEN.fullmatch(name.decode("latin-1")):
        raise httpx.LocalProtocolError(f"illegal header name: {name!r}")
    known = name.lower()
    return name + b": ", known if known in _ONCE else b""
