"""Who buys when. Pure: the same plan and seed give the same schedule, whatever number of processes share it."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Self

MAX_REQUESTS: Final = 200_000
"""Most reservations of one run: as many lines in the journal, and as many rows for the auditor."""

MAX_DURATION_S: Final = 3600.0
MAX_RATE_PER_S: Final = 20_000.0
MAX_WORKERS: Final = 500
MAX_PROCESSES: Final = 16

MAX_IN_FLIGHT: Final = 4_000
"""Requests in flight, of all processes together; each has a connection. Who would be one more is *not sent*, and counts
as such. A gateway that answers within its deadline of 5 s reaches it at 800/s only if it answers nobody at all."""

Arrivals = Literal["constant", "poisson"]
"""Evenly spaced, or independent of each other (exponential gaps), as buyers are who do not know each other."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send.

    Attributes:
        event_id: What everybody wants.
        requests: How many in all.
        workers: Closed loop: how many at once; 0 in an open one.
        rate_per_s: Open loop: how many start each second; 0 in a closed one.
        arrivals: Open loop: how the starts are spread.
        seed: Decides the arrivals of `poisson`.
        unique_users: Each request from a user of its own, else all from one.
        processes: How many share the work.
    """

    event_id: str
    requests: int
    workers: int = 0
    rate_per_s: float = 0.0
    arrivals: Arrivals = "constant"
    seed: int = 1
    unique_users: bool = False
    processes: int = 1

    @property
    def is_open(self) -> bool:
        """Whether requests start by the clock, not when an answer has come."""
        return self.rate_per_s > 0

    @property
    def duration_s(self) -> float | None:
        """How long an open loop goes on starting requests, seconds; None of a closed one."""
        return self.requests / self.rate_per_s if self.is_open else None

    def starts(self) -> Iterator[float]:
        """Open loop: intended starts, seconds after the beginning."""
        if self.arrivals == "constant":
            for index in range(self.requests):
                yield index / self.rate_per_s
            return
        lots = random.Random(self.seed)  # noqa: S311 - repeatable on purpose
        due_s = 0.0
        for _ in range(self.requests):
            due_s += lots.expovariate(self.rate_per_s)
            yield due_s


@dataclass(frozen=True, slots=True)
class Share:
    """What one process does of a plan.

    Attributes:
        plan: The whole.
        number: Which part, from 0.
        run: Makes keys differ from those of other runs.
        room: Most requests in flight of this process.
    """

    plan: Plan
    number: int
    run: str
    room: int

    @property
    def workers(self) -> int:
        """Its workers, in a closed loop."""
        return len(range(self.number, self.plan.workers, self.plan.processes))

    @property
    def indices(self) -> range:
        """Numbers of its requests."""
        return range(self.number, self.plan.requests, self.plan.processes)

    def starts(self) -> Iterator[tuple[int, float]]:
        """Open loop: number and intended start of each of its requests.

        Everybody draws the whole schedule and takes a part, so that the parts make the whole again.
        """
        for index, due_s in enumerate(self.plan.starts()):
            if index % self.plan.processes == self.number:
                yield index, due_s

    def as_wire(self) -> dict[str, Any]:
        """For another process, as JSON."""
        return asdict(self)

    @classmethod
    def from_wire(cls, document: Mapping[str, Any]) -> Self:
        """What `as_wire` gave."""
        return cls(**{**document, "plan": Plan(**document["plan"])})
