"""Answers and refusals in the API documents: what they mean, in both languages, and what they look like.

Texts of refusals come from the one catalogue; prose of an operation is "español · English" in one string.
"""

from collections.abc import Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import Any, Final

from chassis.catalogue import LANGUAGES, PROBLEMS, Language
from chassis.errors import (
    DeadlineGone,
    HeadersTooLarge,
    InvalidRequest,
    MalformedJson,
    MalformedRequest,
    Overloaded,
    PayloadTooLarge,
    ServiceError,
    UnsupportedMediaType,
    UriTooLong,
)
from chassis.reasons import validation_errors

_MEDIA_TYPE: Final = "application/problem+json"
ALWAYS: Final[tuple[type[ServiceError], ...]] = (
    MalformedJson,
    PayloadTooLarge,
    UnsupportedMediaType,
    InvalidRequest,
    Overloaded,
    DeadlineGone,
)
"""Refusals of every operation that the Shield guards, whatever it does."""

AT_THE_DOOR: Final[tuple[type[ServiceError], ...]] = (
    MalformedRequest,
    UriTooLong,
    HeadersTooLarge,
)
"""What any request may hear before anybody knows for which operation it is (`chassis.connections`)."""

PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "code", "title", "status", "detail", "instance", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "code": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "request_id": {"type": "string"},
    },
}
"""RFC 9457 members that every problem here has; extensions vary by code."""


_EXTENSIONS: Final[Mapping[str, Mapping[str, object]]] = MappingProxyType(
    {
        "seat_taken": {"seats": ["A-07"]},
        "event_not_found": {"event_id": "concert-99"},
        "price_changed": {"price": "50.00 USD", "price_minor": 5000, "currency": "USD"},
        "payload_too_large": {"limit_bytes": 65_536},
        "uri_too_long": {"limit_bytes": 8192},
        "headers_too_large": {"limit_fields": 100, "limit_bytes": 32_768},
        "user_busy": {"limit": 4},
    }
)
"""Members that the problems with these codes have besides the common ones, as they might be."""

_VALUES: Final[Mapping[str, Mapping[str, object]]] = MappingProxyType(
    {"rate_limited": {"retry_after_s": 1}}
)
"""What fills the holes of a text and is no member of the document."""


def answer(
    description: str,
    example: object,
    *,
    model: Any = None,
    media_type: str = "application/json",
) -> dict[str, Any]:
    """One entry of `responses=` that is no refusal: what it means ("español · English") and looks like.

    Only for an answer whose model has no fitting example of its own.
    """
    entry: dict[str, Any] = {
        "description": description,
        "content": {media_type: {"example": example}},
    }
    return entry if model is None else {"model": model, **entry}


def leads_to(
    operation: str,
    parameters: Mapping[str, str] = MappingProxyType({}),
    body: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """One entry of an answer's `links`: with what it says, another operation can be called.

    Args:
        operation: The operation's id.
        parameters: Its parameters, and the member of the answer that each is.
        body: Members of its body, likewise.
    """

    def said(members: Mapping[str, str]) -> dict[str, str]:
        return {name: f"$response.body#/{member}" for name, member in members.items()}

    link: dict[str, Any] = {"operationId": operation, "parameters": said(parameters)}
    return link if body is None else {**link, "requestBody": said(body)}


def refusals(
    *errors: type[ServiceError], always: tuple[type[ServiceError], ...] = ALWAYS
) -> dict[int | str, dict[str, Any]]:
    """`responses=` for a route: every refusal in `errors`, and those that any route may give (`always`)."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for error in (*errors, *always):
        entry = by_status.setdefault(
            error.status,
            {
                "description": "",
                "content": {_MEDIA_TYPE: {"schema": PROBLEM_SCHEMA, "examples": {}}},
            },
        )
        entry["description"] = " · ".join(filter(None, [entry["description"], f"`{error.code}`"]))
        examples = entry["content"][_MEDIA_TYPE]["examples"]
        for lang in LANGUAGES:
            examples[f"{error.code}.{lang}"] = {
                "summary": PROBLEMS[error.code].title.render(lang),
                "value": _problem(error, lang),
            }
    return by_status


def add_refusals(operation: dict[str, Any], said: Mapping[int | str, Mapping[str, Any]]) -> None:
    """Let an operation of a document tell of further refusals, `said` as `refusals` gives them; again is no change."""
    for status, answer in said.items():
        known = operation["responses"].setdefault(str(status), deepcopy(answer))
        known.setdefault("content", {})
        for media, content in answer["content"].items():
            examples = known["content"].setdefault(media, deepcopy(content))["examples"]
            if not content["examples"].keys() <= examples.keys():
                known["description"] += f" · {answer['description']}"
                examples.update(content["examples"])


def _problem(error: type[ServiceError], lang: Language) -> dict[str, object]:
    title, detail = PROBLEMS[error.code]
    members = dict(_EXTENSIONS.get(error.code, {}))
    if error is InvalidRequest:
        missing: dict[str, Any] = {"type": "missing", "loc": ("body", "user_id"), "input": {}}
        members["errors"] = validation_errors([missing], lang)
    return {
        "type": f"/problems/{error.code}",
        "code": error.code,
        "title": title.render(lang),
        "status": error.status,
        "detail": detail.render(lang, {**members, **_VALUES.get(error.code, {})}),
        "instance": "/…",
        "request_id": "0f8fad5bd9cb469fa165708a73d5b3f9",
        **members,
    }
