"""The pages about the policies: every Python block runs and asserts something, every table agrees with the code."""

import ast
import dataclasses
import inspect
import re
from pathlib import Path

import pytest

import resilience
from resilience import Policy, Shield, deadline
from resilience.events import KINDS
from resilience.testing import run_virtual

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted((ROOT / "docs" / "policies").glob("*.md"))
README = next(
    path
    for folder in ("resilience", "docs")  # the second where the library is tested alone
    if (path := ROOT / folder / "README.md").exists()
)
HEADINGS = [
    "About",
    "When not to use it",
    "Usage",
    "Parameters",
    "Events",
    "Formula and source",
    "Anti-patterns",
]
BLOCKS = [
    pytest.param(block, id=f"{path.stem}-{number}")
    for path in [README, *PAGES]
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL), 1
    )
]
# What a page's tables describe, in order: where the defaults are, and which of them are told.
DESCRIBED = {
    "timeout": [(Policy, {"attempt_s"})],
    "deadline": [(deadline, None)],
    "retry": [(resilience.Retry, None), (resilience.Quota, None)],
    "breaker": [(resilience.Breaker, None)],
    "limit": [(resilience.Limit, None)],
    "hedge": [(resilience.Hedge, None)],
    "fallback": [(resilience.Fallback, None)],
    "rate_limit": [(resilience.RateLimit, None)],
    "balance": [(resilience.Balance, None)],
    "shield": [(Shield, set(inspect.signature(Shield).parameters) - {"app"}), (resilience.Queue, None)],
}  # fmt: skip

pages = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_runs_on_virtual_time_and_asserts_something(block):
    tree = ast.parse(block)
    assert any(isinstance(node, ast.Assert) for node in ast.walk(tree))
    code = compile(tree, "page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    async def page() -> None:
        names = {"__name__": "page"}
        result = eval(code, names)  # the page's own code: that is the point
        if inspect.isawaitable(result):
            await result

    run_virtual(page())


def test_there_is_a_page_for_each_policy():
    assert [path.stem for path in PAGES] == sorted(DESCRIBED)
    assert len(BLOCKS) >= len(PAGES)


@pages
def test_pages_have_the_same_headings(page):
    assert re.findall(r"^## (.+)$", page.read_text("utf-8"), re.MULTILINE) == HEADINGS


@pages
def test_tables_name_every_parameter_with_its_unit_and_default(page):
    text = section(page, "Parameters")
    tables = [table for table in re.split(r"^\| name .*$", text, flags=re.MULTILINE)[1:] if table]
    for table, (part, names) in zip(tables, DESCRIBED[page.stem], strict=True):
        rows = {
            name: (unit, default)
            for name, unit, default in re.findall(
                r"^\| `(\w+)` \| (.+?) \| (.+?) \|", table, re.MULTILINE
            )
        }
        assert {name: default for name, (_, default) in rows.items()} == defaults(part, names)
        assert all(unit for unit, _ in rows.values())


@pages
def test_pages_name_events_that_exist(page):
    named = re.findall(r"`(\w+_\w+)`", section(page, "Events"))
    assert {*named} - {*KINDS} <= {"probe_overdue"}  # a reason, not a kind


def test_every_kind_of_event_is_on_a_page():
    text = "".join(section(page, "Events") for page in PAGES)
    assert {kind for kind in KINDS if f"`{kind}`" not in text} == {"policy_replaced"}
    assert all(f"| `{kind}` |" in (inspect.getdoc(resilience.events) or "") for kind in KINDS)


def section(page: Path, title: str) -> str:
    found = re.search(
        rf"^## {title}$(.*?)(?=^## |\Z)", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found, f"{page.name} has no section {title}"
    return found[1]


def defaults(part: type, names: set[str] | None) -> dict[str, str]:
    """Parameters by name, with their defaults as the pages write them."""
    found = {}
    for name, parameter in inspect.signature(part).parameters.items():
        if names is not None and name not in names:
            continue
        value = parameter.default
        if dataclasses.is_dataclass(part):
            field = next(field for field in dataclasses.fields(part) if field.name == name)
            if field.default_factory is not dataclasses.MISSING:
                value = f"{field.default_factory.__name__}()"
                found[name] = f"`{value}`"
                continue
        found[name] = "–" if value is inspect.Parameter.empty else f"`{value!r}`"
    return found
