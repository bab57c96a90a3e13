"""The API documents of all five services, for the docs page."""

from functools import cache
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from chassis.openapi import refusals
from gateway.api.parts import Svc
from gateway.errors import CatalogueUnavailable


@cache
def routes() -> APIRouter:
    """`GET /openapi/{svc}.json`."""
    router = APIRouter(tags=["documentos · documents"])

    @router.get(
        "/openapi/{service}.json",
        summary="OpenAPI de un servicio · A service's OpenAPI",
        response_model=None,
        responses=refusals(CatalogueUnavailable),
    )
    async def document(request: Request, svc: Svc, service: str) -> JSONResponse:
        if service == "gateway":
            return JSONResponse(request.app.openapi())
        found: dict[str, Any] = dict(await svc.mesh.document(service))
        if svc.settings.chaos_enabled:  # "Try it out" goes through the gateway: no CORS, one port
            found["servers"] = [{"url": f"/svc/{service}"}]
        return JSONResponse(found)

    return router
