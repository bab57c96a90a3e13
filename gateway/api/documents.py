"""The API documents of all five services, for the docs page."""

from functools import cache
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from chassis.errors import NotFound
from chassis.openapi import answer, refusals
from gateway.api.parts import ServiceName, Svc
from gateway.errors import UNREACHABLE

_BEGINS: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {"title": "Taquilla · inventory", "version": "1"},
    "paths": {},
    "servers": [{"url": "/svc/inventory"}],
}


@cache
def routes() -> APIRouter:
    """`GET /openapi/{svc}.json`."""
    router = APIRouter(tags=["documentos · documents"])

    @router.get(
        "/openapi/{service}.json",
        summary="OpenAPI de un servicio · A service's OpenAPI",
        description="El contrato de un servicio, también mientras está caído; en el laboratorio, "
        "con la dirección que permite probarlo desde aquí · A service's contract, also while it is "
        "down; in the lab with the address that lets you try it from here.",
        response_model=None,
        responses={
            200: answer("El documento · The document", _BEGINS),
            **refusals(NotFound, *UNREACHABLE.values()),
        },
    )
    async def document(request: Request, svc: Svc, service: ServiceName) -> JSONResponse:
        if service == "gateway":
            return JSONResponse(request.app.openapi())
        found: dict[str, Any] = dict(await svc.mesh.document(service))
        if svc.settings.chaos_enabled:  # "Try it out" goes through the gateway: no CORS, one port
            found["servers"] = [{"url": f"/svc/{service}"}]
        return JSONResponse(found)

    return router
