#!/usr/bin/env python3
"""What open pages cost the gateway: CPU by number of live streams, on an idle mesh and under load, and the first event.

    python3 -m bench.live [--quick] [--json] [--write] [--check]

One real mesh. Each round takes stretches without and with open streams one after the other, so that a slow moment of
the machine hits both. Under load the gateway also works for the callers: what the streams cost is its CPU time less
that of as many flows without them. Every figure is the median over the rounds.

Not here: what a page does with an event (`tests/browser`), the load (`loadgen.py`).
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from bench.loadgen import closed_loop
from bench.mesh import HOME, new_loop
from bench.meshes import Running, ours
from bench.policies import as_markdown, as_text, machine, parser, write
from bench.targets import Claim, keep, table

STREAMS: Final = (0, 1, 10, 50)
PAGES: Final = 10
"""How many open pages the target is about."""

CALLERS: Final = 16
WARM_UP_S: Final = 1.0
MOST_PERCENT: Final = 5.0
MOST_FIRST_S: Final = 1.0

HEADINGS: Final = (
    "páginas abiertas / open pages",
    "en reposo, % de un núcleo / idle, % of a core",
    f"además con {CALLERS} compradores / more with {CALLERS} callers",
    "eventos/s y página / events/s and page",
    "kB/s y página / kB/s and page",
)


@dataclass
class Stretch:
    """What a stretch of time came to.

    Attributes:
        cpu_s: CPU time of the gateway.
        wall_s: Its length.
        flows: Reservations sold meanwhile.
        events: Events that all streams got.
        size_bytes: Their bytes on the wire.
    """

    cpu_s: float
    wall_s: float
    flows: int = 0
    events: int = 0
    size_bytes: int = 0

    @property
    def percent(self) -> float:
        """Of one core."""
        return 100 * self.cpu_s / self.wall_s


@dataclass
class Result:
    """Everything measured, by number of streams.

    Attributes:
        idle: Stretches without load.
        busy: Stretches under load.
        first_s: From connecting to the first event, of a stream that nobody watched before it.
        next_s: The same, of one more stream.
    """

    here: str
    idle: dict[int, list[Stretch]] = field(default_factory=dict)
    busy: dict[int, list[Stretch]] = field(default_factory=dict)
    first_s: list[float] = field(default_factory=list)
    next_s: list[float] = field(default_factory=list)

    def idle_percent(self, streams: int) -> float:
        """CPU of the gateway while nothing happens, % of a core."""
        return statistics.median(one.percent for one in self.idle[streams])

    def more_percent(self, streams: int) -> float:
        """CPU of the gateway under load, less what as many flows cost it without streams in the same round."""
        pairs = zip(self.busy[0], self.busy[streams], strict=True)
        return statistics.median(
            100 * (one.cpu_s - alone.cpu_s / max(1, alone.flows) * one.flows) / one.wall_s
            for alone, one in pairs
        )


class Stream:
    """One open page: reads what comes and counts it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.events = self.size_bytes = 0
        self._writer = writer
        self._first = asyncio.Event()
        self._task = asyncio.create_task(self._read(reader))

    @classmethod
    async def open(cls, port: int) -> "Stream":
        """Ask for the stream."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /api/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        return cls(reader, writer)

    async def first(self) -> None:
        """Wait for the first event."""
        await asyncio.wait_for(self._first.wait(), 10)

    async def close(self) -> None:
        """Hang up."""
        self._task.cancel()
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while chunk := await reader.read(65_536):
            self.size_bytes += len(chunk)
            self.events += chunk.count(b"\r\nevent: ")
            if self.events:
                self._first.set()


@asynccontextmanager
async def opened(port: int, number: int) -> AsyncIterator[list[Stream]]:
    """So many open streams, each with its first event."""
    async with AsyncExitStack() as stack:
        streams = [await Stream.open(port) for _ in range(number)]
        for one in streams:
            stack.push_async_callback(one.close)
            await one.first()
        yield streams


async def stretch(mesh: Running, streams: int, seconds: float, *, callers: int) -> Stretch:
    """Measure for a while with so many streams and callers."""
    mesh.refill()
    await mesh.quiet()
    async with opened(mesh.port, streams) as pages:
        before = [(one.events, one.size_bytes) for one in pages]
        began_s, cpu_s = time.perf_counter(), mesh.cpu_s()["gateway"]
        flows = 0
        if callers:
            load = await closed_loop(mesh.port, callers, seconds, WARM_UP_S)
            flows = load.all_flows
        else:
            await asyncio.sleep(seconds)
        wall_s = time.perf_counter() - began_s
        used_s = mesh.cpu_s()["gateway"] - cpu_s
        events = sum(one.events for one in pages) - sum(events for events, _ in before)
        size_bytes = sum(one.size_bytes for one in pages) - sum(size for _, size in before)
        return Stretch(used_s, wall_s, flows, events, size_bytes)


async def first_events(mesh: Running) -> tuple[float, float]:
    """Seconds to the first event: of a page that comes alone, and of one that comes second."""
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(2):
            began_s = time.perf_counter()
            one = await Stream.open(mesh.port)
            stack.push_async_callback(one.close)
            await one.first()
            found.append(time.perf_counter() - began_s)
    return found[0], found[1]


async def run(result: Result, mesh: Running, *, rounds: int, seconds: float) -> None:
    """All rounds; `result` is filled."""
    await stretch(mesh, 1, 1.0, callers=CALLERS)  # pools and caches
    for _ in range(rounds):
        for streams in STREAMS:
            idle = await stretch(mesh, streams, seconds, callers=0)
            result.idle.setdefault(streams, []).append(idle)
        for streams in STREAMS:
            busy = await stretch(mesh, streams, seconds, callers=CALLERS)
            result.busy.setdefault(streams, []).append(busy)
        await mesh.quiet()
        for _ in range(5):
            first_s, next_s = await first_events(mesh)
            result.first_s.append(first_s)
            result.next_s.append(next_s)


# --------------------------------------------------------------------------- telling
def rows(result: Result) -> Iterator[list[str]]:
    """One per number of streams."""
    for streams in STREAMS:
        busy = result.busy[streams]
        of_all = max(1, streams)
        per_s = statistics.median(one.events / one.wall_s / of_all for one in busy)
        rate = statistics.median(one.size_bytes / one.wall_s / of_all / 1000 for one in busy)
        more = "–" if streams == 0 else f"{result.more_percent(streams):+.1f} %"
        yield [
            str(streams),
            f"{result.idle_percent(streams):.1f} %",
            more,
            f"{per_s:.1f}" if streams else "–",
            f"{rate:.1f}" if streams else "–",
        ]


def claims(result: Result) -> Iterator[Claim]:
    """The targets."""
    idle, more = result.idle_percent(PAGES), result.more_percent(PAGES)
    first_s = statistics.median(result.first_s)
    yield Claim(
        f"{PAGES} open pages, idle mesh: < {MOST_PERCENT:.0f} % of a core",
        f"{idle:.1f} %",
        idle < MOST_PERCENT,
    )
    yield Claim(
        f"{PAGES} open pages, {CALLERS} callers: < {MOST_PERCENT:.0f} % of a core more",
        f"{more:+.1f} %",
        more < MOST_PERCENT,
    )
    yield Claim(
        f"first event < {MOST_FIRST_S:.0f} s", f"{first_s * 1000:.0f} ms", first_s < MOST_FIRST_S
    )


def notes(result: Result) -> str:
    """How long the first event takes, and how much was measured."""
    first_ms, next_ms = (
        statistics.median(found) * 1000 for found in (result.first_s, result.next_s)
    )
    flows = statistics.median(one.flows / one.wall_s for one in result.busy[PAGES])
    return (
        f"First event after {first_ms:.0f} ms where nobody watched before, after {next_ms:.0f} ms as one page more. "
        f"{len(result.idle[0])} rounds; {flows:.0f} flows/s under load."
    )


def as_data(result: Result) -> dict[str, object]:
    """For machines."""
    return {
        "machine": result.here,
        "idle_percent": {n: [one.percent for one in found] for n, found in result.idle.items()},
        "busy_percent": {n: [one.percent for one in found] for n, found in result.busy.items()},
        "more_percent": {n: result.more_percent(n) for n in STREAMS if n},
        "first_event_ms": [one * 1000 for one in result.first_s],
        "next_event_ms": [one * 1000 for one in result.next_s],
    }


def options() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__)
    made.add_argument("--quick", action="store_true", help="2 rounds of 3 s, not 5 of 6 s")
    return made.parse_args()


def main() -> int:
    """Measure and tell."""
    chosen = options()
    if sys.platform != "linux":
        print("not run: CPU time of another process is told by Linux only")
        return 0
    rounds, seconds = (2, 3.0) if chosen.quick else (5, 6.0)
    result = Result(machine())
    HOME.mkdir(parents=True, exist_ok=True)

    async def everything() -> None:
        with tempfile.TemporaryDirectory(prefix="live-", dir=HOME) as name:
            async with ours(HOME / name / "data", 200) as mesh:
                await run(result, mesh, rounds=rounds, seconds=seconds)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(everything())
    found = list(claims(result))
    tables = [(HEADINGS, list(rows(result))), table(found)]
    if chosen.json:
        print(json.dumps(as_data(result), indent=1))
    else:
        print(result.here, as_text(*tables[0]), notes(result), as_text(*tables[1]), sep="\n\n")
    if chosen.write:
        parts = [as_markdown(*tables[0]), notes(result), as_markdown(*tables[1])]
        write("live", result.here, parts)
        keep("live", found)
    return 1 if chosen.check and not all(one.holds for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
