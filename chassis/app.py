"""The app factory: what a service is made of, and in which order a request passes through it.

A composition root (`<service>/app.py`) makes a `Chassis`, builds its own parts in a lifespan, and hands both here.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from prometheus_client import Histogram
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chaos.faults import FaultMiddleware, Faults, control_routes
from chassis import problems
from chassis.catalogue import language
from chassis.clients import Upstream
from chassis.connections import Bounds
from chassis.credentials import credentials_of
from chassis.docs import docs_routes
from chassis.door import Door
from chassis.errors import DeadlineGone, Overloaded, RateLimited, ServiceError
from chassis.fastpath import FastPathMiddleware
from chassis.health import Health, health_routes
from chassis.identity import (
    DIAGNOSTICS,
    LAB,
    PUBLIC,
    Callers,
    Guard,
    GuardMiddleware,
    declared,
    operations,
    with_security,
)
from chassis.mutual import Certificates
from chassis.openapi import AT_THE_DOOR, add_refusals, refusals
from chassis.problems import ProblemMiddleware, problem_routes
from chassis.requests import BodyLimitMiddleware, RequestContextMiddleware, request_id
from chassis.runtime import Runtime
from chassis.settings import ServiceSettings
from chassis.telemetry import Metrics
from resilience import Event, Limit, Queue, RateLimit, Refusal, Shield

EXEMPT: Final = ("/healthz", "/readyz", "/metrics", "/chaos", "/docs", "/openapi.json", "/problems")
"""Paths that neither the in-flight limit nor a deadline concerns."""

_NO_ROUTES: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True)
class Admission:
    """Who a service lets in, before any work.

    Attributes:
        limit: How many requests may be in flight.
        guards: Which requests are counted; all but the exempt ones by default.
        queue: Where they wait for a moment; None refuses at once.
        priority: Their class, 0 to 9; needs a queue.
        rate: How often each client may come.
        client: Who the client of a request is; by default its address.
        full: The refusal when there is no room.
    """

    limit: Limit
    guards: Callable[[Scope], bool] | None = None
    queue: Queue | None = None
    priority: Callable[[Scope], float] | None = None
    rate: RateLimit | None = None
    client: Callable[[Scope], str] | None = None
    full: type[ServiceError] = Overloaded


def preferring(*paths: str) -> Callable[[Scope], float]:
    """A priority that puts requests for `paths` above all others: what ends work before what begins it."""

    def priority(scope: Scope) -> float:
        return 8.0 if scope["path"] in paths else 5.0

    return priority


class Chassis:
    """The shared parts of one app. Made by `create_app`; lives as long as the app.

    Args:
        name: The service's name, as in compose.yaml.
        settings: Its settings.
        runtime: Its effects.
        slow_route: Path prefix by fault name where a switch names none.
        points: Places where the service tells `faults.reach` how far it is.
        is_public: Strangers call it: of what their requests claim to be about, nothing is believed.
    """

    def __init__(
        self,
        name: str,
        settings: ServiceSettings,
        runtime: Runtime,
        *,
        slow_route: Mapping[str, str] = _NO_ROUTES,
        points: Sequence[str] = (),
        is_public: bool = False,
    ) -> None:
        self.name = name
        self.is_public = is_public
        self.settings = settings
        self.runtime = runtime
        self.credentials = credentials_of(name, settings, runtime)
        self.metrics = Metrics()
        self.door = Door(
            runtime,
            self.metrics,
            Bounds(
                receive_s=settings.receive_timeout_s,
                body_bytes=settings.max_body_bytes,
                connections=settings.max_connections,
                per_client=settings.max_client_connections,
            ),
        )
        self.health = Health(self.metrics, self.refresh)
        self.faults = Faults(
            runtime.resilience, name, slow_route, points=points, exit_process=runtime.exit_process
        )
        # Appended by `upstream` while the app starts.
        self._upstreams: list[Upstream] = []
        self.health.values["edges"] = self._edges
        # Callee to what goes there; a service adds those that it calls in another way than by `upstream`.
        self.traffic: dict[str, Callable[[], dict[str, Any] | None]] = {}
        self.health.values["traffic"] = self._traffic

    def upstream(self, name: str, base_url: str, *listeners: Callable[[Event], None]) -> Upstream:
        """An upstream whose edges show in `/readyz?verbose=1` and `/metrics`; `listeners` hear its policies, too."""
        if self.settings.tls_dir is not None and name != self.name:
            base_url = base_url.replace("http://", "https://")
        found = Upstream(
            name, base_url, self.runtime, self.metrics, listeners, credentials=self.credentials
        )
        self._upstreams.append(found)
        self.traffic[name] = found.traffic
        return found

    def refresh(self) -> None:
        """Bring gauges that mirror live state up to date."""
        for state in self.faults.states():
            self.metrics.faults.labels(state.fault.name).set(state.active is not None)
        for edge, hosts in self._edges().items():
            for host, policy in hosts.items():
                self.metrics.show_policy(edge, host, policy)

    def _edges(self) -> dict[str, dict[str, Any]]:
        return {edge.name: edge.snapshot() for one in self._upstreams for edge in one.edges}

    def _traffic(self) -> dict[str, dict[str, Any]]:
        pictures = {name: picture() for name, picture in sorted(self.traffic.items())}
        return {name: picture for name, picture in pictures.items() if picture is not None}


def build_app(  # noqa: PLR0913 - keyword-only options
    chassis: Chassis,
    *,
    summary: str,
    service: Callable[[], AbstractAsyncContextManager[object]],
    routers: Sequence[APIRouter],
    callers: Callers | None = None,
    admission: Admission | None = None,
    exempt: tuple[str, ...] = (),
    specs: Mapping[str, str] | None = None,
) -> FastAPI:
    """A FastAPI app whose `request.state.svc` is what `service()` yields.

    Tables of routes are made once per process and shared by its apps: what belongs to one app, a route finds in
    `request.state` and `request.app.state`.

    Args:
        chassis: The shared parts.
        summary: One line for the docs page.
        service: The lifespan: builds stores, clients and loops, yields the object that routes use.
        routers: The service's own routes.
        callers: Who may call each of them; whoever has a valid token by default.
        admission: Who is let in; by default `settings.max_inflight` at once and a short queue.
        exempt: Further path prefixes that neither limit nor deadline concerns.
        specs: Name to address of every spec on the docs page; the own one by default.
    """
    settings = chassis.settings
    tables = [problem_routes(), *routers, health_routes(), docs_routes()]
    if settings.chaos_enabled:
        tables.append(control_routes())
    who = _who(callers, tables, routers)
    guard = Guard(who, chassis.credentials, settings, is_public=chassis.is_public)
    # Not `include_router`, which makes every route anew.
    routes = [route for table in tables for route in table.routes]
    app = _App(
        title=f"Taquilla · {chassis.name}",
        summary=summary,
        version="1",
        lifespan=_lifespan(chassis, service),
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        exception_handlers=dict(problems.HANDLERS),
        redirect_slashes=False,  # a redirect would repeat whatever `Host` says
        routes=routes,
        middleware=[
            *_middleware(
                chassis,
                guard,
                admission or Admission(Limit(fixed=settings.max_inflight), queue=Queue()),
                EXEMPT + exempt,
            ),
            Middleware(FastPathMiddleware, routes=routes),
        ],
    )
    app.state.health = chassis.health
    app.state.door = chassis.door
    app.state.specs = specs or {chassis.name: "/openapi.json"}
    app.state.faults, app.state.callers, app.state.guard = chassis.faults, who, guard
    app.state.asked = lambda: (request_id.get(), language.get())
    # A door that is anybody's is plain: browsers have no certificates, and a proxy before it speaks TLS.
    folder = None if chassis.is_public else settings.tls_dir
    app.state.certificates = None if folder is None else Certificates(folder, chassis.name)
    return app


def _lifespan(chassis: Chassis, service: Callable[[], AbstractAsyncContextManager[object]]) -> Any:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> Any:
        try:
            async with service() as svc:
                yield {"svc": svc}
        finally:
            chassis.runtime.tracing.close()

    return lifespan


class _App(FastAPI):
    """FastAPI whose document says what the guard does, and what is said at the door."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document, said = super().openapi(), refusals(*AT_THE_DOOR, always=())
            for operations_at in document["paths"].values():
                for operation in operations_at.values():
                    add_refusals(operation, said)
            with_security(document, self.state.callers, self.state.guard)
        return super().openapi()


def _who(
    callers: Callers | None, tables: Sequence[APIRouter], routers: Sequence[APIRouter]
) -> dict[str, Sequence[str]]:
    """Who may call each operation of `tables`, of which `routers` are the service's own."""
    own = dict.fromkeys(operations(routers), ()) if callers is None else declared(callers, routers)
    found: dict[str, Sequence[str]] = {"GET /openapi.json": (PUBLIC,)}
    for name in operations(tables):
        is_switch = name.split(" ")[1].startswith("/chaos")
        found[name] = own.get(name, (LAB,) if is_switch else DIAGNOSTICS.get(name, (PUBLIC,)))
    return found


def _middleware(
    chassis: Chassis,
    guard: Guard,
    admission: Admission,
    exempt_prefixes: tuple[str, ...],
) -> list[Middleware]:
    """Outermost first: this list is the order in which a request passes."""

    def refuse(refusal: Refusal, scope: Scope) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        after_s = refusal.retry_after_s
        error: ServiceError
        match refusal.reason:
            case "deadline":
                error = DeadlineGone()
            case "rate":
                error = RateLimited(retry_after_s=after_s)
            case _:
                error = admission.full(retry_after_s=after_s)
        head = [(b"content-type", problems.MEDIA_TYPE.encode())]
        return error.status, head, problems.encode(error, scope["path"])

    def exempt(scope: Scope) -> bool:
        return str(scope["path"]).startswith(exempt_prefixes)

    return [
        Middleware(RequestContextMiddleware, runtime=chassis.runtime),
        *chassis.runtime.tracing.middleware(exempt, is_public=chassis.is_public),
        Middleware(ProblemMiddleware),
        Middleware(_MetricsMiddleware, chassis=chassis),
        *([] if guard.is_idle else [Middleware(GuardMiddleware, guard=guard)]),
        # Before the Shield: who sends slowly takes nobody's slot.
        Middleware(BodyLimitMiddleware, limit_bytes=chassis.settings.max_body_bytes),
        Middleware(
            _observed_shield,  # type: ignore[arg-type]  # a factory of keyword options
            chassis=chassis,
            limit=admission.limit,
            guards=admission.guards,
            queue=admission.queue,
            priority=admission.priority,
            rate=admission.rate,
            client=admission.client,
            exempt=exempt,
            refuse=refuse,
        ),
        *(
            [Middleware(FaultMiddleware, faults=chassis.faults)]
            if chassis.settings.chaos_enabled
            else []
        ),
    ]


def _observed_shield(app: ASGIApp, *, chassis: Chassis, **options: Any) -> ASGIApp:
    """The Shield, with its live values in `/readyz?verbose=1`."""
    shield = Shield(
        app,
        name=f"{chassis.name}.shield",
        runtime=chassis.runtime.resilience,
        on_event=(chassis.metrics.on_policy_event,),
        **options,
    )
    chassis.health.values["shield"] = shield.snapshot
    chassis.door.shield = shield
    return shield


class _MetricsMiddleware:
    """Counts and times requests by method, route template and status."""

    def __init__(self, app: ASGIApp, *, chassis: Chassis) -> None:
        self.app = app
        self._mono = chassis.runtime.mono
        self._metrics = chassis.metrics
        # Requests inside `__call__`; the gauge reads it when it is scraped.
        self._in_flight = 0
        chassis.metrics.in_flight.set_function(lambda: self._in_flight)
        # By method, route template and status, as in the registry.
        self._timed: dict[tuple[str, str, int], Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started_s = self._mono()
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._in_flight += 1
        try:
            await self.app(scope, receive, watch)
        finally:
            self._in_flight -= 1
            route = getattr(scope.get("route"), "path", "other")
            key = (scope["method"], route, status)
            timed = self._timed.get(key)
            if timed is None:
                timed = self._timed[key] = self._metrics.requests.labels(*key)
            timed.observe(self._mono() - started_s)
