"""The lab: fault switches, reset, race and flood, the auditor, and the relay behind "Try it out". Lab mode only.

All of it but the relay is the lab's own: with a `CHAOS_TOKEN`, whoever asks must have it (gateway/app.py).
"""

from dataclasses import asdict
from enum import Enum
from functools import cache
from typing import Annotated, Any, Final

import httpx
from fastapi import APIRouter, Body, Path, Query, Request
from fastapi.responses import Response

from chaos.faults import SCENARIOS
from chaos.faults.control import SWITCH_EXAMPLES, FaultSwitch, FaultView
from chassis.errors import BadUpstream, NotFound
from chassis.openapi import answer, refusals
from gateway import usecases
from gateway.api.parts import NO_STORE, ServiceName, Svc
from gateway.clients.auditor import MOST_PATIENT_S, SETTLE_S
from gateway.errors import (
    UNREACHABLE,
    AuditUnavailable,
    CatalogueUnavailable,
    EventBusy,
    EventNotFound,
    FaultNotFound,
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


_NOTHING_ON: Final[dict[str, Any]] = {
    "services": [{"service": "inventory", "reachable": True, "faults": []}]
}

Patience = Annotated[
    int,
    Query(
        ge=0,
        le=MOST_PATIENT_S,
        description="Segundos que la distancia al reposo puede quedarse quieta · Seconds that the "
        "distance to rest may stand still.",
        examples=[8],
    ),
]


@cache
def routes() -> APIRouter:
    """`/api/lab/…`: faults and reset."""
    router = APIRouter(prefix=PREFIX, tags=TAGS)
    _add_faults(router)
    _add_reset(router)
    return router


def _add_faults(router: APIRouter) -> None:
    @router.get(
        "/faults",
        summary="Fallos de los cinco servicios · Faults of all five services",
        description="Los seis escenarios del curso y qué está roto ahora en cada servicio · The "
        "six scenarios of the course and what is broken now in each service.",
        responses={
            200: answer(
                "Escenarios y fallos · Scenarios and faults",
                {"scenarios": [asdict(SCENARIOS[0])], **_NOTHING_ON},
            )
        },
    )
    async def faults(svc: Svc) -> dict[str, Any]:
        return {
            "scenarios": [asdict(scenario) for scenario in SCENARIOS],
            "services": await svc.mesh.faults(),
        }

    @router.delete(
        "/faults",
        summary="Detener todo · Stop everything",
        description="Apaga todos los fallos de todos los servicios · Switches off every fault of "
        "every service.",
        responses={
            200: answer("Todo apagado · All off", _NOTHING_ON),
        },
    )
    async def all_off(svc: Svc) -> dict[str, Any]:
        return {"services": await svc.mesh.all_off()}

    @router.post(
        "/faults/{service}/{fault}",
        summary="Encender o apagar un fallo · Switch a fault",
        description="Lo mismo que `POST /chaos/{fault}` del servicio; se apaga solo tras `ttl_s` "
        "segundos · The same as the service's own `POST /chaos/{fault}`; it switches itself off "
        "after `ttl_s` seconds.",
        response_model=None,
        responses={
            200: {"model": FaultView, "description": "El fallo · The fault"},
            **refusals(NotFound, FaultNotFound, *UNREACHABLE.values()),
        },
    )
    async def switch(
        svc: Svc,
        service: ServiceName,
        fault: Annotated[str, Path(examples=["latency"])],
        order: Annotated[FaultSwitch, Body(openapi_examples=SWITCH_EXAMPLES)],
    ) -> Response:
        wanted = order.model_dump(exclude_unset=True)
        if not fault.replace("_", "").isalnum():
            raise NotFound
        return _passed_back(await svc.mesh.switch(service, fault, wanted))


def _add_reset(router: APIRouter) -> None:
    @router.post(
        "/reset",
        summary="Dejar n asientos libres · Leave n seats free",
        description="Añade o quita asientos libres de un evento; apartados y vendidos no se tocan "
        "· Adds or removes free seats of an event; held and sold ones are not touched.",
        responses={
            200: answer("Hecho · Done", {"event_id": "concert-01", "available": 20}),
            **refusals(EventNotFound, EventBusy, CatalogueUnavailable, BadUpstream),
        },
    )
    async def reset(svc: Svc, order: ResetOrder) -> dict[str, Any]:
        await svc.inventory.reset(order.event_id, order.seats)
        return {"event_id": order.event_id, "available": order.seats}


@cache
def trial_routes() -> APIRouter:
    """`/api/lab/…`: race, flood and audit."""
    router = APIRouter(prefix=PREFIX, tags=TAGS)

    @router.post(
        "/race",
        summary="Condición de carrera · Race",
        description="Deja `seats` asientos libres y suelta a `buyers` compradores a la vez; "
        "después deja el evento como estaba · Leaves `seats` free seats and lets `buyers` loose at "
        "once; then puts the event back as it was.",
        response_description="Qué pasó · What came of it",
        responses=refusals(MeshBusy, EventNotFound, EventBusy, CatalogueUnavailable, BadUpstream),
    )
    async def race(svc: Svc, order: RaceOrder) -> CrowdReport:
        return await usecases.race(svc, order)

    @router.post(
        "/load",
        summary="El diluvio · Flood",
        description="Muchas reservas de muchos compradores a la vez; un 429 se cuenta y no se "
        "repite · Many reservations by many buyers at once; a 429 is counted and never repeated.",
        response_description="Qué pasó · What came of it",
        responses=refusals(MeshBusy),
    )
    async def load(svc: Svc, order: LoadOrder) -> CrowdReport:
        return await usecases.flood(svc, order)

    @router.get(
        "/audit",
        summary="¿Cuadran los libros? · Are the books true?",
        description="El auditor lee las cinco bases de datos y juzga cada invariante. Espera al "
        "reposo mientras la malla se acerca y, quieta, `settle_s` segundos más · The auditor reads "
        "the five databases and judges every invariant. It waits for rest while the mesh comes "
        "closer and, once it stands still, `settle_s` seconds more.",
        response_description="El veredicto · The verdict",
        responses=refusals(AuditUnavailable),
    )
    async def audit(svc: Svc, settle_s: Patience = SETTLE_S) -> AuditReport:
        return await svc.auditor.audit(settle_s)

    return router


@cache
def relay_routes() -> APIRouter:
    """`/svc/{service}/…`: a service's own API through this port."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/svc/{service}/{path:path}", methods=METHODS)
    async def relay(request: Request, svc: Svc, service: str, path: str) -> Response:  # noqa: ARG001 - read as it was sent
        # Behind `/svc/{service}/` the path goes on untouched: a %3F or a %00 in it is the other service's business.
        _, _, _, sent = request.scope["raw_path"].decode("ascii").split("/", 3)
        query = f"?{request.url.query}" if request.url.query else ""
        # httpx takes no text but ASCII for a header, and none of these has a meaning in any other.
        given = request.headers
        headers = {name: given[name] for name in _PASSED_ON if given.get(name, "ñ").isascii()}
        asked = (request.method, f"/{sent}{query}", await request.body())
        try:
            return _passed_back(await svc.mesh.relay(service, asked, headers))
        except httpx.InvalidURL:
            raise NotFound from None

    return router


def _passed_back(answer: httpx.Response) -> Response:
    headers = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
    return Response(answer.content, answer.status_code, headers={**NO_STORE, **headers})
