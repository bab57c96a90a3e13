"""Simulate retry storms and a server's queue: `python -m bench.storms`.

Callers send 600 requests a second to a callee that can do 800, and try three times. For 10 s the callee
has a quarter of its speed, or is gone. What do retries do to it, and do they still help against
random failures? Then: what should a server at 150 % load do with those it cannot serve at once?

Options: `--json`, `--svg` (writes docs/pictures/storm.svg and queue.svg).
"""

import argparse
import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench import queues, svg
from bench.simulated import CAPACITY_PER_S, Callee, Phase, machine, markdown, open_loop
from resilience import Policy, ResilienceError, Retry
from resilience.testing import run_virtual, virtual_runtime

ATTEMPT_S: Final = 0.5
POLICIES: Final = {
    "no retries": Policy(attempt_s=ATTEMPT_S),
    "Retry(3, quota=None)": Policy(attempt_s=ATTEMPT_S, retry=Retry(3, quota=None)),
    "Retry(3), with its Quota": Policy(attempt_s=ATTEMPT_S, retry=Retry(3)),
}
SLOW: Final = (Phase(20, 600), Phase(10, 600, 4), Phase(40, 600))
HEALTHY: Final = (Phase(2, 300), Phase(30, 300))
BUSY: Final = (Phase(5, 960), Phase(20, 960))
NORMAL: Final = 0.96
"""A second is normal again when this share of its calls is answered."""
PICTURES: Final = Path(__file__).parent.parent / "docs" / "pictures"


class Unwell(Callee):
    """A callee with troubles.

    Attributes:
        trouble: In phase 1 it refuses every connection, or hangs; None: neither.
        failing: Share of answers that are broken connections, after the work is done.
        phase: Set by the simulation.
    """

    def __init__(
        self, seed: int, *, most_waiting: int, trouble: str | None = None, failing: float = 0.0
    ) -> None:
        super().__init__(seed, most_waiting)
        self.trouble = trouble
        self.failing = failing
        self.phase = 0
        self._chance = random.Random(seed)

    async def __call__(self) -> None:
        """Serve as well as it can."""
        if self.trouble and self.phase == 1:
            self.received += 1
            if self.trouble == "hangs":
                await asyncio.get_running_loop().create_future()
            raise ConnectionRefusedError
        await super().__call__()
        if self.failing and self._chance.random() < self.failing:
            raise ConnectionResetError


@dataclass
class Storm:
    """What happened, by the second in which a call or attempt began.

    Attributes:
        calls: Calls begun.
        attempts: Attempts that reached the callee, by the second they did.
        answered: Calls that began then and were answered.
    """

    calls: Counter[int] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)
    answered: Counter[int] = field(default_factory=Counter)

    def amplification(self, seconds: range) -> float:
        """Attempts per call."""
        return sum(self.attempts[s] for s in seconds) / sum(self.calls[s] for s in seconds)

    def success_percent(self, seconds: range) -> float:
        """Calls that were answered."""
        return 100 * sum(self.answered[s] for s in seconds) / sum(self.calls[s] for s in seconds)

    def normal_after_s(self, since: int, until: int) -> int | None:
        """Seconds from `since` until three seconds in a row are normal; None if never."""
        for second in range(since, until - 2):
            three = range(second, second + 3)
            if all(self.answered[s] >= NORMAL * self.calls[s] for s in three):
                return second - since
        return None


async def simulate(policy: Policy, phases: Sequence[Phase], seed: int, callee: Unwell) -> Storm:
    """Send the phases' calls under the policy."""
    runtime = virtual_runtime(seed)
    pipeline = policy.bind("callee", runtime)
    storm = Storm()

    def begin(number: int) -> None:
        callee.phase, callee.slowness = number, phases[number].slowness

    async def attempt() -> None:
        storm.attempts[int(runtime.clock())] += 1
        await callee()

    async def call(_: int) -> None:
        second = int(runtime.clock())
        storm.calls[second] += 1
        try:
            await pipeline.call(attempt)
        except (ResilienceError, ConnectionError):
            return
        storm.answered[second] += 1

    await open_loop(phases, seed, begin, call)
    return storm


def slow(policy: Policy, seed: int) -> Storm:
    """Ten seconds at a quarter of the speed."""
    return run_virtual(simulate(policy, SLOW, seed, Unwell(seed, most_waiting=1000)))


def outage(policy: Policy, seed: int, trouble: str, seconds: int = 10) -> float:
    """Amplification while the callee is gone, after and before as long a time without trouble."""
    callee = Unwell(seed, most_waiting=1000, trouble=trouble)
    storm = run_virtual(simulate(policy, (Phase(seconds, 600),) * 3, seed, callee))
    return storm.amplification(range(seconds, 2 * seconds))


def unlucky(policy: Policy, seed: int, failing: float, seconds: int = 30) -> float:
    """Success in percent while this share of attempts fails at random."""
    phases = (HEALTHY[0], HEALTHY[1]._replace(seconds=seconds))
    callee = Unwell(seed, most_waiting=1000, failing=failing)
    storm = run_virtual(simulate(policy, phases, seed, callee))
    return storm.success_percent(range(2, 2 + seconds))


def busy(policy: Policy, seed: int) -> tuple[float, float]:
    """Amplification and goodput in percent of capacity at a steady 120 % load."""
    storm = run_virtual(simulate(policy, BUSY, seed, Unwell(seed, most_waiting=100)))
    seconds = range(5, 25)
    answered = sum(storm.answered[s] for s in seconds) / len(seconds)
    return storm.amplification(seconds), 100 * answered / CAPACITY_PER_S


def measure(seed: int) -> dict[str, Any]:
    """All tables as data."""
    storms = {}
    for name, policy in POLICIES.items():
        storm = slow(policy, seed)
        amplified, goodput = busy(policy, seed)
        storms[name] = {
            "slow_amplification": round(storm.amplification(range(20, 30)), 2),
            "normal_after_s": storm.normal_after_s(30, 70),
            "refused_amplification": round(outage(policy, seed, "refuses"), 3),
            "hanging_amplification": round(outage(policy, seed, "hangs"), 3),
            "success_5_percent": round(unlucky(policy, seed, 0.05), 1),
            "success_20_percent": round(unlucky(policy, seed, 0.2), 1),
            "busy_amplification": round(amplified, 2),
            "busy_goodput_percent": round(goodput),
        }
    return {"machine": machine(), "seed": seed, "storms": storms, **queues.measure(seed)}


def tables(measured: dict[str, Any]) -> Iterator[str]:
    """The data as Markdown."""
    yield f"One seed. {measured['machine']}"
    yield ""
    yield from markdown(
        [
            "600/s on 800/s, attempt timeout 0.5 s",
            "10 s at quarter speed: attempts per call",
            "normal again after",
            "10 s gone, refusing / hanging: attempts per call",
            "success at 5 % / 20 % random failures",
            "steady 120 % load: attempts per call / goodput",
        ],
        [_storm_row(name, found) for name, found in measured["storms"].items()],
    )
    yield ""
    yield from markdown(
        [
            "server at 150 % load",
            "goodput % of capacity",
            "p50 / p99 ms",
            "work on dead requests",
            "answered after load drops to 50 %",
        ],
        [_queue_row(name, found) for name, found in measured["queues"].items()],
    )
    yield ""
    yield from markdown(
        ["150 % load, two classes", "answered of class 8 (a fifth)", "answered of class 5"],
        [
            [name, f"{by['8']:.1f} %", f"{by['5']:.1f} %"]
            for name, by in measured["classes"].items()
        ],
    )


def _storm_row(name: str, found: dict[str, Any]) -> list[str]:
    after = found["normal_after_s"]
    return [
        name,
        f"{found['slow_amplification']:.2f}x",
        "never (40 s)" if after is None else f"{after} s",
        f"{found['refused_amplification']:.3f}x / {found['hanging_amplification']:.3f}x",
        f"{found['success_5_percent']:.1f} / {found['success_20_percent']:.1f} %",
        f"{found['busy_amplification']:.2f}x / {found['busy_goodput_percent']} %",
    ]


def _queue_row(name: str, found: dict[str, Any]) -> list[str]:
    return [
        name,
        f"{found['goodput_percent']:.0f}",
        f"{found['p50_ms']} / {found['p99_ms']}",
        f"{found['dead_work_percent']} %",
        f"{found['after_percent']:.0f} %",
    ]


def storm_picture(seed: int) -> str:
    """Attempts and answers over time."""
    storms = {name: slow(policy, seed) for name, policy in POLICIES.items()}
    marks = {20.0: "quarter speed", 30.0: "repaired"}
    seconds = range(70)

    def points(counts: Counter[int]) -> list[tuple[float, float]]:
        return [(float(second), float(counts[second])) for second in seconds]

    return svg.lines(
        "600 requests per second meet ten slow seconds (simulated)",
        "seconds",
        [
            svg.Panel(
                "attempts per second",
                {name: points(storm.attempts) for name, storm in storms.items()},
                marks=marks,
            ),
            svg.Panel(
                "calls answered, by the second they began",
                {name: points(storm.answered) for name, storm in storms.items()},
                marks=marks,
            ),
        ],
    )


def main() -> None:
    """Run, print, draw."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seed", type=int, default=9, help="of all chance")
    options.add_argument("--json", action="store_true", help="print the data instead of tables")
    options.add_argument("--svg", action="store_true", help="write the pictures and nothing else")
    chosen = options.parse_args()
    if chosen.svg:
        for name, draw in (("storm", storm_picture), ("queue", queues.picture)):
            (PICTURES / f"{name}.svg").write_text(draw(chosen.seed))
            print(PICTURES / f"{name}.svg")
        return
    measured = measure(chosen.seed)
    print(json.dumps(measured, indent=1) if chosen.json else "\n".join(tables(measured)))


if __name__ == "__main__":
    main()
