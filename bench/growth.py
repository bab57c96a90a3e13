#!/usr/bin/env python3
"""Whether a reservation gets dearer as the business grows: more events, larger halls, a long past.

    python3 -m bench.growth [--quick] [--only events,seats,past] [--rounds 9] [--json] [--write] [--check]

For each of the three, our mesh on databases of different size, side by side; every round loads one after the other, 16
callers who buy from all open events in turn. Ratios are medians over the rounds of a quotient within one round.

- events: 1, 100 or 10,000 of them, 100,000 seats in all, so that nothing else grows.
- seats: 25 events of 100 or of 100,000 seats. Before each stretch what the last one sold is freed, because 2,500 seats
  are sold in seconds; stretches are short for the same reason.
- past: none, or a million reservations at their end, in all five databases.

Next to the rate: what the five processes burn when nobody asks (their loops look for work every second), and how long
inventory takes for `GET /events`, which the page asks for all the time. That answer names every event, so it cannot but
grow with the catalogue.

Not here: how the databases are filled (`grown.py`).
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from bench.grown import free_seats, grow, last_hold, size_mb, template
from bench.mesh import HOME, new_loop
from bench.meshes import Running, Stretch, measure, ours
from bench.policies import as_markdown, as_text, machine, parser, write
from bench.targets import Claim, keep, table
from chaos.mesh import Mesh

CALLERS: Final = 16
LEAST: Final = 0.9
"""Of the rate at the small end, at the large end."""

IDLE_ROOM_MS, CATALOGUE_ROOM_MS = 3.0, 0.5
"""Differences that are the noise of figures this small: ms of CPU per second of two cores, and ms."""

ALL_SEATS: Final = 100_000
SECONDS, WARM_UP_S = 1.5, 0.4
_IDLE_S: Final = 2.0
_LOOKS: Final = 5


@dataclass(frozen=True)
class Grown(Running):
    """Our mesh on grown databases.

    Attributes:
        data: Their folder.
        before: Row number of the last hold when it was started.
    """

    data: Path = Path()
    before: int = 0

    def refill(self, _seats: int = 0) -> None:
        """Free what was sold since the start."""
        free_seats(self.data, self.before)


@dataclass
class Size:
    """One size of one thing that grows.

    Attributes:
        axis: What grows: events, seats or past.
        size: How large it is.
        events: Open events.
        seats: Of each of them.
        past: Past reservations.
        stretches: Load, by round.
        idle_ms: CPU time of the five while nobody asks, ms per second, by round.
        catalogue_ms: `GET /events` of inventory, ms, median of each round.
        ready_s: From start until all were ready, seconds.
        stored_mb: The five databases at the start, MB.
    """

    axis: str
    size: int
    events: int
    seats: int
    past: int = 0
    stretches: list[Stretch] = field(default_factory=list)
    idle_ms: list[float] = field(default_factory=list)
    catalogue_ms: list[float] = field(default_factory=list)
    ready_s: float = 0.0
    stored_mb: float = 0.0

    @property
    def ids(self) -> list[str]:
        """Of the open events."""
        return [f"event-{number:05d}" for number in range(self.events)]

    def per_s(self) -> list[float]:
        """Reservations per second, by round."""
        return [one.load.per_s for one in self.stretches]

    def cpu_us(self) -> list[float]:
        """CPU per reservation, by round, µs."""
        return [sum(one.cpu_us.values()) for one in self.stretches]

    def as_data(self) -> dict[str, object]:
        """Everything but the single latencies."""
        plain = ("axis", "size", "idle_ms", "catalogue_ms", "ready_s", "stored_mb")
        rounds = {"per_s": self.per_s(), "cpu_us": self.cpu_us()}
        return {name: getattr(self, name) for name in plain} | rounds


def sizes(past: int) -> list[Size]:
    """All that are measured, the smallest of each axis first."""
    return [
        *(Size("events", number, number, ALL_SEATS // number) for number in (1, 100, 10_000)),
        *(Size("seats", number, 25, number) for number in (100, 100_000)),
        *(Size("past", number, 100, 1000, number) for number in (0, past)),
    ]


# --------------------------------------------------------------------------- measuring
async def run(axis: Sequence[Size], rounds: int) -> None:
    """Fill in one axis; its databases are there only meanwhile."""
    HOME.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="growth-", dir=HOME)))
        made = await template(folder / "template")
        meshes = []
        for size in axis:
            data = folder / f"{size.axis}-{size.size}"
            await asyncio.to_thread(grow, made, data, size.ids, size.seats, size.past)
            size.stored_mb = size_mb(data)
            mesh = await stack.enter_async_context(ours(data, CALLERS))
            size.ready_s = mesh.ready_s
            meshes.append(
                Grown(mesh.port, mesh.pids, mesh.base_port, data=data, before=last_hold(data))
            )
        for mesh, size in zip(meshes, axis, strict=True):
            await measure(mesh, CALLERS, SECONDS, WARM_UP_S, size.ids)
        for number in range(rounds):
            order = list(zip(meshes, axis, strict=True))
            for mesh, size in order if number % 2 else reversed(order):
                size.stretches.append(await measure(mesh, CALLERS, SECONDS, WARM_UP_S, size.ids))
                size.idle_ms.append(await idle_ms(mesh))
                size.catalogue_ms.append(catalogue_ms(mesh))


async def idle_ms(mesh: Running) -> float:
    """CPU time of the five while nobody asks, ms per second."""
    before = sum(mesh.cpu_s().values())
    await asyncio.sleep(_IDLE_S)
    return (sum(mesh.cpu_s().values()) - before) * 1e3 / _IDLE_S


def catalogue_ms(mesh: Running) -> float:
    """`GET /events` of inventory, ms, median."""
    assert mesh.base_port is not None
    asked, took_ms = Mesh(mesh.base_port), []
    for _ in range(_LOOKS):
        began_s = time.perf_counter()
        asked.call("inventory", "GET", "/events")
        took_ms.append((time.perf_counter() - began_s) * 1e3)
    return statistics.median(took_ms)


# --------------------------------------------------------------------------- telling
HEADINGS: Final = (
    "crece / grows",
    "tamaño / size",
    "reservas/s / reservations/s",
    "min … max",
    "÷ menor / ÷ smallest",
    "p50 ms",
    "p99 ms",
    "CPU µs",
    "÷ menor / ÷ smallest",
    "en reposo, ms CPU/s / idle, ms CPU/s",
    "GET /events ms",
    "MB",
    "listo s / ready s",
    "otras respuestas / other answers",
)


def ratio(size: Size, smallest: Size, figure: Callable[[Size], list[float]]) -> float:
    """Median over the rounds of a quotient within one."""
    pairs = zip(figure(size), figure(smallest), strict=True)
    return statistics.median(mine / its for mine, its in pairs)


def rows(measured: Sequence[Size]) -> list[list[str]]:
    """The table."""
    made = []
    for size in measured:
        smallest = next(one for one in measured if one.axis == size.axis)
        loads = [one.load for one in size.stretches]
        errors = sum((one.errors for one in loads), start=type(loads[0].errors)())
        made.append(
            [
                size.axis,
                f"{size.size:,}",
                f"{statistics.median(size.per_s()):,.0f}",
                f"{min(size.per_s()):,.0f} … {max(size.per_s()):,.0f}",
                f"{ratio(size, smallest, Size.per_s):.2f}",
                *(
                    f"{statistics.median(one.percentile_ms(share) for one in loads):,.1f}"
                    for share in (0.5, 0.99)
                ),
                f"{statistics.median(size.cpu_us()):,.0f}",
                f"{ratio(size, smallest, Size.cpu_us):.2f}",
                f"{statistics.median(size.idle_ms):.0f}",
                f"{statistics.median(size.catalogue_ms):.1f}",
                f"{size.stored_mb:,.0f}",
                f"{size.ready_s:.1f}",
                ", ".join(f"{n} × {what}" for what, n in errors.most_common(3)) or "–",
            ]
        )
    return made


def claims(measured: Sequence[Size]) -> list[Claim]:
    """What is wanted: the large end of each axis against its small end."""
    found = []
    names = {
        "events": "events in the catalogue",
        "seats": "seats per event",
        "past": "past reservations",
    }
    for axis, name in names.items():
        mine = [one for one in measured if one.axis == axis]
        if not mine:
            continue
        small, large = mine[0], mine[-1]
        between = f"{small.size:,} to {large.size:,} {name}"
        rate = ratio(large, small, Size.per_s)
        found.append(Claim(f"reservations/s, {between}: ≥ {LEAST:g}", f"{rate:.2f}", rate >= LEAST))
        idle = [statistics.median(one.idle_ms) for one in (small, large)]
        found.append(_no_dearer(f"idle CPU of the five, {between}", idle, "ms/s", IDLE_ROOM_MS))
        if axis != "events":
            asked = [statistics.median(one.catalogue_ms) for one in (small, large)]
            found.append(_no_dearer(f"`GET /events`, {between}", asked, "ms", CATALOGUE_ROOM_MS))
    return found


def _no_dearer(what: str, ends: Sequence[float], unit: str, room: float) -> Claim:
    small, large = ends
    target = f"{what}: ≤ {1 / LEAST:.2f} times, or {room:g} {unit} more"
    return Claim(
        target, f"{small:.1f} → {large:.1f} {unit}", large <= max(small / LEAST, small + room)
    )


def notes(rounds: int) -> str:
    """How to read the table."""
    return (
        f"{CALLERS} callers in a closed loop, {rounds} interleaved rounds of {SECONDS:g} s, medians; besides what is "
        "named, three built-in events. Past reservations come with ten past events of their own."
    )


def main() -> int:
    """Measure and tell."""
    made = parser(__doc__)
    made.add_argument("--quick", action="store_true", help="3 rounds, and a past of 50,000")
    made.add_argument("--only", default="events,seats,past", help="what grows, separated by commas")
    made.add_argument("--rounds", type=int, help="how many")
    made.add_argument("--past", type=int, help="reservations, at most a million")
    chosen = made.parse_args()
    if sys.platform != "linux":
        print("not run: CPU time of another process is told by Linux only")
        return 0
    rounds = chosen.rounds or (3 if chosen.quick else 9)
    wanted = sizes(chosen.past or (50_000 if chosen.quick else 1_000_000))
    here = machine()
    axes = [[size for size in wanted if size.axis == axis] for axis in chosen.only.split(",")]
    with asyncio.Runner(loop_factory=new_loop) as runner:
        for axis in axes:
            runner.run(run(axis, rounds))
    measured = [size for axis in axes for size in axis]
    said, result = claims(measured), rows(measured)
    if chosen.json:
        every = [one.as_data() for one in measured]
        found = {"machine": here, "sizes": every, "claims": [asdict(one) for one in said]}
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        print(here, as_text(HEADINGS, result), notes(rounds), as_text(*table(said)), sep="\n\n")
    if chosen.write:
        parts = [as_markdown(HEADINGS, result), notes(rounds), as_markdown(*table(said))]
        write("growth", here, parts)
        keep("growth", said)
    return 1 if chosen.check and not all(one.holds for one in said) else 0


if __name__ == "__main__":
    sys.exit(main())
