"""The switches over HTTP, in lab mode only: `GET` and `DELETE /chaos`, `POST /chaos/{fault}`.

Refusals: 404 `fault_not_found`; a bad body is the application's own 422. Who may switch is the application's to say.
"""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Body, Depends, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from chaos.faults.base import DEFAULT_TTL_S, MAX_SECONDS_S, MAX_TTL_S
from chaos.faults.registry import FaultNotFound, Faults, FaultState, PointNotFound

_MEDIA_TYPE: Final = "application/problem+json"


class FaultSwitch(BaseModel):
    """What to do with one fault: `enabled`, or `seconds` where it has a length (0 is off)."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        json_schema_extra={
            "anyOf": [
                {"required": [name], "properties": {name: {"type": kind}}}
                for name, kind in (("enabled", "boolean"), ("seconds", "number"))
            ]
        },
    )

    enabled: bool | None = Field(None, description="True switches on, false switches off.")
    seconds: float | None = Field(
        None, ge=0, le=MAX_SECONDS_S, description="Length of the fault, seconds; 0 switches it off."
    )
    probability: float | None = Field(
        None, ge=0, le=1, description="Share of requests or commits that it strikes."
    )
    ttl_s: float = Field(
        DEFAULT_TTL_S, gt=0, le=MAX_TTL_S, description="Seconds until it switches itself off."
    )
    route: str | None = Field(
        None,
        pattern=r"^(\*|/[!-~]*)$",
        max_length=200,
        description='Path prefix it strikes; "*" is all.',
    )
    point: str | None = Field(
        None,
        max_length=100,
        description='Where `crash_at` strikes, one of its `points`; "*" is whichever comes next.',
    )

    @model_validator(mode="after")
    def _says_what_to_do(self) -> Self:
        if self.enabled is None and self.seconds is None:
            raise ValueError("enabled or seconds is required")
        return self

    @property
    def is_off(self) -> bool:
        """Whether the fault shall be off."""
        return self.enabled is False or (self.enabled is None and self.seconds == 0)


_ON: Final[dict[str, Any]] = {
    "name": "latency",
    "summary_es": "Cada petición espera unos segundos y después se ejecuta igualmente.",
    "summary_en": "Every request waits some seconds and then runs all the same.",
    "enabled": True,
    "has_seconds": True,
    "seconds": 20.0,
    "probability": 1.0,
    "route": "/pay",
    "left_s": 300.0,
    "points": [],
}


class FaultView(BaseModel):
    """One fault and its state."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ON]})

    name: str
    summary_es: str
    summary_en: str
    enabled: bool
    has_seconds: bool = Field(description="Whether it takes `seconds`.")
    seconds: float | None = Field(
        description="Its length, seconds; null while off or without length."
    )
    probability: float | None = Field(description="Share struck, 0 to 1; null while off.")
    route: str | None = Field(description='Path prefix struck, "*" for all; null while off.')
    left_s: float = Field(description="Seconds until it switches itself off; 0 while off.")
    point: str | None = Field(None, description="Where `crash_at` strikes; null while off.")
    points: list[str] = Field([], description="Where `crash_at` can strike in this service.")


class FaultList(BaseModel):
    """Every fault of one service."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"service": "payments", "faults": [_ON]}]}
    )

    service: str
    faults: list[FaultView]


SWITCH_EXAMPLES: Final[dict[str, Any]] = {
    "on": {"summary": "Encender · Switch on", "value": {"enabled": True}},
    "slow": {"summary": "Encender con duración · With a length", "value": {"seconds": 20}},
    "off": {"summary": "Apagar · Switch off", "value": {"enabled": False}},
    "flaky": {
        "summary": "Una de cada cinco · One in five",
        "value": {"enabled": True, "probability": 0.2, "ttl_s": 60},
    },
}
"""Bodies of a switch for the docs page."""

_TEXTS: Final = {
    "fault_not_found": ("Fallo desconocido", "Unknown fault"),
    "invalid_request": ("Datos no válidos", "Invalid request"),
    "malformed_json": ("JSON mal formado", "Malformed JSON"),
    "payload_too_large": ("Cuerpo demasiado grande", "Payload too large"),
}
_DETAILS: Final = {
    "fault_not_found": (
        "Este servicio no tiene ese fallo; GET /chaos los enumera.",
        "This service does not have that fault; GET /chaos lists them.",
    ),
    "invalid_request": (
        "Hay datos que corregir; «errors» dice cuáles y por qué.",
        "Some data needs correcting; “errors” says which and why.",
    ),
    "malformed_json": ("El cuerpo no es JSON válido.", "The body is not valid JSON."),
    "payload_too_large": (
        "El cuerpo supera los 65536 bytes admitidos.",
        "The body exceeds the 65536 bytes allowed.",
    ),
}


def _documented(status: int, code: str) -> dict[int | str, dict[str, Any]]:
    """A refusal for the docs page, with an example in each language."""
    examples: dict[str, dict[str, Any]] = {
        f"{code}.{lang}": {
            "summary": _TEXTS[code][english],
            "value": _document(status, code, "/chaos", "0f8fad5bd9cb4", english=english),
        }
        for english, lang in enumerate(("es", "en"))
    }
    if code == "invalid_request":
        examples[f"{code}.es"]["value"]["errors"] = [
            {"field": "ttl_s", "reason": "Debe ser mayor que 0."}
        ]
        examples[f"{code}.en"]["value"]["errors"] = [
            {"field": "ttl_s", "reason": "Must be greater than 0."}
        ]
    media = {"schema": {"type": "object"}, "examples": examples}
    return {status: {"description": f"`{code}`", "content": {_MEDIA_TYPE: media}}}


def _document(
    status: int, code: str, instance: str, request_id: str | None, *, english: int | bool
) -> dict[str, Any]:
    return {
        "type": f"/problems/{code}",
        "code": code,
        "title": _TEXTS[code][english],
        "status": status,
        "detail": _DETAILS[code][english],
        "instance": instance,
        "request_id": request_id,
    }


async def _own(request: Request) -> Faults:
    faults: Faults = request.app.state.faults
    return faults


Own = Annotated[Faults, Depends(_own)]


@cache
def control_routes() -> APIRouter:
    """Routes that show and switch the faults of the app that is asked.

    Its `app.state.faults` are its live switches. `app.state.asked`, if there is one, gives the id of the request being
    answered and the language of its answer.
    """
    router = APIRouter(tags=["chaos"])
    switch_refusals = {
        **_documented(400, "malformed_json"),
        **_documented(404, "fault_not_found"),
        **_documented(413, "payload_too_large"),
        **_documented(422, "invalid_request"),
    }

    @router.get(
        "/chaos",
        response_model=FaultList,
        summary="Fallos y su estado · Faults and their state",
        description="Qué se puede romper en este servicio, y qué está roto ahora · What can be "
        "broken in this service, and what is broken now.",
        response_description="Los fallos · The faults",
    )
    async def list_faults(faults: Own) -> FaultList:
        return _view_all(faults)

    @router.delete(
        "/chaos",
        response_model=FaultList,
        summary="Apagar todos los fallos · Switch every fault off",
        description="Todo vuelve a su sitio en este servicio · Everything is as before in this "
        "service.",
        response_description="Los fallos, apagados · The faults, off",
    )
    async def switch_all_off(faults: Own) -> FaultList:
        faults.reset()
        return _view_all(faults)

    @router.post(
        "/chaos/{fault}",
        response_model=FaultView,
        responses=switch_refusals,
        summary="Encender o apagar · Switch on or off",
        description="Un fallo, por un tiempo: se apaga solo tras `ttl_s` segundos · One fault, for "
        "a while: it switches itself off after `ttl_s` seconds.",
        response_description="El fallo · The fault",
    )
    async def switch(
        request: Request,
        faults: Own,
        fault: Annotated[str, Path(examples=["latency"])],
        order: Annotated[FaultSwitch, Body(openapi_examples=SWITCH_EXAMPLES)],
    ) -> Response | FaultView:
        try:
            return _view(_apply(faults, fault, order))
        except FaultNotFound:
            return _problem(request, 404, "fault_not_found")

    return router


def _apply(faults: Faults, name: str, order: FaultSwitch) -> FaultState:
    if order.is_off:
        return faults.switch_off(name)
    if order.seconds is not None and faults.find(name).default_seconds is None:
        raise _invalid("seconds", "no length", order.seconds)
    try:
        return faults.switch_on(
            name,
            seconds=order.seconds,
            probability=order.probability,
            ttl_s=order.ttl_s,
            route=order.route,
            point=order.point,
        )
    except PointNotFound:
        raise _invalid("point", "no such point", order.point) from None


def _invalid(field: str, message: str, given: object) -> RequestValidationError:
    found = {"type": "extra_forbidden", "loc": ("body", field), "msg": message, "input": given}
    return RequestValidationError([found])


def _view(state: FaultState) -> FaultView:
    fault, active = state.fault, state.active
    has_seconds = fault.default_seconds is not None
    return FaultView(
        name=fault.name,
        summary_es=fault.summary_es,
        summary_en=fault.summary_en,
        enabled=active is not None,
        has_seconds=has_seconds,
        seconds=active.seconds if active and has_seconds else None,
        probability=active.probability if active else None,
        route=active.route if active else None,
        left_s=round(state.left_s, 1),
        point=active.point if active and state.points else None,
        points=list(state.points),
    )


def _view_all(faults: Faults) -> FaultList:
    return FaultList(service=faults.service, faults=[_view(state) for state in faults.states()])


def _problem(request: Request, status: int, code: str) -> JSONResponse:
    asked: Callable[[], tuple[str | None, str]] = getattr(request.app.state, "asked", None) or (
        lambda: (
            request.headers.get("x-request-id"),
            request.headers.get("accept-language", "").strip().lower()[:2],
        )
    )
    request_id, lang = asked()
    english = lang == "en"
    return JSONResponse(
        _document(status, code, request.url.path, request_id, english=english),
        status,
        headers={"x-outcome": "final", "content-language": "en" if english else "es"},
        media_type=_MEDIA_TYPE,
    )
