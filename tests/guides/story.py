"""What a guide tells, read from docs/guides.toml: steps with their answers, quotes of the code, and a control."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "docs" / "guides.toml"


@dataclass(frozen=True)
class Step:
    """One command and what it is answered with; the fields are told at the top of the file."""

    id: str
    run: str
    exit: int = 0
    status: int | None = None
    code: str | None = None
    has: Mapping[str, Any] = field(default_factory=dict)
    prints: tuple[str, ...] = ()
    shows: str = ""
    within_s: float | None = None
    repeat_s: float = 0.0


@dataclass(frozen=True)
class Quote:
    """Lines of a file."""

    file: str
    text: str


@dataclass(frozen=True)
class Control:
    """Words of a rule in tests/controls, and the invariants that turn red when it is broken."""

    words: str
    red: tuple[str, ...]


@dataclass(frozen=True)
class Scenario:
    """One guide; `guia` and `guide` are the names of its pages."""

    name: str
    guia: str
    guide: str
    steps: Mapping[str, Step]
    quotes: Mapping[str, Quote]
    control: Control


def scenarios() -> list[Scenario]:
    """All guides, in course order."""
    found = tomllib.loads(SOURCE.read_text(encoding="utf-8"))
    return [_scenario(one) for one in found["scenario"]]


def _scenario(one: dict[str, Any]) -> Scenario:
    steps = [
        Step(**{**step, "run": step["run"].strip(), "prints": tuple(step.get("prints", ()))})
        for step in one["step"]
    ]
    assert len({step.id for step in steps}) == len(steps), f"{one['name']}: a step twice"
    return Scenario(
        name=one["name"],
        guia=one["guia"],
        guide=one["guide"],
        steps={step.id: step for step in steps},
        quotes={name: Quote(**quote) for name, quote in one["quote"].items()},
        control=Control(one["control"]["words"], tuple(one["control"]["red"])),
    )


def member(answer: Any, path: str) -> Any:
    """The part of a JSON answer at a dotted path; KeyError or IndexError where there is none."""
    for part in path.split("."):
        answer = answer[int(part)] if isinstance(answer, list) else answer[part]
    return answer


def unmatched(step: Step, output: str) -> list[str]:
    """Which of `prints` an output does not have."""
    return [one for one in step.prints if not re.search(one, output, re.MULTILINE | re.DOTALL)]
