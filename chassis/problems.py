"""The only place where an exception becomes an answer: RFC 9457 problem documents, Spanish or English.

Every problem carries `type` (/problems/{code}), `code`, `title`, `status`, `detail`, `instance` and `request_id`. A
decided refusal is marked `X-Outcome: final`. A crash is a 500 of the same shape with no detail of what crashed: the log
line with the same request id has it.
"""

import html
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import structlog
from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chaos.faults import ConnectionDropped
from chassis.catalogue import PROBLEMS, language
from chassis.errors import (
    DeadlineGone,
    InternalError,
    InvalidRequest,
    MalformedJson,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    ServiceError,
    UnsupportedMediaType,
)
from chassis.reasons import validation_errors
from chassis.requests import request_id
from resilience import DeadlineExceeded, Rejected

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"


def document(error: ServiceError, instance: str) -> dict[str, Any]:
    """The problem document of `error` in the current language."""
    extensions = dict(error.extensions())
    lang = language.get()
    message = PROBLEMS[error.code]
    values = {**extensions, "retry_after_s": _seconds(error.retry_after_s)}
    return {
        "type": f"/problems/{error.code}",
        "code": error.code,
        "title": message.title.render(lang),
        "status": error.status,
        "detail": message.detail.render(lang, values),
        "instance": instance,
        "request_id": request_id.get(),
        **extensions,
    }


def headers(error: ServiceError) -> dict[str, str]:
    """The headers that go with a problem."""
    found = {"cache-control": "no-store"}
    if error.final:
        found["x-outcome"] = "final"
    if error.status == 401:
        found["www-authenticate"] = "Bearer"
    if error.retry_after_s is not None:
        found["retry-after"] = str(_seconds(error.retry_after_s))
    return found


def _seconds(retry_after_s: float | None) -> int:
    return max(1, math.ceil(retry_after_s or 0))


def render(error: ServiceError, instance: str) -> JSONResponse:
    """`error` as a response."""
    return JSONResponse(
        document(error, instance), error.status, headers=headers(error), media_type=MEDIA_TYPE
    )


def encode(error: ServiceError, instance: str) -> bytes:
    """`error` as the bytes of a problem document, for pure ASGI refusals."""
    return json.dumps(document(error, instance), ensure_ascii=False).encode()


def as_service_error(error: Exception) -> ServiceError:
    """The one table from exception to refusal; anything unknown is a bug."""
    match error:
        case ServiceError():
            return error
        case Rejected():
            return Overloaded(retry_after_s=error.retry_after_s)
        case DeadlineExceeded():
            return DeadlineGone()
        case RequestValidationError():
            return _payload_error(error)
        case StarletteHTTPException():
            return _BY_STATUS.get(error.status_code, InternalError)()
        case _:
            return InternalError()


_BY_STATUS: Final[Mapping[int, type[ServiceError]]] = {
    400: MalformedJson,  # JSON that no parser takes: depth, encoding, numbers
    404: NotFound,
    405: MethodNotAllowed,
}
"""What the framework itself refuses with."""


def _payload_error(error: RequestValidationError) -> ServiceError:
    details: Sequence[Mapping[str, Any]] = error.errors()
    if any(detail["type"] == "json_invalid" for detail in details):
        return MalformedJson()
    return InvalidRequest(errors=validation_errors(details, language.get()))


async def _handler(request: Request, error: Exception) -> JSONResponse:
    refusal = as_service_error(error)
    if isinstance(refusal, InvalidRequest) and _is_announced_as_other(request):
        refusal = UnsupportedMediaType()
    response = render(refusal, request.url.path)
    if isinstance(error, StarletteHTTPException):
        response.headers.update(error.headers or {})
        if error.status_code == 405:
            response.headers["allow"] = _allowed(request)
    return response


def _is_announced_as_other(request: Request) -> bool:
    """Whether there is a body that does not say that it is JSON, and so was not read as such."""
    given = request.headers
    media = given.get("content-type", "").partition(";")[0].strip().lower()
    has_body = given.get("content-length", "0") != "0" or "transfer-encoding" in given
    return has_body and media != "application/json" and not media.endswith("+json")


def _allowed(request: Request) -> str:
    """The methods of this address; the framework names those of one route only."""
    found: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return ", ".join(sorted(found))


KNOWN: Final = (ServiceError, Rejected, DeadlineExceeded)
"""What an operation may raise to refuse."""

HANDLERS: Final[Mapping[Any, Any]] = dict.fromkeys(
    (*KNOWN, RequestValidationError, StarletteHTTPException), _handler
)
"""The renderer, for everything the framework catches itself."""


@cache
def problem_routes() -> APIRouter:
    """The pages behind `type`."""
    router = APIRouter(include_in_schema=False)

    @router.get("/problems/{code}")
    async def problem_page(code: str) -> HTMLResponse:
        if code not in PROBLEMS:
            raise NotFound
        title, detail = PROBLEMS[code]
        body = "".join(
            f'<section lang="{lang}"><h1>{html.escape(title.render(lang))}</h1>'
            f"<p>{html.escape(detail.render(lang))}</p></section>"
            for lang in ("es", "en")
        )
        return HTMLResponse(
            f'<!doctype html><html lang="es"><meta charset="utf-8"><title>{html.escape(code)}</title>'
            f"<p><code>{html.escape(code)}</code></p>{body}</html>"
        )

    return router


class ProblemMiddleware:
    """Turn whatever escapes the app or another middleware into a problem document."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; re-raise only when an answer had already begun."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except ConnectionDropped:
            raise  # a fault breaks the connection: there must be no answer
        except Exception as error:
            refusal = as_service_error(error)
            if isinstance(refusal, InternalError):
                log.exception("internal_error", path=scope["path"])
            if started:
                raise
            response = render(refusal, scope["path"])
            if (
                refusal.status == 413
            ):  # the rest of the body is unread: the connection cannot be reused
                response.headers["connection"] = "close"
            await response(scope, receive, send)
