"""Refusals in the API documents: each with its example in both languages, from the one catalogue."""

from typing import Any, Final

from chassis.catalogue import LANGUAGES, PROBLEMS
from chassis.errors import (
    InvalidRequest,
    MalformedJson,
    Overloaded,
    PayloadTooLarge,
    ServiceError,
)

_MEDIA_TYPE: Final = "application/problem+json"
_ALWAYS: Final[tuple[type[ServiceError], ...]] = (
    MalformedJson,
    PayloadTooLarge,
    InvalidRequest,
    Overloaded,
)

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


def refusals(*errors: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """`responses=` for a route: every refusal in `errors`, plus those any route with a body may give."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for error in (*errors, *_ALWAYS):
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
            title, detail = PROBLEMS[error.code]
            examples[f"{error.code}.{lang}"] = {
                "summary": title.render(lang),
                "value": {
                    "type": f"/problems/{error.code}",
                    "code": error.code,
                    "title": title.render(lang),
                    "status": error.status,
                    "detail": detail.render(lang),
                    "instance": "/…",
                    "request_id": "0f8fad5bd9cb469fa165708a73d5b3f9",
                },
            }
    return by_status
