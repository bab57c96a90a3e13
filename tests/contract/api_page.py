"""docs/api.md, written from the API documents: `python -m tests.contract.api_page` renews it."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from chassis.openapi import ALWAYS
from tests.contract.schema import examples_of
from tests.contract.test_openapi import SERVICES, document

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"

PLACES = {
    "reservation_id": "r1f0c7d9a4b6e8325d17c09be2fa4d318",
    "event_id": "concert-01",
    "service": "inventory",
    "fault": "latency",
    "payment_ref": "r1f0c7d9a4b6e8325d17c09be2fa4d318.1",
    "notification_id": "r1f0c7d9a4b6e8325d17c09be2fa4d318.confirmed",
}
"""What stands in the paths of the examples."""

HEADERS = {
    "Idempotency-Key": "compra-de-ana-0001",
    "X-Manage-Token": "b1946ac92492d2347c6235b4d2611184",
    "Last-Event-ID": "41",
}
"""Headers that an example sends where an operation takes them."""

INTRO = """\
# The API

Written from the OpenAPI documents of the five services by `python -m tests.contract.api_page`;
a test keeps it current and plays every command. The same can be tried at `/docs` on the gateway:
pick a service, open an operation, *Execute*. What a class can do with it: [the guides](guide/README.md).

Each operation has a name and a purpose in Spanish and English. Answers are JSON. Refusals are problem
documents (RFC 9457) with a stable `code`, in Spanish or, with `Accept-Language: en`, in English;
[errors.md](errors.md) says of each what became of money and seat. Ports are those of `make up`. In the
lab everything below also answers on the gateway's port, under `/svc/<service>`.

Besides its own refusals, an operation may always say:

| status | code | what it says |
|---|---|---|
"""

COMMON = {error.code for error in ALWAYS}
PORTS = {service: 5000 + number for number, service in enumerate(SERVICES)}
WIDTH = 110


INDEX = """
## Operations

| service | operation | what it is for |
|---|---|---|
"""


class Request(NamedTuple):
    """One example request; `body` is None without one."""

    method: str
    template: str
    path: str
    headers: dict[str, str]
    body: Any
    operation: dict[str, Any]


def requests(service: str) -> Iterator[Request]:
    """Every example request of a service."""
    whole = document(service)
    for template, methods in whole["paths"].items():
        for method, operation in methods.items():
            path = re.sub(r"\{(\w+)\}", lambda place: PLACES[place[1]], template)
            named = [
                one["name"] for one in operation.get("parameters", ()) if one["in"] == "header"
            ]
            headers = {name: HEADERS[name] for name in named}
            content = operation.get("requestBody", {}).get("content", {})
            bodies = examples_of(content["application/json"], whole) if content else [None]
            for body in bodies:
                yield Request(method.upper(), template, path, headers, body, operation)


def curl(port: int, one: Request) -> str:
    """The command for one example request."""
    implied = "GET" if one.body is None else "POST"
    words = ["curl", "-N" if one.path == "/api/live" else "-i"]
    words += [] if one.method == implied else ["-X", one.method]
    lines = [" ".join([*words, f"http://127.0.0.1:{port}{one.path}"])]
    lines += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in one.headers.items()]
    if one.body is not None:
        lines.append("-H 'Content-Type: application/json'")
        lines.append(f"-d {shlex.quote(json.dumps(one.body, ensure_ascii=False))}")
    return " \\\n  ".join(lines)


def page() -> str:
    """The whole of docs/api.md."""
    documents = {service: document(service) for service in SERVICES}
    shared = set.intersection(*(set(one["paths"]) for one in documents.values()))
    first = documents["gateway"]["paths"]["/api/reserve"]["post"]
    always = [row for code, row in _refusals(first) if code in COMMON]
    index, parts = [], []
    for service, port in PORTS.items():
        parts.append(f"\n## {service}\n\n{documents[service]['info']['summary']}.\n")
        own = list(_operations(service, port, set(documents[service]["paths"]) - shared))
        parts += own
        index += own
    parts.append("\n## Every service\n\nOn each of the five ports; the examples ask the gateway.\n")
    everywhere = list(_operations("every service", PORTS["gateway"], shared))
    contents = "".join(_line(one) for one in [*index, *everywhere])
    return "".join([INTRO, *always, INDEX, contents, *parts, *everywhere])


def _line(operation: str) -> str:
    """A row of the index for the text of an operation."""
    title, name, summary = re.findall(
        r"^### (.+: `(.+)`)$\n\n\*\*(.+)\*\*$", operation, re.MULTILINE
    )[0]
    anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
    return f"| {title.partition(':')[0]} | [`{name}`](#{anchor}) | {summary} |\n"


def _operations(service: str, port: int, wanted: set[str]) -> Iterator[str]:
    asked = service if service in PORTS else "gateway"
    whole, seen = document(asked), ""
    for one in requests(asked):
        name = f"{one.method} {one.template}"
        if name == seen or one.template not in wanted:  # its first example is enough
            continue
        seen = name
        yield "".join([*_described(service, port, one), *_answers(one.operation, whole)])


def _described(service: str, port: int, one: Request) -> Iterator[str]:
    spanish, english = one.operation["description"].split(" · ")
    yield f"\n### {service}: `{one.method} {one.template}`\n\n**{one.operation['summary']}**\n"
    yield f"\n{spanish.rstrip('.')}.\n{english.rstrip('.')}.\n\n"
    yield f"```sh\n{curl(port, one)}\n```\n"


def _answers(operation: dict[str, Any], whole: dict[str, Any]) -> Iterator[str]:
    for status, response in operation["responses"].items():
        for kind, media in response["content"].items():
            if kind == "application/problem+json":
                continue
            shown = examples_of(media, whole)[0]
            text = pretty(shown) if kind == "application/json" else shown.rstrip()
            language = "json" if kind == "application/json" else "text"
            yield f"\n{status} · {response['description']}\n\n```{language}\n{text}\n```\n"
    rows = [row for code, row in _refusals(operation) if code not in COMMON]
    if rows:
        yield f"\n| status | code | what it says |\n|---|---|---|\n{''.join(rows)}"


def _refusals(operation: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(code, row of the table), by status."""
    for status, response in sorted(operation["responses"].items()):
        problem = response["content"].get("application/problem+json", {})
        details: dict[str, list[str]] = {}
        for example in problem.get("examples", {}).values():
            details.setdefault(example["value"]["code"], []).append(example["value"]["detail"])
        for code, told in details.items():
            yield code, f"| {status} | `{code}` | {' · '.join(told)} |\n"


def pretty(value: Any, indent: str = "", before: int = 0) -> str:
    """JSON whose parts stand on one line where they fit."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(indent) + before + len(flat) <= WIDTH or not isinstance(value, dict | list) or not value:
        return flat
    deeper = f"{indent}  "
    if isinstance(value, dict):
        names = {name: json.dumps(name) + ": " for name in value}
        parts = [names[one] + pretty(value[one], deeper, len(names[one])) for one in value]
    else:
        parts = [pretty(item, deeper) for item in value]
    body = f",\n{deeper}".join(parts)
    left, right = "{}" if isinstance(value, dict) else "[]"
    return f"{left}\n{deeper}{body}\n{indent}{right}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
