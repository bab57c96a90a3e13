"""The lab: fault switches, reset, race and flood, the auditor, and the relay behind "Try it out". Lab mode only.

With a `CHAOS_TOKEN`, whatever changes something needs it as a bearer token.
"""

import hmac
from dataclasses import asdict
from enum import Enum
from functools import cache
from typing import Any, Final

import httpx
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from chaos.faults import SCENARIOS
from chaos.faults.control import FaultSwitch
from chassis.errors import BadUpstream, NotFound, Unauthorized
from chassis.openapi import refusals
from gateway import usecases
from gateway.api.parts import Svc
from gateway.errors import (
    AuditUnavailable,
    CatalogueUnavailable,
    EventBusy,
    EventNotFound,
    MeshBusy,
)
from gateway.schemas import AuditReport, CrowdReport, LoadOrder, RaceOrder, ResetOrder

PREFIX: Final = "/api/lab"
TAGS: Final[list[str | Enum]] = ["laboratorio · lab"]
METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_PASSED_ON: Final = (
    "content-type",
    "accept",
    "authorization",
    "idempotency-key",
    "x-manage-token",
    "x-deadline-ms",
)
_PASSED_BACK: Final = ("content-type", "retry-after", "idempotent-replayed", "x-outcome")


async def _may_break(request: Request, svc: Svc) -> None:
    token = svc.settings.chaos_token
    if not token:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    matches = hmac.compare_digest(given.strip().encode(), token.encode())
    if scheme.lower() != "bearer" or not matches:
        raise Unauthorized


@cache
def routes() -> APIRouter:
    """`/api/lab/…`: faults and reset."""
    router = APIRouter(prefix=PREFIX, tags=TAGS)
    guarded = [Depends(_may_break)]

    @router.get("/faults", summary="Fallos de los cinco servicios · Faults of all five services")
    async def faults(svc: Svc) -> dict[str, Any]:
        return {
            "scenarios": [asdict(scenario) for scenario in SCENARIOS],
            "services": await svc.mesh.faults(),
        }

    @router.delete(
        "/faults",
        summary="Detener todo · Stop everything",
        dependencies=guarded,
        responses=refusals(Unauthorized),
    )
    async def all_off(svc: Svc) -> dict[str, Any]:
        return {"services": await svc.mesh.all_off()}

    @router.post(
        "/faults/{service}/{fault}",
        summary="Encender o apagar un fallo · Switch a fault",
        dependencies=guarded,
        response_model=None,
        responses=refusals(Unauthorized, NotFound, CatalogueUnavailable),
    )
    async def switch(svc: Svc, service: str, fault: str, order: FaultSwitch) -> Response:
        wanted = order.model_dump(exclude_unset=True)
        if not fault.replace("_", "").isalnum():
            raise NotFound
        return _passed_back(await svc.mesh.switch(service, fault, wanted))

    @router.post(
        "/reset",
        summary="Dejar n asientos libres · Leave n seats free",
        dependencies=guarded,
        responses=refusals(
            Unauthorized, EventNotFound, EventBusy, CatalogueUnavailable, BadUpstream
        ),
    )
    async def reset(svc: Svc, order: ResetOrder) -> dict[str, Any]:
        await svc.inventory.reset(order.event_id, order.seats)
        return {"event_id": order.event_id, "available": order.seats}

    return router


@cache
def trial_routes() -> APIRouter:
    """`/api/lab/…`: race, flood and audit."""
    router = APIRouter(prefix=PREFIX, tags=TAGS)
    guarded = [Depends(_may_break)]

    @router.post(
        "/race",
        summary="Condición de carrera · Race",
        dependencies=guarded,
        responses=refusals(
            Unauthorized, MeshBusy, EventNotFound, EventBusy, CatalogueUnavailable, BadUpstream
        ),
    )
    async def race(svc: Svc, order: RaceOrder) -> CrowdReport:
        return await usecases.race(svc, order)

    @router.post(
        "/load",
        summary="El diluvio · Flood",
        dependencies=guarded,
        responses=refusals(Unauthorized, MeshBusy),
    )
    async def load(svc: Svc, order: LoadOrder) -> CrowdReport:
        return await usecases.flood(svc, order)

    @router.get(
        "/audit",
        summary="¿Cuadran los libros? · Are the books true?",
        responses=refusals(AuditUnavailable),
    )
    async def audit(svc: Svc) -> AuditReport:
        return await svc.auditor.audit()

    return router


@cache
def relay_routes() -> APIRouter:
    """`/svc/{service}/…`: a service's own API through this port."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/svc/{service}/{path:path}", methods=METHODS)
    async def relay(request: Request, svc: Svc, service: str, path: str) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        asked = (request.method, f"/{path}{query}", await request.body())
        return _passed_back(await svc.mesh.relay(service, asked, headers))

    return router


def _passed_back(answer: httpx.Response) -> Response:
    headers = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
    return Response(answer.content, answer.status_code, headers=headers)
