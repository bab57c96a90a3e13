"""What really happened in a run, counted: the "sometimes" of Antithesis. A fault that never took effect tests nothing.

Counters add up over runs; `never` says what the sum has not seen.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Self


@dataclass(slots=True)
class Tally:
    """Counts of one run, or the sum of many.

    Attributes:
        faults: By name, how often a fault took effect: a message lost, a commit failed, a process killed.
        commits: By database, transitions (`inventory: HELD → SOLD`) and other work (`inventory: other`).
        calls: `caller → callee path`.
        killed: `before` or `after` one of `commits` and `calls`.
        answers: `status code`, as heard by buyers.
        sums: runs, sagas, requests, virtual seconds, steps of the loop.
    """

    faults: Counter[str] = field(default_factory=Counter)
    commits: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)

    def add(self, other: Self) -> None:
        """Add another's counts."""
        for one in fields(self):
            getattr(self, one.name).update(getattr(other, one.name))

    def as_json(self) -> dict[str, Any]:
        """For machines: names in order."""
        return {one.name: dict(sorted(getattr(self, one.name).items())) for one in fields(self)}

    @classmethod
    def from_json(cls, found: dict[str, dict[str, int]]) -> Self:
        """The reverse of `as_json`."""
        return cls(**{name: Counter(counts) for name, counts in found.items()})

    def never(self, faults: Iterable[str], arrows: Iterable[str]) -> list[str]:
        """What should have been seen and was not: faults, arrows, and kills before and after every commit and call."""
        missing = [f"fault: {name}" for name in sorted(faults) if not self.faults[name]]
        missing += [f"arrow: {name}" for name in sorted(arrows) if not self.commits[name]]
        # Buyers are no processes.
        calls = [name for name in self.calls if not name.startswith("buyers ")]
        places = sorted([*self.commits, *calls])
        missing += [
            f"killed {moment}: {place}"
            for place in places
            for moment in ("before", "after")
            if not self.killed[f"{moment} {place}"]
        ]
        return missing
