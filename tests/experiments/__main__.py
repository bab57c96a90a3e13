"""Every experiment by both runners, and with rules broken: `python -m tests.experiments [NAME …]`.

Each runner has meshes of its own; what they say of a file must be the same, step by step. Then rules of the services
are broken, one at a time, and the fitting experiment must fail in both. Exit code 1 if anything is not so.
"""

import asyncio
import contextlib
import itertools
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from chaos import topology
from chaos.experiment.files import EXPERIMENTS, names
from chaos.experiment.journal import held
from chaos.stack import Stack
from tests.experiments.broken_service import NEVER_AGAIN
from tests.experiments.toolkit import Ran, by_ours, by_toolkit, paths_by_toolkit, toolkit
from tests.support import free_base_port
from tests.unit.chaos.experiment.paths import CASES, DOCUMENT

STATES = ("before", "after")

MESHES = 4
"""So many at once: most of an experiment is waiting."""


@dataclass(frozen=True)
class Control:
    """A rule broken in a service, and the experiment that must find it.

    Attributes:
        words: Of the rule, in tests/controls.
        red: What the audit of the steady state says: numbers that are broken; none where the mesh gets no rest.
        gate: Whether it is found before anything is broken on purpose.
    """

    experiment: str
    service: str
    words: str
    red: frozenset[str]
    gate: bool = False


CONTROLS = (
    Control("load", "inventory", "seats are claimed only while free", frozenset({"I2"})),
    Control("race", "inventory", "seats are claimed only while free", frozenset(), gate=True),
    Control("slow-payments", "payments", "a cancelled payment leaves", frozenset({"I12"})),
    Control(
        "crash-at",
        "reservations",
        "owed is committed with its cause",
        frozenset({"I14"}),
        gate=True,
    ),
    Control("notifications-down", "reservations", NEVER_AGAIN, frozenset()),
)


@contextlib.asynccontextmanager
async def mesh(control: Control | None = None) -> AsyncIterator[Stack]:
    """A mesh of its own, with a rule broken if one is given."""
    with tempfile.TemporaryDirectory(prefix="taquilla-experiments-") as name:
        data, files = Path(name), [topology.COMPOSE]
        if control is not None:
            command = ["python", "-m", "tests.experiments.broken_service"]
            command += [control.service, control.words]
            overlay = {"services": {control.service: {"command": command}}}
            files.append(data / "compose.broken.yaml")
            files[1].write_text(yaml.safe_dump(overlay), encoding="utf-8")
        async with Stack(base_port=free_base_port(), data=data, files=tuple(files)) as stack:
            yield stack


async def ours(name: str, stack: Stack) -> Ran:
    """By `taquilla chaos run`."""
    return await by_ours(EXPERIMENTS / f"{name}.yaml", stack.base_port, stack.data)


async def theirs(name: str, stack: Stack) -> Ran:
    """By the Chaos Toolkit."""
    return await by_toolkit(EXPERIMENTS / f"{name}.yaml", stack.url("gateway"), stack.data)


def verdict(ran: Ran) -> dict[str, Any]:
    """All that two runners must agree on."""
    journal = ran.journal
    states = {when: journal["steady_states"][when] for when in STATES}
    return {
        "held": held(journal),
        "status": journal["status"],
        "deviated": journal["deviated"],
        "met": {when: state and state["steady_state_met"] for when, state in states.items()},
        "probes": {
            when: [(one["status"], one["tolerance_met"]) for one in state["probes"]]
            for when, state in states.items()
            if state
        },
        "run": [one["status"] for one in journal["run"]],
        "rollbacks": [one["status"] for one in journal["rollbacks"]],
    }


def red(ran: Ran) -> set[str]:
    """Numbers that the last audit of a steady state found broken."""
    states = [ran.journal["steady_states"][when] for when in STATES]
    outputs = [one["output"] for state in states if state for one in state["probes"]]
    audits = [one["body"] for one in outputs if one and "invariants" in one["body"]]
    return (
        {one["number"] for one in audits[-1]["invariants"] if one["ok"] is False}
        if audits
        else set()
    )


async def all_by(run: Any, chosen: Sequence[str]) -> dict[str, Ran]:
    """All of them, on two meshes that share them: most of an experiment is waiting."""
    halves = await asyncio.gather(*(_in_turn(run, half) for half in (chosen[::2], chosen[1::2])))
    return halves[0] | halves[1]


async def _in_turn(run: Any, chosen: Sequence[str]) -> dict[str, Ran]:
    async with mesh() as stack:
        return {name: await run(name, stack) for name in chosen}


async def compared(chosen: Sequence[str]) -> list[str]:
    """What is wrong with healthy services, one line each."""
    mine, real = await asyncio.gather(all_by(ours, chosen), all_by(theirs, chosen))
    wrong = []
    for name in chosen:
        pair = verdict(mine[name]), verdict(real[name])
        click.echo(f"{name:<20} taquilla {words(mine[name])}   chaostoolkit {words(real[name])}")
        if pair[0] != pair[1]:
            wrong.append(f"{name}: {pair[0]} != {pair[1]}")
        elif not pair[0]["held"] or (mine[name].exit_code, real[name].exit_code) != (0, 0):
            wrong.append(f"{name}: {pair[0]}\n{mine[name].output}\n{real[name].output[-3000:]}")
    return wrong


async def paths() -> list[str]:
    """JSON paths that mean something else there than here."""
    found = await paths_by_toolkit(DOCUMENT, [path for path, _ in CASES])
    pairs = zip(CASES, found, strict=True)
    return [f"{path}: {values} != {other}" for (path, values), other in pairs if values != other]


async def controlled(control: Control, title: str, run: Any, room: asyncio.Semaphore) -> list[str]:
    """What is wrong when a rule is broken: that a runner does not see it."""
    async with room, mesh(control) as stack:
        ran = await run(control.experiment, stack)
    found, numbers = verdict(ran), sorted(red(ran))
    click.echo(f"{control.experiment:<20} {title} {words(ran)}   {control.words}  {numbers}")
    # The Chaos Toolkit ends with 0 where the steady state did not hold to begin with: the journal says it.
    code = 0 if control.gate and run is theirs else 1
    seen = not found["held"] and found["met"]["before"] is not control.gate
    if seen and ran.exit_code == code and control.red <= set(numbers):
        return []
    return [f"{control.experiment} by {title}: {ran.exit_code} {found} {numbers}\n{ran.output}"]


def words(ran: Ran) -> str:
    """A run in two words."""
    return f"{'✓' if held(ran.journal) else '✗'} {ran.journal['duration']:5.1f} s"


async def main(chosen: Sequence[str]) -> int:
    """All of it; the exit code."""
    toolkit()
    wrong = await paths()
    wrong += await compared(chosen or names())
    room = asyncio.Semaphore(MESHES)
    tasks = [
        controlled(control, title, run, room)
        for control in CONTROLS
        if control.experiment in (chosen or names())
        for title, run in (("taquilla", ours), ("chaostoolkit", theirs))
    ]
    wrong += itertools.chain(*await asyncio.gather(*tasks))
    for one in wrong:
        click.secho(one, fg="red")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
