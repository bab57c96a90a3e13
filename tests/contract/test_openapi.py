"""The wire of the five services as pinned in tests/contract/openapi: paths, schemas, statuses and codes, without prose.

Renew them with `python -m tests.contract.test_openapi` after a change that is meant.
"""

import importlib
import json
from pathlib import Path

import pytest

from chassis import runtime

SERVICES = ("gateway", "reservations", "inventory", "payments", "notifications")
PROSE = {"description", "summary", "examples", "example", "title", "tags", "operationId", "openapi"}
PINS = Path(__file__).parent / "openapi"


def document(service, tmp_path=Path("unused")):
    module = importlib.import_module(f"{service}.app")
    settings = module.Settings(data_dir=tmp_path, chaos_enabled=True)
    nowhere = dict.fromkeys(SERVICES)
    return module.create_app(settings, runtime.simulated(1, nowhere)).openapi()


def wire(node):
    """A document without its prose; of a problem's examples only the codes stay."""
    if isinstance(node, list):
        return [wire(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {}
    for name, value in node.items():
        if name == "application/problem+json":
            kept[name] = sorted(
                {example.partition(".")[0] for example in value.get("examples", ())}
            )
        elif name not in PROSE or (name == "title" and isinstance(value, dict)):
            kept[name] = wire(value)
    return kept


def operations(service):
    for path, methods in document(service)["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


@pytest.mark.parametrize("service", SERVICES)
def test_the_wire_is_as_pinned(service):
    pinned = json.loads((PINS / f"{service}.json").read_text(encoding="utf-8"))
    assert wire(document(service)) == pinned


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_has_a_bilingual_summary(service):
    for name, operation in operations(service):
        assert operation.get("summary"), name
        assert " · " in operation["summary"], name


@pytest.mark.parametrize("service", SERVICES)
def test_every_refusal_is_documented_with_an_example(service):
    for name, operation in operations(service):
        for status, response in operation["responses"].items():
            problem = response.get("content", {}).get("application/problem+json")
            if problem and "/chaos" not in name:
                assert problem["examples"], f"{name} {status}"


@pytest.mark.parametrize("service", SERVICES)
def test_every_link_leads_to_an_operation_that_takes_what_it_says(service):
    found = {operation["operationId"]: operation for _, operation in operations(service)}
    for name, operation in operations(service):
        for response in operation["responses"].values():
            for link in response.get("links", {}).values():
                there = found[link["operationId"]]
                takes = {one["name"] for one in there.get("parameters", ())}
                assert set(link["parameters"]) <= takes, name
                assert ("requestBody" in link) <= ("requestBody" in there), name


if __name__ == "__main__":
    PINS.mkdir(exist_ok=True)
    for service in SERVICES:
        text = json.dumps(wire(document(service)), indent=1, ensure_ascii=False, sort_keys=True)
        (PINS / f"{service}.json").write_text(text + "\n", encoding="utf-8")
