"""The fast path: an operation that takes one JSON model is answered without FastAPI's machinery.

`POST` to a constant path, one model as body, nothing else but headers that may be missing and the service object: that
is all of our hot routes, and there is nothing to solve. The body goes from bytes to the model and the answer from the
model to bytes, each once, in pydantic-core. Whatever is not exactly so (another content type, a body that does not
validate, a path with parameters) goes on to FastAPI, which alone knows how to explain what is wrong. The routes are
FastAPI's own: one definition for both ways and for the API document.

Measured: docs/benchmarks.md ("The hot path").
"""

from codecs import BOM_UTF8
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from inspect import signature
from typing import Any, Final, cast, get_args

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import problems
from chassis.errors import MalformedJson
from chassis.requests import fields_of

_JSON: Final = (b"application/json", b"application/json; charset=utf-8")


async def running(request: Request) -> Any:
    """Dependency of every route: the app's service object."""
    return request.state.svc


def reply(
    model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A model as a response of its own, for operations with more than one status."""
    return Response(_bytes(model), status, headers, "application/json")


def _bytes(model: BaseModel) -> bytes:
    return model.__pydantic_serializer__.to_json(model, by_alias=True)


@lru_cache(maxsize=64)
def _adapter(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)


def _says_what_it_answers(endpoint: Callable[..., Any]) -> bool:
    """Whether it promises models or responses, which need no look at what they are."""
    promised = signature(endpoint).return_annotation
    kinds = get_args(promised) or (promised,)
    return all(isinstance(kind, type) and issubclass(kind, BaseModel | Response) for kind in kinds)


@dataclass(frozen=True, slots=True)
class Operation:
    """A route with nothing to solve.

    Attributes:
        route: FastAPI's own.
        endpoint: The function behind it.
        services: Its parameters that are the service object.
        requests: Its parameters that are the request.
        headers: Its parameters that are headers, with the header's name.
        body: Its parameter that is the body.
        model: Reads it.
    """

    route: APIRoute
    endpoint: Callable[..., Awaitable[BaseModel | Response]]
    services: tuple[str, ...]
    requests: tuple[str, ...]
    headers: tuple[tuple[str, bytes], ...]
    body: str
    model: TypeAdapter[Any]

    @classmethod
    def of(cls, route: BaseRoute) -> "Operation | None":
        """The route as an operation; None if it asks for more than there is here."""
        if not isinstance(route, APIRoute) or route.methods != {"POST"} or "{" in route.path:
            return None
        needs = route.dependant
        plain = (
            len(needs.body_params) == 1
            and not (needs.query_params or needs.cookie_params or needs.response_param_name)
            and all(one.call is running and one.name for one in needs.dependencies)
            and _says_what_it_answers(route.endpoint)
            and all(
                one.default is None and not one.field_info.metadata for one in needs.header_params
            )
        )
        if not plain:
            return None
        body = needs.body_params[0]
        return cls(
            route=route,
            endpoint=route.endpoint,
            services=tuple(one.name or "" for one in needs.dependencies),
            requests=(needs.request_param_name,) if needs.request_param_name else (),
            headers=tuple((one.name, one.alias.lower().encode()) for one in needs.header_params),
            body=body.name,
            model=_adapter(cast("Any", body.field_info.annotation)),
        )

    async def answer(self, scope: Scope, given: Mapping[bytes, bytes], body: object) -> Response:
        """Call the endpoint; what it raises becomes a problem as it does in FastAPI."""
        scope["route"] = self.route
        arguments: dict[str, object] = {self.body: body}
        for name in self.services:
            arguments[name] = scope["state"]["svc"]
        for name in self.requests:
            arguments[name] = Request(scope)
        for name, header in self.headers:
            value = given.get(header)
            arguments[name] = None if value is None else value.decode("latin-1")
        try:
            answer = await self.endpoint(**arguments)
        except problems.KNOWN as error:
            return problems.render(problems.as_service_error(error), scope["path"])
        return answer if isinstance(answer, Response) else reply(answer)


class FastPathMiddleware:
    """Answers operations itself and passes everything else on.

    Innermost: the request has its context, was admitted, and its body is in memory.
    """

    def __init__(self, app: ASGIApp, *, routes: Iterable[BaseRoute]) -> None:
        self.app = app
        found = (Operation.of(route) for route in routes)
        self._operations = {one.route.path: one for one in found if one is not None}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        operation = None
        if scope["type"] == "http" and scope["method"] == "POST":
            operation = self._operations.get(scope["path"])
        if operation is None:
            await self.app(scope, receive, send)
            return
        message = await receive()
        given = fields_of(scope)
        kind = given.get(b"content-type", b"")
        body = message.get("body", b"") if kind in _JSON or _is_json(kind) else b""
        try:
            model = operation.model.validate_json(body.removeprefix(BOM_UTF8))
        except ValidationError as error:
            # FastAPI's parser takes more than RFC 8259: UTF-16, and halves of surrogate pairs, which nobody can store.
            if body and _is_no_json(error):
                raise MalformedJson from None
            await self.app(scope, _again(message, receive), send)
            return
        response = await operation.answer(scope, given, model)
        await response(scope, receive, send)


@lru_cache(maxsize=64)
def _is_json(media_type: bytes) -> bool:
    """Whether FastAPI would read it as JSON, however it is written."""
    main = media_type.partition(b";")[0].strip().lower()
    return main == b"application/json" or main.endswith(b"+json")


def _is_no_json(error: ValidationError) -> bool:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return details[0]["type"] == "json_invalid"


def _again(message: Message, receive: Receive) -> Receive:
    """`receive` as if `message` had not been taken."""
    waiting = [message]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
