"""One control for a class to watch: what is broken, what happens, and what the auditor says of right and broken code.

    python -m tests.controls                      lists them
    python -m tests.controls leaves a tombstone   plays the one whose rule has these words

Everything runs in this process on virtual time and in a folder that is removed. Exit code 0: green with right code and
red where it should be with broken code; 1: not so; 2: no such rule, or several.
"""

import difflib
import inspect
import logging
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import click
import structlog

from chaos.audit import Report
from resilience.testing import run_virtual
from tests.controls.broken import Broken
from tests.controls.controls import CONTROLS, Control
from tests.controls.world import world

MOST = 1500
"""Characters shown of what stands there instead."""


async def audited(control: Control, data: Path, broken: Sequence[Broken]) -> Report:
    """The auditor's report after the control's scenario, with `broken` rules."""
    with ExitStack() as stack:
        for one in broken:
            stack.enter_context(one)
        async with world(data, **control.settings) as w:
            await control.scenario(w)
            return await w.verdict(control.rest_s)


def found(words: Sequence[str]) -> list[Control]:
    """The controls whose rule has all of `words`, one after the other."""
    return [one for one in CONTROLS if " ".join(words).lower() in one.rule.lower()]


def picture(broken: Broken) -> str:
    """What is changed, as a diff; the new source where all of it is new."""
    name = f"{getattr(broken._owner, '__module__', broken._owner.__name__)}.{broken._name}"
    if broken.edits is None:
        return f"{name}, instead:\n{textwrap.indent(text(broken._wrong)[:MOST], '+')}"
    right = wrong = text(broken._right)
    for old, new in broken.edits.items():
        wrong = wrong.replace(old, new)
    lines = difflib.unified_diff(
        right.splitlines(), wrong.splitlines(), name, f"{name} (broken)", lineterm="", n=2
    )
    return "\n".join(lines)


def text(thing: object) -> str:
    """Its source, or itself where it has none."""
    if inspect.isroutine(thing):
        return textwrap.dedent(inspect.getsource(thing))
    return thing if isinstance(thing, str) else repr(thing)


def show(title: str, report: Report) -> None:
    """The verdict, with what is red and why."""
    click.echo(f"\n{title}: {', '.join(report.red) or 'green · verde'}")
    for result in report.results:
        if not result.ok:
            click.echo(
                f"  ✗ {result.invariant.number} {result.invariant.es}\n    {result.invariant.en}"
            )
            for finding in result.findings[:5]:
                click.echo(f"      {finding.what}   {finding.facts}")


def play(control: Control) -> int:
    """Both runs, in words; the exit code."""
    click.echo(f"rule · regla: {control.rule}")
    story = inspect.getdoc(control.scenario) or control.scenario.__name__.replace("_", " ")
    click.echo(f"what happens · qué pasa: {story}\n")
    for broken in control.broken:
        click.echo(f"{picture(broken)}\n")
    reports = []
    for broken in (control.given, (*control.given, *control.broken)):
        with tempfile.TemporaryDirectory() as data:
            reports.append(run_virtual(audited(control, Path(data), broken)))
    right, wrong = reports
    show("right code · código correcto", right)
    show("broken code · código roto", wrong)
    return 0 if right.ok and control.red <= set(wrong.red) else 1


def main(words: Sequence[str]) -> int:
    """List, or play one."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    chosen = found(words)
    if not words or len(chosen) != 1:
        for one in chosen or CONTROLS:
            click.echo(f"{'+'.join(sorted(one.red)):<12} {one.rule}")
        return 0 if not words else 2
    return play(chosen[0])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
