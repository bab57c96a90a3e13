"""Simulate limits in front of a callee whose capacity changes: `python -m bench.limits`.

Four phases (half load, double load, double load while the callee is five times slower, half load
again) and two long incidents, on virtual time. Per phase: answered calls as a share of what was
reachable, their 99th percentile, and the mean limit.

Options: `--seeds N`, `--json`, `--svg` (writes docs/pictures/limits.svg).
"""

import argparse
import asyncio
import json
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from bench import svg
from bench.simulated import (
    CAPACITY_PER_S,
    PATIENCE_S,
    Callee,
    Phase,
    machine,
    markdown,
    open_loop,
    quantile,
)
from resilience import AttemptTimeout, Limit, LimitFull, Policy
from resilience.testing import run_virtual, virtual_runtime

POLICIES: Final = {
    "no limit": Policy(attempt_s=PATIENCE_S),
    "Limit(fixed=20)": Policy(attempt_s=PATIENCE_S, limit=Limit(fixed=20)),
    "Limit() (adaptive)": Policy(attempt_s=PATIENCE_S, limit=Limit()),
}
PHASES: Final = (
    Phase(20, 400, 1, "50 % load"),
    Phase(40, 1600, 1, "200 % load"),
    Phase(40, 1600, 5, "callee 5x slower"),
    Phase(20, 400, 1, "recovered"),
)
SLOW: Final = (Phase(20, 400), Phase(300, 800, 5), Phase(300, 800, 5))
HANG: Final = (Phase(20, 400), Phase(240, 400, 300), Phase(60, 400, 300), Phase(10, 400))
_LIMITED: Final = ("Limit(fixed=20)", "Limit() (adaptive)")
_EVERY: Final = 20
_SEED: Final = 11
PICTURE: Final = Path(__file__).parent.parent / "docs" / "pictures" / "limits.svg"


@dataclass
class Seen:
    """What happened to the calls that began in one phase.

    Attributes:
        phase: The phase.
        arrived: How many there were.
        sent: How many reached the callee.
        latencies_s: Of those that were answered in time.
        limits: The limit, at every 20th arrival.
    """

    phase: Phase
    arrived: int = 0
    sent: int = 0
    latencies_s: list[float] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)

    @property
    def goodput_ratio(self) -> float:
        """Answered calls, as a share of the most that could be answered."""
        reachable_per_s = min(self.phase.per_s, CAPACITY_PER_S / self.phase.slowness)
        return len(self.latencies_s) / self.phase.seconds / reachable_per_s

    @property
    def p99_s(self) -> float:
        """99th percentile of the answered calls."""
        return quantile(self.latencies_s, 0.99)

    @property
    def mean_limit(self) -> float | None:
        """None without a limit."""
        return statistics.mean(self.limits) if self.limits else None


@dataclass
class Run:
    """One policy, one seed.

    Attributes:
        seen: Per phase.
        answered: Calls answered, by the second.
        limit: The limit at the end of each second.
    """

    seen: list[Seen]
    answered: Counter[int] = field(default_factory=Counter)
    limit: dict[int, int] = field(default_factory=dict)


async def simulate(policy: Policy, phases: Sequence[Phase], seed: int) -> Run:
    """Send the phases' calls to a callee under the policy."""
    # As virtual_runtime, but without looking the loop up a million times.
    loop_time = asyncio.get_running_loop().time
    runtime = replace(virtual_runtime(seed), clock=loop_time)
    pipeline = policy.bind("callee", runtime)
    callee = Callee(seed)
    run = Run([Seen(phase) for phase in phases])

    def begin(number: int) -> None:
        callee.slowness = phases[number].slowness

    async def call(number: int) -> None:
        seen = run.seen[number]
        began_s = runtime.clock()
        seen.arrived += 1
        if policy.limit is not None and seen.arrived % _EVERY == 0:
            seen.limits.append(pipeline.snapshot()["limit"])
            run.limit[int(began_s)] = seen.limits[-1]
        try:
            await pipeline.call(callee)
        except LimitFull:
            return
        except AttemptTimeout:
            seen.sent += 1
            return
        seen.sent += 1
        seen.latencies_s.append(runtime.clock() - began_s)
        run.answered[int(runtime.clock())] += 1

    await open_loop(phases, seed, begin, call)
    return run


def averaged(policy: Policy, phases: Sequence[Phase], seeds: int) -> list[dict[str, Any]]:
    """Means over the seeds, per phase, as figures for a table."""
    runs = [run_virtual(simulate(policy, phases, seed)) for seed in range(_SEED, _SEED + seeds)]
    return [_figures([run.seen[number] for run in runs]) for number in range(len(phases))]


def _figures(seen: Sequence[Seen]) -> dict[str, Any]:
    limits = [one.mean_limit for one in seen if one.mean_limit is not None]
    return {
        "phase": seen[0].phase.label,
        "goodput_percent": round(100 * statistics.mean(one.goodput_ratio for one in seen), 1),
        "p99_ms": round(1000 * statistics.mean(one.p99_s for one in seen)),
        "mean_limit": round(statistics.mean(limits), 1) if limits else None,
        "sent_per_s": round(statistics.mean(one.sent / one.phase.seconds for one in seen), 1),
    }


def measure(seeds: int) -> dict[str, Any]:
    """Both tables as data.

    One seed for the incidents, which are long, and without a limit, where nothing differs.
    """
    return {
        "machine": machine(),
        "seeds": seeds,
        "phases": {
            name: averaged(policy, PHASES, seeds if policy.limit else 1)
            for name, policy in POLICIES.items()
        },
        "slow": {name: averaged(POLICIES[name], SLOW, 1)[-1] for name in _LIMITED},
        "hang": {name: averaged(POLICIES[name], HANG, 1)[-2:] for name in _LIMITED},
    }


def tables(measured: dict[str, Any]) -> Iterator[str]:
    """The data as Markdown."""
    yield f"8 workers x 10 ms, callers give up after 1 s. {measured['machine']}"
    yield (
        "Cells: answered % of reachable / p99 ms / mean limit; "
        f"{measured['seeds']} seeds (no limit and incidents: one)"
    )
    yield ""
    labels = [phase.label for phase in PHASES]
    rows = [
        [name, *(_cell(figures) for figures in phases)]
        for name, phases in measured["phases"].items()
    ]
    yield from markdown(["policy", *labels], rows)
    yield ""
    header = [
        "two long incidents",
        "5x slower for 10 min at 5x overload, last 5 min",
        "hang of 5 min at 400/s, last min: calls/s still sent",
        "first 10 s after the hang: answered %",
    ]
    rows = []
    for name in _LIMITED:
        during, after = measured["hang"][name]
        slow = _cell(measured["slow"][name])
        rows.append([name, slow, f"{during['sent_per_s']:.0f}", f"{after['goodput_percent']:.0f}"])
    yield from markdown(header, rows)


def _cell(figures: dict[str, Any]) -> str:
    answered = figures["goodput_percent"]
    p99 = f"{figures['p99_ms']}" if answered else "–"
    limit = "∞" if figures["mean_limit"] is None else f"{figures['mean_limit']:.0f}"
    return f"{answered:.0f} / {p99} / {limit}"


def picture() -> str:
    """Answered calls and the limit over time, one seed."""
    runs = {name: run_virtual(simulate(policy, PHASES, _SEED)) for name, policy in POLICIES.items()}
    seconds = range(int(sum(phase.seconds for phase in PHASES)))
    marks, at = {}, 0.0
    for phase in PHASES:
        marks[at] = phase.label
        at += phase.seconds
    answered = {
        name: [(float(second), float(run.answered[second])) for second in seconds]
        for name, run in runs.items()
    }
    limits = {
        name: [(float(second), float(limit)) for second, limit in run.limit.items()]
        for name, run in runs.items()
        if run.limit
    }
    return svg.lines(
        "Limits while a callee changes its capacity (simulated)",
        "seconds",
        [
            svg.Panel("answered in time, calls per second", answered, marks=marks),
            svg.Panel("limit, calls in flight", limits, marks=marks),
        ],
    )


def main() -> None:
    """Run, print, draw."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    options.add_argument("--seeds", type=int, default=3, help="runs to average")
    options.add_argument("--json", action="store_true", help="print the data instead of tables")
    options.add_argument("--svg", action="store_true", help="write the picture and nothing else")
    chosen = options.parse_args()
    if chosen.svg:
        PICTURE.write_text(picture())
        print(PICTURE)
        return
    measured = measure(chosen.seeds)
    print(json.dumps(measured, indent=1) if chosen.json else "\n".join(tables(measured)))


_Raw = argparse.RawDescriptionHelpFormatter

if __name__ == "__main__":
    main()
