#!/usr/bin/env python3
"""How fast the mesh is, next to empty meshes and to one as courses build it: the yardstick, in one run.

    python3 -m bench.mesh [--quick] [--json] [--write] [--svg] [--check]

Seven meshes of five processes each live side by side on this machine; every round loads one after the other, so that a
slow moment of the machine hits all of them. Absolute figures are this machine's; the ratios are the result, each the
median over the rounds of a quotient within one round.

CPU per reservation is everything a mesh does from the first request until it is quiet again, captures and notices
included. The load generator shares the cores with whom it measures, for all alike.

Not here: what a mesh is (`meshes.py`, `null_mesh.py`, `course_style.py`), how it is loaded (`loadgen.py`).
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from bench.mesh_tables import (
    CPU_HEADINGS,
    HEADINGS,
    Entrant,
    Result,
    Start,
    as_data,
    claims,
    cpu_rows,
    notes,
    picture,
    rows,
)
from bench.meshes import (
    Peers,
    Running,
    five_of,
    fsyncs_ms,
    measure,
    ours,
    peers,
    serial_commits,
)
from bench.peers import ROOT
from bench.policies import as_markdown, as_text, in_words, machine, parser, write
from bench.targets import keep, table
from chaos.stack import NotReady
from chassis.settings import ServiceSettings

PICTURE: Final = ROOT / "docs" / "pictures" / "mesh.svg"
PICTURED: Final = "Reservations per second of all meshes"
HOME: Final = ROOT / "var" / "bench"
"""Where our mesh keeps its data meanwhile: on the disk that it usually has, which /tmp may not be."""

CALLERS: Final = (1, 16, 64)
ALL_CLAIMS: Final = 9  # a claim that could not be judged does not hold
BUDGET_S: Final = 330.0
"""No round begins that could end later than this after the start, seconds."""


# --------------------------------------------------------------------------- who takes part
def entrants(there: Peers, folder: Path, most_callers: int) -> dict[str, Entrant]:
    """All meshes; those that cannot run say why."""
    here = Path(sys.executable)
    aiohttp_lacks = there.lacks("fastapi", "uvicorn", "uvloop", "httptools", "httpx-aiohttp")
    flask_lacks = there.lacks("flask", "waitress", "requests")
    other = there.python or here

    def null(wire: str, python: Path) -> Start:
        return lambda: five_of("bench.null_mesh", ["--wire", wire], python, _new(folder / wire))

    def course(framework: str, python: Path) -> Start:
        chosen = ["--framework", framework, "--limit", str(most_callers)]
        return lambda: five_of("bench.course_style", chosen, python, _new(folder / framework))

    found = (
        Entrant("httpx", "empty, httpx", null("httpx", here)),
        Entrant("aiohttp", "empty, httpx-aiohttp", null("httpx-aiohttp", other), aiohttp_lacks),
        Entrant("adapter", "empty, aiohttp, lean", null("adapter", other), aiohttp_lacks),
        Entrant("own", "empty, our wire", null("own", here)),
        Entrant("ours", f"**Taquilla**{_wire()}", lambda: ours(folder / "data", most_callers)),
        Entrant("flask", "course: Flask, requests", course("flask", other), flask_lacks),
        Entrant("def", "course: FastAPI with def", course("fastapi", here)),
    )
    return {one.key: one for one in found}


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _wire() -> str:
    """What lies under our services' calls, where it is not our own wire: a row must not claim what was not there."""
    wire = ServiceSettings().wire  # read here as our services read it
    return "" if wire == "own" else f", {wire}'s transport"


# --------------------------------------------------------------------------- measuring
async def run(result: Result, data: Path, *, rounds: int) -> None:
    """Start all, load each in turn, stop all.

    Args:
        result: Filled in.
        data: Our mesh's data folder.
        rounds: How many, if there is time for all of them.
    """
    began_s, longest_s, warm_up_s = time.perf_counter(), 0.0, min(0.8, result.seconds / 3)
    async with AsyncExitStack() as stack:
        meshes = await _started(stack, result.entrants.values())
        if "ours" in meshes:
            result.commits = await serial_commits(meshes["ours"])
        for one in meshes.values():  # pools, caches and pages of all of them
            await measure(one, max(result.callers), warm_up_s, 0.0)
        while result.rounds < rounds:
            round_s = time.perf_counter()
            if round_s - began_s + longest_s > BUDGET_S:
                break
            result.fsyncs_ms += fsyncs_ms(data)
            for callers in result.callers:
                for key, one in meshes.items():
                    stretch = await measure(one, callers, result.seconds, warm_up_s)
                    result.entrants[key].stretches.setdefault(callers, []).append(stretch)
            result.rounds += 1
            longest_s = max(longest_s, time.perf_counter() - round_s)


async def _started(stack: AsyncExitStack, all_of: Iterable[Entrant]) -> dict[str, Running]:
    meshes = {}
    for entrant in all_of:
        if entrant.why_not:
            continue
        try:
            meshes[entrant.key] = await stack.enter_async_context(entrant.start())
        except (RuntimeError, NotReady, OSError) as error:
            entrant.why_not = in_words(error)
    return meshes


# --------------------------------------------------------------------------- the command
def options() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__)
    made.add_argument("--quick", action="store_true", help="2 rounds of 1.5 s, not 3 of 3 s")
    made.add_argument("--svg", action="store_true", help="draw the picture, too")
    made.add_argument("--rounds", type=int, help="how many, at most")
    made.add_argument("--seconds", type=float, help="length of each stretch")
    made.add_argument("--callers", default=",".join(map(str, CALLERS)), help="levels of load")
    made.add_argument("--only", default="", help="keys of meshes, separated by commas")
    return made.parse_args()


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's, which costs a load generator less."""
    import uvloop  # noqa: PLC0415 - not on Windows, where nothing here runs

    return uvloop.new_event_loop()


def main() -> int:
    """Measure and tell."""
    chosen = options()
    if sys.platform != "linux":
        print("not run: CPU time of another process is told by Linux only")
        return 0
    rounds = chosen.rounds or (2 if chosen.quick else 3)
    seconds = chosen.seconds or (1.5 if chosen.quick else 3.0)
    callers = [int(one) for one in chosen.callers.split(",")]
    here, there = machine(), peers()
    HOME.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mesh-", dir=HOME) as name:
        folder = Path(name)
        result = Result(here, seconds, entrants(there, folder, max(callers)), callers)
        for key, one in result.entrants.items():
            if chosen.only and key not in chosen.only.split(","):
                one.why_not = "left out"
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(run(result, _new(folder / "data"), rounds=rounds))
    tell(result, chosen)
    held = [one.holds for one in claims(result)]
    return 1 if chosen.check and (len(held) < ALL_CLAIMS or not all(held)) else 0


def tell(result: Result, chosen: argparse.Namespace) -> None:
    """Print, write and draw what was asked for."""
    middle = 16 if 16 in result.callers else result.callers[-1]
    said = table(claims(result))
    tables = [(HEADINGS, list(rows(result))), (CPU_HEADINGS, list(cpu_rows(result, middle)))]
    if chosen.json:
        print(json.dumps(as_data(result), ensure_ascii=False, indent=1))
    else:
        print(
            result.here,
            *(as_text(*table) for table in tables),
            notes(result),
            as_text(*said),
            sep="\n\n",
        )
    if chosen.write:
        parts = [*(as_markdown(*t) for t in tables), notes(result), as_markdown(*said)]
        if chosen.svg:
            parts.append(f"![{PICTURED}](pictures/{PICTURE.name})")
        write("mesh", result.here, parts)
        keep("mesh", claims(result))
    if chosen.svg:
        PICTURE.write_text(picture(result, middle), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
