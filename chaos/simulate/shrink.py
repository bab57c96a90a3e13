"""The smallest world that still fails in the same way: leave out what is not needed, and again, until nothing is left.

Greedy delta debugging over names (`Result.struck`): buyers, acts of the nemesis, kinds of faults, single faults. Every
party has its own stream of chance, so that leaving one out does not change the luck of the others; often enough it
changes what they do.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from chaos.simulate.network import FAULTS
from chaos.simulate.run import Result, run_seed
from chaos.simulate.scenario import NEMESES
from chaos.simulate.trace import Trace

LIMIT: Final = 400
"""Runs at most."""


class Shrunk(NamedTuple):
    """What is left.

    Attributes:
        before: The run as it was.
        after: The smallest found, with its timeline.
        runs: How many were tried.
    """

    before: Result
    after: Result
    runs: int


def shrink(
    seed: int,
    *,
    wal: bool = False,
    limit: int = LIMIT,
    show: Callable[[int, int], None] = lambda _runs, _left: None,
) -> Shrunk | None:
    """Shrink the world of a seed; None if nothing is wrong in it.

    Args:
        seed: Which.
        wal: As in `run_seed`.
        limit: Runs at most.
        show: Told after each run how many there were, and how many parts are left.
    """
    before = run_seed(seed, wal=wal)
    if before.ok:
        return None
    search = _Search(before, wal, limit, show)
    for name in (*FAULTS, *NEMESES):  # kinds first: each leaves out many
        search.without([name])
    size = max(1, len(search.left()) // 2)
    while search.halve(size) or size > 1:
        size = max(1, size // 2)
    after = run_seed(seed, muted=search.best.muted, wal=wal, trace=Trace(keep=True))
    return Shrunk(before, after, search.runs)


class _Search:
    """What was tried, and the smallest world found."""

    def __init__(
        self, before: Result, wal: bool, limit: int, show: Callable[[int, int], None]
    ) -> None:
        self.best = before
        self.runs = 1
        self._wanted = before.broken
        self._wal = wal
        self._limit = limit
        self._show = show

    def left(self) -> list[str]:
        """The parts of the smallest world."""
        return list(dict.fromkeys(self.best.struck))

    def without(self, names: Sequence[str]) -> bool:
        """Leave out these too; whether it still fails alike, and is the smallest from now on."""
        if self.runs >= self._limit:
            return False
        self.runs += 1
        muted = self.best.muted | frozenset(names)
        found = run_seed(self.best.scenario.seed, muted=muted, wal=self._wal)
        self._show(self.runs, len(self.left()))
        if not found.broken & self._wanted:
            return False
        self.best = found
        return True

    def halve(self, size: int) -> bool:
        """Try to leave out every run of `size` parts; whether one could be."""
        parts = self.left()
        tried = [self.without(parts[at : at + size]) for at in range(0, len(parts), size)]
        return any(tried)
