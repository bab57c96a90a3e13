"""What the meshes came to, and how it is told: figures, tables, claims, picture.

Not here: measuring (`mesh.py`).
"""

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from bench import svg
from bench.meshes import SERVICES, Running, Stretch
from bench.targets import Claim

BASE_P50_MS: Final = 5.0
"""What one reservation may take besides its commits, ms."""

RATIOS: Final = (
    ("aiohttp", 16, 1.2),
    ("httpx", 16, 3.5),
    ("httpx", 64, 8.0),
    ("flask", 16, 6.0),
    ("def", 16, 6.0),
)
"""With whom our throughput is compared, at how many callers, and the least wanted multiple."""

SHARES: Final = (0.5, 0.95, 0.99)
"""Percentiles that are told."""


Start = Callable[[], AbstractAsyncContextManager[Running]]
"""Starts a mesh, and stops it in the end."""


@dataclass
class Entrant:
    """One mesh of the comparison.

    Attributes:
        key: What `--only` calls it: httpx, aiohttp, adapter, own, ours, flask or def.
        name: What tables call it.
        start: Starts it; entered once.
        stretches: What was measured, by callers, one for each round.
        why_not: Why it was not run.
    """

    key: str
    name: str
    start: Start
    why_not: str = ""
    stretches: dict[int, list[Stretch]] = field(default_factory=dict)

    def median(self, callers: int, figure: Callable[[Stretch], float]) -> float:
        """Median of a figure over the rounds."""
        return statistics.median(figure(one) for one in self.stretches[callers])

    def has_flows(self, callers: int) -> bool:
        """Whether there was a reservation in every round."""
        rounds = self.stretches.get(callers, [])
        return bool(rounds) and all(one.load.flows for one in rounds)

    def per_s(self, callers: int) -> float:
        """Reservations per second."""
        return self.median(callers, lambda one: one.load.per_s)

    def latency_ms(self, callers: int, share: float) -> float:
        """Latency that this share of reservations does not exceed, ms."""
        return self.median(callers, lambda one: one.load.percentile_ms(share))

    def cpu_us(self, callers: int, service: str = "") -> float:
        """CPU time per reservation, of all five services or of one, µs."""
        return self.median(
            callers, lambda one: one.cpu_us[service] if service else sum(one.cpu_us.values())
        )

    def generator_us(self, callers: int) -> float:
        """CPU time of the load generator per reservation, µs."""
        return self.median(callers, lambda one: one.load.own_cpu_s * 1e6 / max(1, one.load.flows))

    def other_answers(self, callers: int) -> Counter[str]:
        """Everything but 200 in all rounds."""
        found: Counter[str] = Counter()
        for one in self.stretches[callers]:
            found += one.load.errors
        return found

    def ratio(self, other: "Entrant", callers: int) -> float | None:
        """Throughput as a multiple of another's, median over the rounds; None without both."""
        pairs = zip(self.stretches.get(callers, ()), other.stretches.get(callers, ()), strict=False)
        found = [one.load.per_s / two.load.per_s for one, two in pairs if two.load.flows]
        return statistics.median(found) if found else None


@dataclass
class Result:
    """One run of the benchmark.

    Attributes:
        here: The machine line.
        seconds: Length of each stretch.
        entrants: All meshes, by key.
        callers: Levels of load.
        rounds: How many were done.
        commits: Commits that one reservation of ours waits for, by database.
        fsyncs_ms: Times of 4 KiB appends in our mesh's data folder, ms.
    """

    here: str
    seconds: float
    entrants: dict[str, Entrant]
    callers: Sequence[int]
    rounds: int = 0
    commits: Counter[str] = field(default_factory=Counter)
    fsyncs_ms: list[float] = field(default_factory=list)

    @property
    def fsync_ms(self) -> float:
        """Median of the appends, ms."""
        return statistics.median(self.fsyncs_ms)

    def measured(self) -> list[Entrant]:
        """The meshes that were run."""
        return [one for one in self.entrants.values() if one.stretches]


# --------------------------------------------------------------------------- tables
HEADINGS: Final = (
    "malla / mesh",
    "clientes / callers",
    "reservas/s / reservations/s",
    "min … max",
    "× empty, httpx",
    "× empty, httpx-aiohttp",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "CPU µs",
    "otras respuestas / other answers",
)


def rows(result: Result) -> Iterator[list[str]]:
    """The table: for each level of load every mesh, then what was not run."""
    for callers in result.callers:
        for one in result.measured():
            yield _row(result, one, callers)
    for one in result.entrants.values():
        if not one.stretches:
            yield [one.name, f"not run: {one.why_not}", *["–"] * (len(HEADINGS) - 2)]


def _row(result: Result, one: Entrant, callers: int) -> list[str]:
    each = [stretch.load.per_s for stretch in one.stretches[callers]]
    ratios = [one.ratio(result.entrants[base], callers) for base in ("httpx", "aiohttp")]
    errors = one.other_answers(callers).most_common(3)
    return [
        one.name,
        str(callers),
        f"{one.per_s(callers):,.0f}",
        f"{min(each):,.0f} … {max(each):,.0f}",
        *("–" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
        *(f"{one.latency_ms(callers, share):,.1f}" for share in SHARES),
        f"{one.cpu_us(callers):,.0f}",
        ", ".join(f"{count} × {what}" for what, count in errors) or "–",
    ]


CPU_HEADINGS: Final = ("CPU µs", *SERVICES, "suma / sum", "generador / generator")


def cpu_rows(result: Result, callers: int) -> Iterator[list[str]]:
    """Who of the five burns what, per reservation."""
    for one in result.measured():
        by_service = (one.cpu_us(callers, name) for name in SERVICES)
        figures = (*by_service, one.cpu_us(callers), one.generator_us(callers))
        yield [one.name, *(f"{us:,.0f}" for us in figures)]


def claims(result: Result) -> Iterator[Claim]:
    """What is wanted of our mesh, and whether it holds; nothing where a side is missing."""
    mine, own = result.entrants["ours"], result.entrants["own"]
    for key, callers, least in RATIOS:
        base = result.entrants[key]
        ratio = mine.ratio(base, callers)
        if ratio is not None:
            target = f"reservations/s ÷ those of *{base.name}*, {callers} callers: ≥ {least:g}"
            yield Claim(target, f"{ratio:.2f}", ratio >= least)
    lean = own.ratio(result.entrants["adapter"], 16)
    if lean is not None:
        target = "flows/s of *empty, our wire* ÷ *empty, aiohttp, lean*, 16 callers: ≥ 1.3"
        yield Claim(target, f"{lean:.2f}", lean >= 1.3)
    if mine.has_flows(16) and own.has_flows(16):
        share = mine.cpu_us(16) / own.cpu_us(16)
        target = f"CPU per reservation ÷ that of *{own.name}*, 16 callers: ≤ 2.0"
        yield Claim(target, f"{share:.2f}", share <= 2.0)
    if mine.has_flows(1) and result.commits:
        serial, p50_ms = result.commits.total(), mine.latency_ms(1, 0.5)
        most_ms = BASE_P50_MS + serial * result.fsync_ms
        sum_ms = f"{BASE_P50_MS:g} ms + {serial} commits × {result.fsync_ms:.2f} ms"
        target = f"p50 of one caller: ≤ {sum_ms} = {most_ms:.1f} ms"
        yield Claim(target, f"{p50_ms:.1f} ms", p50_ms <= most_ms)
    if mine.has_flows(16) and mine.has_flows(64):
        pairs = zip(mine.stretches[64], mine.stretches[16], strict=True)
        ratio = statistics.median(many.load.per_s / some.load.per_s for many, some in pairs)
        target = "reservations/s at 64 callers ÷ at 16: ≥ 0.95"
        yield Claim(target, f"{ratio:.2f}", ratio >= 0.95)


def notes(result: Result) -> str:
    """How to read the tables."""
    by_database = ", ".join(f"{name} {count}" for name, count in sorted(result.commits.items()))
    return (
        f"Closed loop, {result.rounds} interleaved rounds of {result.seconds:g} s each, medians. "
        f"One reservation of Taquilla waits for {result.commits.total()} commits "
        f"({by_database or 'not counted'}); "
        f"4 KiB and fdatasync in its data folder take {result.fsync_ms:.2f} ms "
        f"(median of {len(result.fsyncs_ms)}). Gateways let {max(result.callers)} in."
    )


def as_data(result: Result) -> dict[str, Any]:
    """Everything, with the single stretches."""

    def stretch(one: Stretch) -> dict[str, Any]:
        load = one.load
        return {
            "per_s": load.per_s,
            "flows": load.flows,
            "errors": dict(load.errors),
            **{
                f"p{share * 100:.0f}_ms": load.percentile_ms(share)
                for share in SHARES
                if load.flows
            },
            "cpu_us": dict(one.cpu_us),
            "generator_cpu_s": load.own_cpu_s,
        }

    return {
        "machine": result.here,
        "rounds": result.rounds,
        "seconds": result.seconds,
        "commits": dict(result.commits),
        "fsync_ms": result.fsync_ms,
        "meshes": {
            one.key: {
                "name": one.name.replace("**", ""),
                "why_not": one.why_not,
                "stretches": {n: [stretch(s) for s in each] for n, each in one.stretches.items()},
            }
            for one in result.entrants.values()
        },
        "claims": [asdict(one) for one in claims(result)],
    }


def picture(result: Result, callers: int) -> str:
    """Throughput of all meshes as bars."""
    values = {one.name.replace("**", ""): one.per_s(callers) for one in result.measured()}
    return svg.bars(f"Reservations per second, {callers} callers", values, "/s")
