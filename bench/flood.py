#!/usr/bin/env python3
"""A crowd of up to ten times what fits: what our gateway and a service of ours do about it, beside Envoy and nginx.

    python3 -m bench.flood [--quick] [--json] [--write] [--svg] [--check] [--only gateway,service] [--peers]

Every protection stands before a backend of its own, which waits 10 ms and takes 2 ms of core 0; the front shares core 1
with the crowd. Rounds go through all protections, so that a slow moment of the machine hits none of them alone. The
peers need `--peers`: Envoy is 100 MB to install, nginx must be there.

Not here: the crowd (`openloop.py`), what is started (`fronts.py`), how it is told (`flood_tables.py`).
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from bench import fronts, openloop
from bench.flood_tables import (
    HEADINGS,
    HOP_HEADINGS,
    Entrant,
    Result,
    Stretch,
    as_data,
    claims,
    hop_rows,
    notes,
    picture,
    rows,
)
from bench.fronts import Command, Process
from bench.loadgen import closed_loop
from bench.meshes import cpu_s
from bench.peers import ROOT
from bench.policies import as_markdown, as_text, in_words, machine, parser, write
from bench.targets import keep, table

PICTURE: Final = ROOT / "docs" / "pictures" / "flood.svg"
LEVELS: Final = (0.5, 1.0, 2.0, 5.0, 10.0)

_CALLERS: Final = 16  # they saturate the backend and stay below every limit
_CAPACITY_S, _HOP_S, _WARM_UP_S = 1.5, 3.0, 1.0


# --------------------------------------------------------------------------- who takes part
def entrants(*, with_peers: bool) -> dict[str, Entrant]:
    """All protections; those that cannot run say why."""
    ours = fronts.gateway("adaptive")
    found = [
        Entrant("none", "none", "stub", None),
        Entrant("gateway", "**our gateway**", "stub", ours, fronts.gateway("1000")),
        Entrant("service", "**a service's own limit**", "service", None),
    ]
    for key, name, build in (("envoy", "Envoy, adaptive", _envoy), ("nginx", "nginx", _nginx)):
        peer = Entrant(key, name, "stub", None, why_not="" if with_peers else "without --peers")
        found.append(peer)
        try:
            if with_peers:
                peer.front, peer.plain = build()
        except (RuntimeError, OSError) as error:
            peer.why_not = in_words(error)
    return {one.key: one for one in found}


def _envoy() -> tuple[Command, Command]:
    binary = fronts.envoy_binary()
    return fronts.envoy(binary, adaptive=True), fronts.envoy(binary, adaptive=False)


def _nginx() -> tuple[Command, Command]:
    command = fronts.nginx(fronts.nginx_binary())
    return command, command


# --------------------------------------------------------------------------- measuring
async def run(result: Result, rounds: int) -> None:
    """All rounds."""
    os.sched_setaffinity(0, {fronts.FRONT_CORE})
    for _ in range(rounds):
        for one in result.entrants.values():
            if one.why_not:
                continue
            try:
                await _flood(result, one)
                await _hop(one)
            except (RuntimeError, OSError) as error:
                one.why_not = in_words(error)
        result.rounds += 1


async def _flood(result: Result, one: Entrant) -> None:
    async with _pair(one.front, fronts.backend(one.backend)) as (backend, front):
        for level in result.levels:
            load = await closed_loop(backend.port, _CALLERS, _CAPACITY_S, 0.3)
            if not load.flows:
                raise RuntimeError(f"the backend answers {load.errors.most_common(1)}")
            began_s, before_s = time.perf_counter(), _cpu_s(front.pid)
            rate_per_s = load.per_s * level
            crowd = await openloop.flood(front.port, rate_per_s, result.seconds, _WARM_UP_S)
            core = (_cpu_s(front.pid) - before_s) / (time.perf_counter() - began_s)
            one.stretches.setdefault(level, []).append(Stretch(crowd, load.per_s, core))


async def _hop(one: Entrant) -> None:
    """What forwarding costs where the backend does nothing and nobody is refused."""
    if one.plain is None:
        return
    async with _pair(one.plain, fronts.backend("stub", 0.0, 0.0)) as (_, front):
        await closed_loop(front.port, _CALLERS, 0.5, 0.5)
        before_s = _cpu_s(front.pid)
        load = await closed_loop(front.port, _CALLERS, _HOP_S, 0.0)
        if load.all_flows:
            one.hop_us.append((_cpu_s(front.pid) - before_s) * 1e6 / load.all_flows)


@asynccontextmanager
async def _pair(front: Command | None, back: Command) -> AsyncIterator[tuple[Process, Process]]:
    """A backend and what stands before it, if anything does."""
    with tempfile.TemporaryDirectory(prefix="flood-") as name:
        folders = [Path(name) / part for part in ("back", "front")]
        for folder in folders:
            folder.mkdir()
        async with fronts.running(back, fronts.BACKEND_CORE, folders[0]) as backend:
            if front is None:
                yield backend, backend
                return
            where = (fronts.FRONT_CORE, folders[1], backend.port)
            async with fronts.running(front, *where) as before:
                yield backend, before


def _cpu_s(pid: int) -> float:
    """CPU time of a process and of its children, which nginx works with, seconds."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return sum(cpu_s(one) for one in (pid, *map(int, children)))


# --------------------------------------------------------------------------- the command
def options() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__)
    made.add_argument("--quick", action="store_true", help="1 round of 2 s for each level")
    made.add_argument("--svg", action="store_true", help="draw the picture, too")
    made.add_argument("--peers", action="store_true", help="Envoy and nginx, too")
    made.add_argument("--rounds", type=int, help="how many")
    made.add_argument("--seconds", type=float, help="length of each stretch")
    made.add_argument("--levels", default=",".join(map(str, LEVELS)), help="loads ÷ capacity")
    made.add_argument("--only", default="", help="keys of protections, separated by commas")
    return made.parse_args()


def main() -> int:
    """Measure and tell."""
    chosen = options()
    if sys.platform != "linux" or (os.cpu_count() or 1) < 2:
        print("not run: needs Linux and two cores")
        return 0
    seconds = chosen.seconds or (2.0 if chosen.quick else 4.0)
    levels = [float(one) for one in chosen.levels.split(",")]
    result = Result(machine(), seconds, levels, entrants(with_peers=chosen.peers))
    for key, one in result.entrants.items():
        if chosen.only and key not in chosen.only.split(","):
            one.why_not = "left out"
    rounds = chosen.rounds or (1 if chosen.quick else 3)
    with asyncio.Runner(loop_factory=_loop()) as runner:
        runner.run(run(result, rounds))
    tell(result, chosen)
    held = [one.holds for one in claims(result)]
    return 1 if chosen.check and not (held and all(held)) else 0


def _loop() -> Callable[[], asyncio.AbstractEventLoop]:
    import uvloop  # noqa: PLC0415 - not on Windows, where nothing here runs

    return uvloop.new_event_loop


def tell(result: Result, chosen: argparse.Namespace) -> None:
    """Print, write and draw what was asked for."""
    tables = [(HEADINGS, list(rows(result))), (HOP_HEADINGS, list(hop_rows(result)))]
    said = table(claims(result))
    if chosen.json:
        print(json.dumps(as_data(result), ensure_ascii=False, indent=1))
    else:
        texts = [as_text(*one) for one in (*tables, said)]
        print(result.here, *texts, notes(result), sep="\n\n")
    if chosen.write:
        parts = [*(as_markdown(*one) for one in tables), notes(result), as_markdown(*said)]
        write("flood", result.here, parts)
        keep("flood", claims(result))
    if chosen.svg and result.measured():
        PICTURE.write_text(picture(result), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
