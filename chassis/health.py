"""`/healthz` (alive: never checks dependencies), `/readyz` (can serve; `?verbose=1` shows live values), `/metrics`."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from chassis.telemetry import Metrics

Check = Callable[[], Awaitable[bool]]


class Health:
    """The checks and live values of one app; filled by its composition root while it starts."""

    def __init__(self) -> None:
        # Written by create_app's lifespan, read by the routes.
        self.checks: dict[str, Check] = {}
        self.values: dict[str, Callable[[], Any]] = {}

    async def report(self) -> tuple[bool, Mapping[str, bool]]:
        """Whether every check passes, and each result."""
        results = {name: await check() for name, check in self.checks.items()}
        return all(results.values()), results


def health_routes(health: Health, metrics: Metrics, refresh: Callable[[], None]) -> APIRouter:
    """The three routes.

    Args:
        health: What to report.
        metrics: The registry behind `/metrics`.
        refresh: Called before each scrape, for gauges that mirror live state.
    """
    router = APIRouter(tags=["health"])

    @router.get("/healthz", summary="¿Está vivo? · Is it alive?")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get(
        "/readyz",
        summary="¿Puede atender? · Can it serve?",
        response_model=None,
        responses={503: {"description": "Todavía no · Not yet"}},
    )
    async def readyz(*, verbose: bool = False) -> JSONResponse:
        ready, checks = await health.report()
        body: dict[str, Any] = {"status": "ready" if ready else "not_ready", "checks": checks}
        if verbose:
            body["live"] = {name: value() for name, value in health.values.items()}
        return JSONResponse(body, 200 if ready else 503)

    @router.get(
        "/metrics", summary="Métricas de Prometheus · Prometheus metrics", response_class=Response
    )
    async def scrape() -> Response:
        refresh()
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router
