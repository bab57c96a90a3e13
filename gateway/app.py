"""Composition root of the gateway: what it is made of, and the process."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from starlette.types import Scope

from chassis.addresses import client_of, forwarded_for
from chassis.app import Admission, Chassis, build_app
from chassis.clients import Upstream
from chassis.identity import LAB, PUBLIC, Callers, operations
from chassis.loops import supervised
from chassis.runtime import Runtime
from chassis.serve import serve
from gateway.api import routes
from gateway.clients import Auditor, Crowd, Inventory, Live, Mesh, Reservations
from gateway.clients.mesh import SERVICES
from gateway.errors import GatewaySaturated
from gateway.loops import sampling
from gateway.settings import Settings
from gateway.usecases import Gateway
from resilience import Limit, RateLimit
from resilience.admission import peer

LAB_PREFIX: Final = "/api/lab/"

_CANCEL: Final = re.compile(r"/api/reservations/[^/]+/cancel")


def counts(scope: Scope) -> bool:
    """Whether the in-flight limit counts this request: reservations and cancellations only."""
    path = str(scope["path"])
    return scope["method"] == "POST" and (
        path == "/api/reserve" or _CANCEL.fullmatch(path) is not None
    )


def callers(routers: Sequence[APIRouter]) -> Callers:
    """The shop is anybody's and the lab is the lab's; the relay lends nobody a name, so it may be anybody's."""
    return {
        name: (LAB,) if name.split(" ")[1].startswith(LAB_PREFIX) else (PUBLIC,)
        for name in operations(routers)
    }


def create_app(settings: Settings, runtime: Runtime) -> FastAPI:
    """The gateway."""
    slow = {"latency": "/api/reserve"}
    chassis = Chassis("gateway", settings, runtime, slow_route=slow, is_public=True)

    @asynccontextmanager
    async def service() -> AsyncIterator[Gateway]:
        async with AsyncExitStack() as stack:
            upstreams = _upstreams(chassis, settings)
            for upstream in upstreams.values():
                stack.push_async_callback(upstream.aclose)
            gateway = _gateway(chassis, settings, upstreams)
            stack.push_async_callback(gateway.auditor.aclose)
            live = gateway.live
            loop = sampling(gateway, settings.live_period_s)
            live.on_first = loop.wake
            await stack.enter_async_context(
                supervised([loop], runtime, chassis.metrics, grace_s=settings.shutdown_grace_s)
            )
            stack.callback(live.close)
            yield gateway

    specs = {name: f"/openapi/{name}.json" for name in SERVICES}
    routers = routes(lab_mode=settings.chaos_enabled)
    return build_app(
        chassis,
        summary="La puerta: reservar, mirar, cancelar · The front door: reserve, look, cancel",
        service=service,
        routers=routers,
        callers=callers(routers),
        admission=_admission(settings),
        exempt=("/api/live",),
        specs=specs,
    )


def _admission(settings: Settings) -> Admission:
    """No queue: full means 429 at once."""
    rate_per_s = settings.gateway_rate_per_s
    return Admission(
        Limit(start=20, max=200)
        if settings.is_limit_adaptive
        else Limit(fixed=settings.gateway_max_inflight),
        guards=counts,
        rate=RateLimit(rate_per_s, burst=settings.gateway_rate_burst) if rate_per_s else None,
        client=_client(settings),
        full=GatewaySaturated,
    )


def _client(settings: Settings) -> Callable[[Scope], str]:
    """Whom the rate counts."""
    trusted = settings.trusted_networks

    def client(scope: Scope) -> str:
        forwarded = forwarded_for(scope["headers"]) if trusted else ()
        return client_of(peer(scope), forwarded, trusted)

    return client


def _upstreams(chassis: Chassis, settings: Settings) -> dict[str, Upstream]:
    addresses = {
        "reservations": settings.reservations_url,
        "inventory": settings.inventory_url,
        "payments": settings.payments_url,
        "notifications": settings.notifications_url,
    }
    if settings.chaos_enabled:
        addresses = {"gateway": settings.own_url(), **addresses}
    return {name: chassis.upstream(name, url) for name, url in addresses.items()}


def _gateway(chassis: Chassis, settings: Settings, upstreams: dict[str, Upstream]) -> Gateway:
    health = chassis.health

    async def own() -> dict[str, Any]:
        ready, checks = await health.report()
        live = {name: value() for name, value in health.values.items()}
        return {"status": "ready" if ready else "not_ready", "checks": checks, "live": live}

    itself = upstreams.get("gateway")
    gateway = Gateway(
        settings=settings,
        runtime=chassis.runtime,
        reservations=Reservations(
            upstreams["reservations"], chassis.runtime, settings.reserve_deadline_s
        ),
        inventory=Inventory(upstreams["inventory"], settings.chaos_token),
        mesh=Mesh(upstreams, own, settings.chaos_token),
        live=Live(settings.live_clients_max, chassis.runtime.new_id),
        crowd=None if itself is None else Crowd(itself, chassis.runtime),
        auditor=Auditor(settings.data_dir, chassis.runtime),
    )
    health.values["live"] = gateway.live.snapshot
    return gateway


if __name__ == "__main__":
    serve("gateway", Settings, create_app)
