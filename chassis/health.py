"""`/healthz` (alive: never checks dependencies), `/readyz` (can serve; `?verbose=1` shows live values), `/metrics`."""

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from chassis.errors import InvalidRequest, ServiceError
from chassis.openapi import answer, refusals
from chassis.telemetry import Metrics

_SCRAPED: Final = """\
# HELP chaos_fault_active 1 while a fault is on.
# TYPE chaos_fault_active gauge
chaos_fault_active{fault="latency"} 0.0
"""

Check = Callable[[], Awaitable[bool]]


class Health:
    """The checks and live values of one app; filled by its composition root while it starts.

    Args:
        metrics: The registry behind `/metrics`.
        refresh: Called before each scrape, for gauges that mirror live state.
    """

    def __init__(self, metrics: Metrics, refresh: Callable[[], None]) -> None:
        self._metrics = metrics
        self._refresh = refresh
        # Written by create_app's lifespan, read by the routes.
        self.checks: dict[str, Check] = {}
        self.values: dict[str, Callable[[], Any]] = {}

    async def report(self) -> tuple[bool, Mapping[str, bool]]:
        """Whether every check passes, and each result."""
        results = {name: await _passes(check) for name, check in self.checks.items()}
        return all(results.values()), results

    def scrape(self) -> bytes:
        """Every metric as it stands, in Prometheus' text format."""
        self._refresh()
        return generate_latest(self._metrics.registry)


async def _passes(check: Check) -> bool:
    try:
        return await check()
    except ServiceError:  # a store that does not answer is what is asked about
        return False


async def _own(request: Request) -> Health:
    health: Health = request.app.state.health
    return health


Own = Annotated[Health, Depends(_own)]


@cache
def health_routes() -> APIRouter:
    """The three routes; they report the `app.state.health` of the app that is asked."""
    router = APIRouter(tags=["health"])

    @router.get(
        "/healthz",
        summary="¿Está vivo? · Is it alive?",
        description="Solo mira el propio proceso, nunca a otros · Looks at the process itself, "
        "never at others.",
        responses={200: answer("Vivo · Alive", {"status": "ok"})},
    )
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get(
        "/readyz",
        summary="¿Puede atender? · Can it serve?",
        description="Mira lo que el servicio necesita; con `verbose=1` enseña límites, breakers y "
        "colas · Looks at what the service needs; with `verbose=1` it shows limits, breakers and "
        "queues.",
        response_model=None,
        responses={
            200: answer("Puede · It can", {"status": "ready", "checks": {"store": True}}),
            503: answer(
                "Todavía no · Not yet", {"status": "not_ready", "checks": {"store": False}}
            ),
            **refusals(InvalidRequest, always=()),
        },
    )
    async def readyz(health: Own, *, verbose: bool = False) -> JSONResponse:
        ready, checks = await health.report()
        body: dict[str, Any] = {"status": "ready" if ready else "not_ready", "checks": checks}
        if verbose:
            body["live"] = {name: value() for name, value in health.values.items()}
        return JSONResponse(body, 200 if ready else 503)

    @router.get(
        "/metrics",
        summary="Métricas de Prometheus · Prometheus metrics",
        description="Todas las métricas en el formato de texto de Prometheus · Every metric in "
        "Prometheus' text format.",
        response_class=Response,
        responses={200: answer("Métricas · Metrics", _SCRAPED, media_type="text/plain")},
    )
    async def scrape(health: Own) -> Response:
        return Response(health.scrape(), media_type=CONTENT_TYPE_LATEST)

    return router
