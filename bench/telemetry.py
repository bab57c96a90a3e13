#!/usr/bin/env python3
"""What traces cost: the mesh with them off, with one reservation in a hundred recorded, and with every one.

    python3 -m bench.telemetry [--quick] [--json] [--write] [--check]

Three real meshes of five processes live side by side; every round loads one after the other, in another order each
time, so that a slow moment of the machine hits all. Absolute figures are this machine's; the ratios are the result,
each the median over the rounds of a quotient within one round.

Spans really leave the services: they are sent by OTLP to a collector in the process of the load generator, which reads
and drops them. CPU per reservation is that of the five services alone, the sending included.

Not here: what the mesh costs otherwise (`mesh.py`), metrics and logs, which are on in all three.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.mesh import HOME, new_loop
from bench.meshes import SERVICES, Running, Stretch, measure, ours
from bench.policies import as_markdown, as_text, machine, parser, write
from bench.targets import Claim, keep, table

CALLERS: Final = 16
WARM_UP_S: Final = 0.8
SAMPLED: Final = 0.01
MOST_SAMPLED: Final = 1.1
"""CPU per reservation with one in a hundred recorded, at most so many times that without traces."""

OFF: Final = "sin trazas / off"
VARIANTS: Final = {
    OFF: {"TRACING": "off"},
    f"{SAMPLED:.0%}": {
        "TRACING": "otlp",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": str(SAMPLED),
    },
    "todas / all": {"TRACING": "otlp", "OTEL_TRACES_SAMPLER": "parentbased_always_on"},
}
ONE_PERCENT, ALL = list(VARIANTS)[1:]

HEADINGS: Final = (
    "trazas / traces",
    "reservas/s / reservations/s",
    "veces / ratio",
    "CPU µs/reserva / reservation",
    "veces / ratio",
    "kB/reserva / reservation",
    "p95 ms",
)


class Sink:
    """A collector that takes everything and keeps nothing.

    Attributes:
        size_bytes: What came so far.
        requests: In how many requests.
    """

    def __init__(self) -> None:
        self.size_bytes = self.requests = 0
        self.port = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Sink"]:
        """Serve for the length of the block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(
                    line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line
                )
                size_bytes = int(fields[b"content-length"])
                await reader.readexactly(size_bytes)
                self.size_bytes += size_bytes
                self.requests += 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()


@dataclass
class Result:
    """Everything measured, by variant, one stretch per round.

    Attributes:
        sent: Bytes of spans per reservation.
    """

    here: str
    stretches: dict[str, list[Stretch]] = field(default_factory=dict)
    sent: dict[str, list[float]] = field(default_factory=dict)

    def cpu_us(self, name: str) -> list[float]:
        """CPU per reservation of all five services, µs, by round."""
        return [sum(one.cpu_us.values()) for one in self.stretches[name]]

    def per_s(self, name: str) -> list[float]:
        """Reservations per second, by round."""
        return [one.load.per_s for one in self.stretches[name]]


def ratio(these: list[float], those: list[float]) -> float:
    """Median of the quotients within each round."""
    return statistics.median(one / other for one, other in zip(these, those, strict=True))


async def run(result: Result, folder: Path, *, rounds: int, seconds: float) -> None:
    """Start all, load each in turn, stop all; `result` is filled."""
    async with Sink().listening() as sink, AsyncExitStack() as stack:
        endpoint = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink.port}",
            "OTEL_BSP_SCHEDULE_DELAY": "500",  # so that a stretch pays for what it records
        }
        meshes: dict[str, Running] = {}
        for number, (name, variables) in enumerate(VARIANTS.items()):
            meshes[name] = await stack.enter_async_context(
                ours(folder / str(number), CALLERS, {**variables, **endpoint})
            )
        for one in meshes.values():  # pools, caches and pages of all of them
            await measure(one, CALLERS, WARM_UP_S, 0.0)
        names = list(meshes)
        for number in range(rounds):
            for name in names[number % 3 :] + names[: number % 3]:
                before = sink.size_bytes
                stretch = await measure(meshes[name], CALLERS, seconds, WARM_UP_S)
                sent = (sink.size_bytes - before) / max(1, stretch.load.all_flows)
                result.stretches.setdefault(name, []).append(stretch)
                result.sent.setdefault(name, []).append(sent)


# --------------------------------------------------------------------------- telling
def rows(result: Result) -> Iterator[list[str]]:
    """One per variant."""
    for name in VARIANTS:
        per_s, cpu_us = result.per_s(name), result.cpu_us(name)
        p95_ms = statistics.median(one.load.percentile_ms(0.95) for one in result.stretches[name])
        yield [
            name,
            f"{statistics.median(per_s):.0f}",
            f"{ratio(per_s, result.per_s(OFF)):.2f}",
            f"{statistics.median(cpu_us):.0f}",
            f"{ratio(cpu_us, result.cpu_us(OFF)):.2f}",
            f"{statistics.median(result.sent[name]) / 1000:.2f}",
            f"{p95_ms:.1f}",
        ]


def claims(result: Result) -> Iterator[Claim]:
    """The target."""
    times = ratio(result.cpu_us(ONE_PERCENT), result.cpu_us(OFF))
    yield Claim(
        f"traces of 1 % of the reservations: CPU at most {MOST_SAMPLED:g} times that without",
        f"{times:.2f}",
        times <= MOST_SAMPLED,
    )


def notes(result: Result) -> str:
    """Where the time goes, and how much was measured."""
    by_service = (
        f"{name} {statistics.median(one.cpu_us[name] for one in result.stretches[OFF]):.0f} → "
        f"{statistics.median(one.cpu_us[name] for one in result.stretches[ALL]):.0f}"
        for name in SERVICES
    )
    failed = sum(
        sum(one.load.errors.values()) for name in VARIANTS for one in result.stretches[name]
    )
    return (
        f"CPU µs per reservation, off → all: {', '.join(by_service)}. {len(result.stretches[OFF])} rounds, "
        f"{CALLERS} callers; answers other than 200: {failed}."
    )


def as_data(result: Result) -> dict[str, object]:
    """For machines."""
    return {
        "machine": result.here,
        "per_s": {name: result.per_s(name) for name in VARIANTS},
        "cpu_us": {name: result.cpu_us(name) for name in VARIANTS},
        "sent_bytes": result.sent,
    }


def options() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__)
    made.add_argument("--quick", action="store_true", help="3 rounds of 2 s, not 9 of 4 s")
    made.add_argument("--rounds", type=int, help="how many")
    made.add_argument("--seconds", type=float, help="length of each stretch")
    return made.parse_args()


def main() -> int:
    """Measure and tell."""
    chosen = options()
    if sys.platform != "linux":
        print("not run: CPU time of another process is told by Linux only")
        return 0
    rounds = chosen.rounds or (3 if chosen.quick else 9)
    seconds = chosen.seconds or (2.0 if chosen.quick else 4.0)
    result = Result(machine())
    HOME.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="telemetry-", dir=HOME) as name,
        asyncio.Runner(loop_factory=new_loop) as runner,
    ):
        runner.run(run(result, Path(name), rounds=rounds, seconds=seconds))
    found = list(claims(result))
    tables = [(HEADINGS, list(rows(result))), table(found)]
    if chosen.json:
        print(json.dumps(as_data(result), indent=1))
    else:
        print(result.here, as_text(*tables[0]), notes(result), as_text(*tables[1]), sep="\n\n")
    if chosen.write:
        parts = [as_markdown(*tables[0]), notes(result), as_markdown(*tables[1])]
        write("telemetry", result.here, parts)
        keep("telemetry", found)
    return 1 if chosen.check and not all(one.holds for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
