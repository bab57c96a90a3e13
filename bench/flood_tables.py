"""What the floods came to, and how it is told: figures, tables, claims, picture.

Not here: measuring (`flood.py`).
"""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bench import svg
from bench.fronts import NGINX_LIMIT, Command
from bench.openloop import PATIENCE_S, SLO_S, Crowd, at_ms
from bench.targets import Claim

GOODPUT: Final = {
    "gateway": {1.0: 0.95, 2.0: 0.95, 5.0: 0.95, 10.0: 0.93},
    "service": {5.0: 0.85, 10.0: 0.75},
}
"""Wanted goodput ÷ capacity, at least, by entrant and level."""

REFUSAL_MS: Final = {5.0: 5.0, 10.0: 20.0}
"""Wanted p99 of the gateway's refusals, at most, by level, ms."""

SUCCESS_MS: Final = {10.0: 80.0}
"""Wanted p99 of its answers 200, likewise."""

HOP: Final = 1.3
"""Wanted CPU of the gateway's hop, as a multiple of Envoy's, at most."""


@dataclass(frozen=True)
class Stretch:
    """One crowd at one level.

    Attributes:
        crowd: What it came to.
        capacity_per_s: What the backend can do, measured just before.
        front_core: Share of a core that the front took, of the service itself where there is no front.
    """

    crowd: Crowd
    capacity_per_s: float
    front_core: float

    @property
    def goodput(self) -> float:
        """Good answers per second as a share of the capacity."""
        return self.crowd.good / self.crowd.seconds / self.capacity_per_s


@dataclass
class Entrant:
    """One protection of the comparison.

    Attributes:
        key: What `--only` calls it.
        name: What tables call it.
        backend: `stub` or `service`.
        front: How it is started; None where the crowd meets the backend itself.
        plain: The front without a limit that matters, for the cost of the hop; None leaves that out.
        why_not: Why it was not run.
        stretches: What was measured, by level, one for each round.
        hop_us: CPU of the front per request that it only forwards, µs, one for each round.
    """

    key: str
    name: str
    backend: str
    front: Command | None
    plain: Command | None = None
    why_not: str = ""
    stretches: dict[float, list[Stretch]] = field(default_factory=dict)
    hop_us: list[float] = field(default_factory=list)

    def median(self, level: float, figure: Callable[[Stretch], float]) -> float:
        """Median of a figure over the rounds; NaN if a round has none."""
        found = [figure(one) for one in self.stretches[level]]
        return math.nan if any(map(math.isnan, found)) else statistics.median(found)

    def goodput(self, level: float) -> float:
        """Good answers as a share of the capacity."""
        return self.median(level, lambda one: one.goodput)

    def ok_ms(self, level: float, share: float) -> float:
        """Latency of answers 200, ms."""
        return self.median(level, lambda one: at_ms(one.crowd.ok_s, share))

    def refused_ms(self, level: float, share: float) -> float:
        """Latency of refusals, ms."""
        return self.median(level, lambda one: at_ms(one.crowd.refused_s, share))


@dataclass
class Result:
    """One run of the benchmark."""

    here: str
    seconds: float
    levels: Sequence[float]
    entrants: dict[str, Entrant]
    rounds: int = 0

    def measured(self) -> list[Entrant]:
        """Those that were run."""
        return [one for one in self.entrants.values() if one.stretches]


# --------------------------------------------------------------------------- tables
HEADINGS: Final = (
    "protección / protection",
    "carga / load",
    "útil / goodput",
    "min … max",
    "p50 · p99 de 200 ms / p50 · p99 of 200 ms",
    "p50 · p99 de rechazos ms / p50 · p99 of refusals ms",
    "núcleo / core",
    "generador / generator",
    "otras respuestas / other answers",
)


def rows(result: Result) -> Iterator[list[str]]:
    """The table: for each protection every level, then what was not run."""
    for one in result.measured():
        for level in one.stretches:
            yield _row(one, level)
    for one in result.entrants.values():
        if not one.stretches:
            yield [one.name, f"not run: {one.why_not}", *["–"] * (len(HEADINGS) - 2)]


def _row(one: Entrant, level: float) -> list[str]:
    stretches = one.stretches[level]
    others: Counter[str] = Counter()
    for stretch in stretches:
        others += stretch.crowd.others
    doubtful = " (!)" if any(stretch.crowd.is_doubtful for stretch in stretches) else ""
    return [
        one.name,
        f"{level:g}×",
        f"{one.goodput(level):.2f}",
        f"{min(s.goodput for s in stretches):.2f} … {max(s.goodput for s in stretches):.2f}",
        _pair(one.ok_ms, level),
        _pair(one.refused_ms, level),
        f"{one.median(level, lambda s: s.front_core):.2f}",
        f"{one.median(level, lambda s: s.crowd.own_core):.2f}{doubtful}",
        ", ".join(f"{count} × {what}" for what, count in others.most_common(3)) or "–",
    ]


def _pair(figure: Callable[[float, float], float], level: float) -> str:
    found = [figure(level, share) for share in (0.5, 0.99)]
    return "–" if any(map(math.isnan, found)) else " · ".join(f"{ms:.1f}" for ms in found)


HOP_HEADINGS: Final = ("salto / hop", "CPU µs", "min … max")


def hop_rows(result: Result) -> Iterator[list[str]]:
    """What forwarding one request costs."""
    for one in result.entrants.values():
        if one.hop_us:
            spread = f"{min(one.hop_us):.0f} … {max(one.hop_us):.0f}"
            yield [one.name, f"{statistics.median(one.hop_us):.0f}", spread]


def claims(result: Result) -> Iterator[Claim]:
    """What is wanted, and whether it holds; nothing where a side is missing."""
    for key, wanted in GOODPUT.items():
        one = result.entrants[key]
        for level, least in wanted.items():
            if level in one.stretches:
                share = one.goodput(level)
                target = f"goodput ÷ capacity, {_plain(one)}, {level:g}×: ≥ {least:g}"
                yield Claim(target, f"{share:.2f}", share >= least)
    ours = result.entrants["gateway"]
    for what, figure, bounds in (
        ("refusals", ours.refused_ms, REFUSAL_MS),
        ("answers 200", ours.ok_ms, SUCCESS_MS),
    ):
        for level, most_ms in bounds.items():
            if level in ours.stretches:
                ms = figure(level, 0.99)
                target = f"p99 of {what}, {_plain(ours)}, {level:g}×: ≤ {most_ms:g} ms"
                yield Claim(target, f"{ms:.1f} ms", ms <= most_ms)
    envoy = result.entrants["envoy"]
    if ours.hop_us and envoy.hop_us:
        ratio = statistics.median(ours.hop_us) / statistics.median(envoy.hop_us)
        target = f"CPU of the gateway's hop ÷ Envoy's: ≤ {HOP:g}"
        yield Claim(target, f"{ratio:.2f}", ratio <= HOP)


def _plain(one: Entrant) -> str:
    return one.name.replace("**", "")


def notes(result: Result) -> str:
    """How to read the tables."""
    return (
        f"Open loop, Poisson, {result.rounds} rounds of {result.seconds:g} s for each level, medians; goodput is "
        f"answers 200 within {SLO_S * 1e3:.0f} ms of the intended start ÷ the capacity measured just before, with 16 "
        f"callers that wait; who has no answer in {PATIENCE_S:g} s hangs up. The service waits 10 ms and takes 2 ms "
        f"of core 0; fronts and generator share core 1. nginx admits {NGINX_LIMIT} at once. Core: of the front, of "
        "the service where there is none. (!): the generator may have been what was slow. Hop: 16 callers, a backend "
        "that does nothing."
    )


def as_data(result: Result) -> dict[str, Any]:
    """Everything, with the single stretches."""

    def stretch(one: Stretch) -> dict[str, Any]:
        crowd = one.crowd
        return {
            "capacity_per_s": one.capacity_per_s,
            "offered_per_s": crowd.offered / crowd.seconds,
            "goodput": one.goodput,
            "ok": len(crowd.ok_s),
            "refused": len(crowd.refused_s),
            "others": dict(crowd.others),
            "ok_p50_p99_ms": [at_ms(crowd.ok_s, share) for share in (0.5, 0.99)],
            "refused_p50_p99_ms": [at_ms(crowd.refused_s, share) for share in (0.5, 0.99)],
            "front_core": one.front_core,
            "generator_core": crowd.own_core,
            "generator_late_p99_ms": at_ms(crowd.late_s, 0.99),
        }

    return {
        "machine": result.here,
        "rounds": result.rounds,
        "seconds": result.seconds,
        "entrants": {
            one.key: {
                "name": _plain(one),
                "why_not": one.why_not,
                "hop_us": one.hop_us,
                "stretches": {n: [stretch(s) for s in each] for n, each in one.stretches.items()},
            }
            for one in result.entrants.values()
        },
        "claims": [vars(one) for one in claims(result)],
    }


def picture(result: Result) -> str:
    """Goodput and latencies against the load."""

    def of(figure: Callable[[Entrant, float], float]) -> dict[str, list[tuple[float, float]]]:
        found = {}
        for one in result.measured():
            points = [(level, figure(one, level)) for level in one.stretches]
            known = [(level, value) for level, value in points if not math.isnan(value)]
            if known:
                found[_plain(one)] = known
        return found

    panels = [
        svg.Panel("Goodput ÷ capacity", of(lambda one, level: one.goodput(level)), top=1.1),
        svg.Panel("p99 of answers 200, ms", of(lambda one, level: one.ok_ms(level, 0.99)), 250),
        svg.Panel("p99 of refusals, ms", of(lambda one, level: one.refused_ms(level, 0.99)), 100),
    ]
    return svg.lines("A crowd at a service of 2 ms", "offered load ÷ capacity", panels)
