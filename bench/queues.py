"""Simulate a server at 150 % load behind a Shield, with and without a queue; `bench.storms` prints it.

Eight workers x 10 ms, requests come whatever happens, clients give up after 1 s.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bench import svg
from bench.simulated import CAPACITY_PER_S, PATIENCE_S, WORKERS, Callee, Phase, open_loop, quantile
from resilience import Limit, Queue, Shield, read_priority
from resilience.testing import run_virtual, virtual_runtime

PHASES: Final = (Phase(10, 400), Phase(30, 1200, label="150 % load"), Phase(20, 400))
_UNLIMITED: Final = Limit(fixed=1_000_000)
SHIELDS: Final[Mapping[str, dict[str, Any]]] = {
    "everybody waits, first come first served": {"limit": _UNLIMITED},
    "the same, at most 100 wait": {"limit": Limit(fixed=WORKERS + 100)},
    "Limit(fixed=8), nobody waits": {"limit": Limit(fixed=WORKERS)},
    "Limit(fixed=8), Queue()": {"limit": Limit(fixed=WORKERS), "queue": Queue()},
}
RANKED: Final[dict[str, Any]] = {
    "limit": Limit(fixed=WORKERS),
    "queue": Queue(),
    "priority": read_priority,
}
"""As the last one, for requests of two classes."""


@dataclass
class Served:
    """What became of the requests that came in one phase, by priority class.

    Attributes:
        arrived: How many came.
        latencies_s: Of answers in time.
        late: Answers that came when the client had given up.
    """

    arrived: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    latencies_s: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    late: int = 0

    @property
    def in_time(self) -> list[float]:
        """Latencies of all classes."""
        return [latency for latencies in self.latencies_s.values() for latency in latencies]

    def answered_ratio(self, priority: int) -> float:
        """Share of a class that was answered in time."""
        return len(self.latencies_s[priority]) / max(1, self.arrived[priority])


@dataclass
class Day:
    """One Shield, all phases.

    Attributes:
        served: Per phase.
        by_second: Latencies of answers in time, by the second in which they came.
    """

    served: list[Served]
    by_second: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))


async def simulate(
    options: Mapping[str, Any], phases: tuple[Phase, ...], seed: int, important: int = 0
) -> Day:
    """Send requests to a server behind a Shield.

    Args:
        options: The Shield's.
        phases: The load.
        seed: Of all chance.
        important: Every so manyth request is of class 8, all others of class 5; 0 means none.
    """
    runtime = virtual_runtime(seed)
    callee = Callee(seed)

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await callee()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    shield = Shield(app, name="server", runtime=runtime, **options)
    day = Day([Served() for _ in phases])
    came = 0

    async def call(number: int) -> None:
        nonlocal came
        came += 1
        served, priority = day.served[number], 8 if important and came % important == 0 else 5
        began_s = runtime.clock()
        served.arrived[priority] += 1
        status = await _status(shield, priority)
        latency_s = runtime.clock() - began_s
        if status != 200:
            return
        if latency_s > PATIENCE_S:
            served.late += 1
            return
        served.latencies_s[priority].append(latency_s)
        day.by_second[int(runtime.clock())].append(latency_s)

    await open_loop(phases, seed, lambda _: None, call)
    return day


async def _status(shield: Shield, priority: int) -> int:
    status = 0

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    headers = [(b"x-priority", str(priority).encode())]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
    await shield(scope, _nothing, send)
    return status


async def _nothing() -> dict[str, Any]:
    return {"type": "http.disconnect"}


def measure(seed: int = 5, shorter: float = 1.0) -> dict[str, Any]:
    """Both tables as data.

    Args:
        seed: Of all chance.
        shorter: Factor of the phases' lengths.
    """
    phases = tuple(_shortened(phase, shorter) for phase in PHASES)
    found: dict[str, Any] = {"queues": {}, "classes": {}}
    for name, options in SHIELDS.items():
        day = run_virtual(simulate(options, phases, seed))
        found["queues"][name] = figures(day, phases)
    for name, options in {
        "Queue()": SHIELDS["Limit(fixed=8), Queue()"],
        "with priority": RANKED,
    }.items():
        overload = run_virtual(simulate(options, phases, seed, important=5)).served[1]
        found["classes"][name] = {
            str(priority): round(100 * overload.answered_ratio(priority), 1) for priority in (8, 5)
        }
    return found


def figures(day: Day, phases: tuple[Phase, ...]) -> dict[str, float]:
    """One row of the table."""
    overload, after = day.served[1], day.served[2]
    in_time = overload.in_time
    reachable = CAPACITY_PER_S * phases[1].seconds
    return {
        "goodput_percent": round(100 * len(in_time) / reachable, 1),
        "p50_ms": round(1000 * quantile(in_time, 0.5)),
        "p99_ms": round(1000 * quantile(in_time, 0.99)),
        "dead_work_percent": round(100 * overload.late / max(1, overload.late + len(in_time))),
        "after_percent": round(100 * len(after.in_time) / sum(after.arrived.values()), 1),
    }


def picture(seed: int) -> str:
    """Answers in time and how long they took."""
    days = {name: run_virtual(simulate(options, PHASES, seed)) for name, options in SHIELDS.items()}
    marks = {0.0: "50 % load", 10.0: "150 % load", 40.0: "50 % load"}
    seconds = range(60)
    return svg.lines(
        "A server at 150 % load (simulated)",
        "seconds",
        [
            svg.Panel(
                "answered in time, requests per second",
                {
                    name: [(float(s), float(len(day.by_second[s]))) for s in seconds]
                    for name, day in days.items()
                },
                marks=marks,
            ),
            svg.Panel(
                "median time to an answer, ms",
                {
                    name: [
                        (float(s), 1000 * quantile(day.by_second[s], 0.5))
                        for s in seconds
                        if day.by_second[s]
                    ]
                    for name, day in days.items()
                },
                top=250,
                marks=marks,
            ),
        ],
    )


def _shortened(phase: Phase, factor: float) -> Phase:
    """The same load for a shorter or longer time."""
    return phase._replace(seconds=phase.seconds * factor)
