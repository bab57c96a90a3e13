"""Traces: one reservation is one trace over all services, by OpenTelemetry and W3C Trace Context. Off by default.

What is recorded, and only below a request that is sampled: a server span per request, a client span per *attempt* of a
call, a span per transaction of a store, and what the services name themselves (a step of the saga). What our policies
do in between (a retry, a breaker that lets nothing out) are events of the span they happen in.

`Tracing` itself is the null object: no span, no wrapper, nothing of the SDK imported. The one that records is made by
`configured`, from `TRACING` and the standard `OTEL_*` variables.

A reservation's id travels to every callee as W3C Baggage, so that spans and log lines everywhere carry it. Never here:
a user, an e-mail address, a token, a query string, the text of an error.

Not here: who asks for spans (`chassis.app`, `clients`, `sqlite`, `reservations`). Why by hand, and how work in the
background belongs to a trace: docs/adr/0016. Source of names: OpenTelemetry semantic conventions 1.44, HTTP, database.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Final, TypeVar, cast

import httpx
from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resilience import Event

reservation_id: ContextVar[str | None] = ContextVar("reservation_id", default=None)
"""The reservation that the running work is about, where that is known; log lines carry it, and spans."""

trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)
"""The trace of the running work, 32 hex characters; log lines carry it."""

Note = Callable[[str, str | int], None]
"""Puts an attribute on a span: name, value."""

RunT = TypeVar("RunT", bound=Callable[..., Awaitable[Any]])

_W3C: Final = TraceContextTextMapPropagator()
_CARRIED: Final = (b"traceparent", b"tracestate")
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BAGGAGE: Final = re.compile(rb"(?:^|,)\s*reservation\.id=([A-Za-z0-9_-]{1,64})\s*(?:[,;]|$)")
_NOTHING: Final[AbstractContextManager[Note]] = nullcontext(lambda _name, _value: None)


class Tracing:
    """Tracing that is off; `configured` makes the other one. One per app."""

    is_on = False
    listeners: tuple[Callable[[Event], None], ...] = ()
    """To be given to every policy: tells its events to the span they happen in."""

    def middleware(self, exempt: Callable[[Scope], bool], *, is_public: bool) -> list[Middleware]:
        """What makes the server spans.

        Args:
            exempt: Requests that get none.
            is_public: Strangers call: what they say their request is about is not believed.
        """
        del exempt, is_public
        return []

    def transport(self, inner: httpx.AsyncBaseTransport, callee: str) -> httpx.AsyncBaseTransport:
        """`inner` with a client span around each request it sends: below a policy, that is each attempt."""
        del callee
        return inner

    def store(self, run: RunT, database: str) -> RunT:
        """`run` with a span around each transaction."""
        del database
        return run

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[Note]:
        """A span around a block, if there is one around it already; yields what adds attributes.

        Args:
            name: Its name; of a few, never with an id in it.
            attributes: By name, `_` for `.`.
        """
        del name, attributes
        return _NOTHING

    def continued(self, name: str, traces: Mapping[str, str]) -> AbstractContextManager[Note]:
        """A span around work that goes on after its cause, by reservation id: what `carrier` said at the time.

        The block runs in the trace of the first. In each further one there is a span of the same time that links to it.
        """
        del name, traces
        return _NOTHING

    def carrier(self) -> str | None:
        """`traceparent` of the running span, to be stored with work that is left for later; None if not recorded."""
        return None

    def close(self) -> None:
        """Send what is left, for at most 2 s."""


OFF: Final = Tracing()


def about(reservation: str) -> None:
    """Say which reservation the running work is about; what does not look like an id is not believed."""
    if _ID.fullmatch(reservation):
        reservation_id.set(reservation)


class _Recording(Tracing):
    """Spans go to an OpenTelemetry tracer.

    Args:
        tracer: Makes them.
        close: Called once, at the end.
    """

    is_on = True

    def __init__(self, tracer: Tracer, close: Callable[[], None]) -> None:
        self._tracer = tracer
        self._close = close
        self.listeners = (_tell,)

    def middleware(self, exempt: Callable[[Scope], bool], *, is_public: bool) -> list[Middleware]:
        return [Middleware(_ServerSpans, tracer=self._tracer, exempt=exempt, is_public=is_public)]

    def transport(self, inner: httpx.AsyncBaseTransport, callee: str) -> httpx.AsyncBaseTransport:
        return _ClientSpans(inner, callee, self._tracer)

    def store(self, run: RunT, database: str) -> RunT:
        async def traced(transaction: Callable[..., Any]) -> Any:
            if not trace.get_current_span().is_recording():
                return await run(transaction)
            operation = _operation(transaction)
            attributes: dict[str, str | int] = {
                "db.system.name": "sqlite",
                "db.namespace": database,
                "db.operation.name": operation,
            }
            with self._running(f"{operation} {database}", SpanKind.CLIENT, attributes):
                return await run(transaction)

        return cast("RunT", traced)

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[Note]:
        if not trace.get_current_span().is_recording():
            return _NOTHING
        named = {key.replace("_", "."): value for key, value in attributes.items()}
        return self._running(name, SpanKind.INTERNAL, named)

    @contextmanager
    def continued(self, name: str, traces: Mapping[str, str]) -> Iterator[Note]:
        if not traces:
            yield lambda _name, _value: None
            return
        (about, carried), *others = traces.items()
        outer = attach(_caused_by(carried))
        about_before = reservation_id.set(about)
        trace_before = trace_id.set(_hex(trace.get_current_span().get_span_context().trace_id))
        joined: list[Span] = []
        try:
            with self._running(name, SpanKind.INTERNAL, {}) as note:
                links = [Link(trace.get_current_span().get_span_context())]
                joined += (
                    self._tracer.start_span(
                        name,
                        _caused_by(parent),
                        SpanKind.INTERNAL,
                        {"reservation.id": other},
                        links,
                    )
                    for other, parent in others
                )
                yield note
        finally:
            for span in joined:
                span.end()
            reservation_id.reset(about_before)
            trace_id.reset(trace_before)
            detach(outer)

    def carrier(self) -> str | None:
        span = trace.get_current_span()
        if not span.is_recording():
            return None
        carried: dict[str, str] = {}
        _W3C.inject(carried)
        return carried["traceparent"]

    def close(self) -> None:
        self._close()

    @contextmanager
    def _running(
        self, name: str, kind: SpanKind, attributes: dict[str, str | int]
    ) -> Iterator[Note]:
        span = self._tracer.start_span(name, kind=kind, attributes=_about(attributes))
        token = attach(trace.set_span_in_context(span))
        try:
            yield span.set_attribute
        except BaseException as error:
            _failed(span, type(error).__qualname__)
            raise
        finally:
            detach(token)
            span.end()


class _ServerSpans:
    """A server span around each request, below the caller's if it named one.

    Inside of what gives the request its id, outside of everything that may refuse it.
    """

    def __init__(
        self, app: ASGIApp, *, tracer: Tracer, exempt: Callable[[Scope], bool], is_public: bool
    ) -> None:
        self.app = app
        self._tracer = tracer
        self._exempt = exempt
        self._is_public = is_public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._exempt(scope):
            await self.app(scope, receive, send)
            return
        parent = self._cause(scope)
        method = scope["method"]
        attributes = {
            "http.request.method": method,
            "url.path": scope["path"],
            "url.scheme": scope["scheme"],
        }
        span = self._tracer.start_span(method, parent, SpanKind.SERVER, _about(attributes))
        trace_id.set(_hex(span.get_span_context().trace_id))
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        token = attach(trace.set_span_in_context(span, parent))
        try:
            await self.app(scope, receive, watch)
        finally:
            detach(token)
            if span.is_recording():
                route = getattr(scope.get("route"), "path", None)
                if route is not None:
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)
                if about := reservation_id.get():
                    span.set_attribute("reservation.id", about)
                span.set_attribute("http.response.status_code", status)
                if status >= 500:
                    _failed(span, str(status))
            span.end()

    def _cause(self, scope: Scope) -> Context:
        carried: dict[str, str] = {}
        for name, value in scope["headers"]:
            if name in _CARRIED:
                carried[name.decode()] = value.decode("latin-1")
            elif name == b"baggage" and not self._is_public and (found := _BAGGAGE.search(value)):
                reservation_id.set(found[1].decode())
        return _W3C.extract(carried, Context()) if carried else Context()


class _ClientSpans(httpx.AsyncBaseTransport):
    """A client span around each request that is sent, and its context in the request's headers."""

    def __init__(self, inner: httpx.AsyncBaseTransport, callee: str, tracer: Tracer) -> None:
        self._inner = inner
        self._callee = callee
        self._tracer = tracer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not trace.get_current_span().is_recording():
            _W3C.inject(request.headers)  # not sampled: the callee shall not decide again
            return await self._inner.handle_async_request(request)
        span = self._tracer.start_span(
            request.method, kind=SpanKind.CLIENT, attributes=self._attributes(request)
        )
        _W3C.inject(request.headers, trace.set_span_in_context(span))
        if about := reservation_id.get():
            request.headers["baggage"] = f"reservation.id={about}"
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException as error:
            _failed(span, type(error).__qualname__)  # CancelledError: a time-out, or nobody waits
            raise
        else:
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= 400:
                _failed(span, str(response.status_code))
            return response
        finally:
            span.end()

    async def aclose(self) -> None:
        await self._inner.aclose()

    def _attributes(self, request: httpx.Request) -> dict[str, str | int]:
        url = request.url
        # The same request is sent again by a retry; with several addresses each gets a copy.
        sends = request.extensions["sends"] = request.extensions.get("sends", 0) + 1
        attributes: dict[str, str | int] = {
            "http.request.method": request.method,
            "server.address": url.host,
            "server.port": url.port or 80,
            "url.full": f"{url.scheme}://{url.netloc.decode()}{url.path}",
            "peer.service": self._callee,
        }
        if sends > 1:
            attributes["http.request.resend_count"] = sends - 1
        return _about(attributes)


def configured(service: str) -> Tracing:
    """Tracing that sends spans to an OTLP collector over HTTP.

    Address, headers, sampling, limits and batches are the standard `OTEL_*` variables'. Starts a thread.

    Raises:
        ImportError: The extra `otel` is not installed.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    resource = Resource.create({"service.name": service, "service.namespace": "taquilla"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    batches = BatchSpanProcessor(OTLPSpanExporter())
    provider.add_span_processor(batches)

    def close() -> None:
        # The public way waits for a collector that is away for up to 30 s, and we are stopping.
        batches._batch_processor.shutdown(2_000)  # noqa: SLF001
        provider.shutdown()

    return recording(provider.get_tracer("taquilla"), close)


def recording(tracer: Tracer, close: Callable[[], None] = lambda: None) -> Tracing:
    """Tracing by any OpenTelemetry tracer."""
    return _Recording(tracer, close)


def _tell(event: Event) -> None:
    """Listener of policies: what they do becomes an event of the running span."""
    span = trace.get_current_span()
    if not span.is_recording() or event.detail.get("outcome") == "ok":
        return
    facts = {
        f"resilience.{name}": value if isinstance(value, bool | int | float) else str(value)
        for name, value in event.detail.items()  # an error is told by its class, without its text
    }
    span.add_event(event.kind, {"resilience.name": event.name, **facts})


def _caused_by(carried: str) -> Context:
    return _W3C.extract({"traceparent": carried}, Context())


def _about(attributes: dict[str, str | int]) -> dict[str, str | int]:
    if about := reservation_id.get():
        attributes["reservation.id"] = about
    return attributes


def _failed(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)


def _operation(transaction: Callable[..., Any]) -> str:
    """The name of the store's method: that in which the function was written, or else its own."""
    return transaction.__qualname__.partition(".<locals>")[0].rpartition(".")[2].lstrip("_")


def _hex(number: int) -> str:
    return f"{number:032x}"
