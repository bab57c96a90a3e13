"""One seed, played and judged."""

import asyncio
import sqlite3
import tempfile
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from chaos.audit import Books, BooksMissing, audit_books
from chaos.journal import Recording
from chaos.simulate.loop import SimulationError, SimulationLoop
from chaos.simulate.scenario import Scenario, draw
from chaos.simulate.seam import EPOCH, sealed
from chaos.simulate.tally import Tally
from chaos.simulate.trace import Trace
from chaos.simulate.world import DATABASES, World

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - files of a run, each in a folder of its own

_JOURNAL: Final = Path("buyers.jsonl")

_LARGEST_HALL: Final = 40
"""Seats of an event, of which every world takes some away."""

_OPEN: Final = {
    "reservations": "SELECT reservation_id || ' ' || state FROM reservation"
    " WHERE state IN ('RECEIVED', 'HELD', 'AUTHORIZED', 'CANCELLING', 'REFUNDING')"
    " UNION ALL SELECT key || ' outbox' FROM outbox WHERE state = 'PENDING'",
    "inventory": "SELECT hold_id || ' ' || state FROM hold WHERE state = 'HELD'",
    "payments": "SELECT payment_ref || ' ' || state FROM payment WHERE state LIKE '%PENDING'",
    "notifications": "SELECT notification_id || ' ' || state FROM message WHERE state IN ('ACCEPTED', 'INFLIGHT')",
    "provider": "SELECT '' WHERE 0",
}


@dataclass(slots=True)
class Result:
    """What became of one seed.

    Attributes:
        scenario: What was played.
        violations: Sentences, each beginning with what is broken; empty when everything holds.
        tally: What happened, counted.
        trace: The digest, and the timeline if it was kept; None if neither was wanted.
        struck: Single faults that struck, acts of the nemesis, and buyers who came: what shrinking can leave out.
        muted: What was left out.
    """

    scenario: Scenario
    violations: list[str]
    tally: Tally
    trace: Trace | None = None
    struck: list[str] = field(default_factory=list)
    muted: frozenset[str] = frozenset()

    @property
    def ok(self) -> bool:
        """Whether nothing is violated."""
        return not self.violations

    @property
    def broken(self) -> frozenset[str]:
        """Names of what is violated: numbers of invariants, `LIVENESS`, `MAY_SAY`, `TOMBSTONE`, `ERROR`."""
        return frozenset(violation.split(" ", 1)[0] for violation in self.violations)


def run_seed(
    seed: int,
    *,
    trace: Trace | None = None,
    muted: frozenset[str] = frozenset(),
    wal: bool = False,
) -> Result:
    """Play a seed to its end and judge it. The same arguments give the same result, always and everywhere.

    Args:
        seed: Which.
        trace: Collects digest and timeline; costs time.
        muted: What to leave out; see `Result.struck`.
        wal: Databases are WAL files instead of memory.
    """
    scenario = draw(seed)
    images = {} if scenario.fresh else first_start()
    with ExitStack() as stack:
        folder = (
            Path(stack.enter_context(tempfile.TemporaryDirectory(dir=_fast_folder())))
            if wal
            else None
        )
        return _play(scenario, images, trace, muted, folder)


@cache
def first_start() -> dict[str, bytes]:
    """The databases as the services leave them after their first start: most worlds begin there."""
    scenario = draw(0)
    with _Stage(scenario, None, frozenset(), None) as stage:
        stage.run(stage.world.ready())
        stage.world.cut_halls((_LARGEST_HALL, _LARGEST_HALL))
        return {name: disk.save() for name, disk in stage.world.disks.items()}


class _Stage:
    """A world on its loop, sealed for the length of the block."""

    def __init__(
        self,
        scenario: Scenario,
        trace: Trace | None,
        muted: frozenset[str],
        folder: Path | None,
        images: dict[str, bytes] | None = None,
    ) -> None:
        self.loop = SimulationLoop(trace)
        self.world = World(scenario, self.loop, trace=trace, muted=muted, folder=folder)
        self._images = images or {}
        self._trace = trace
        self._stack = ExitStack()

    def __enter__(self) -> "_Stage":
        self._stack.enter_context(sealed(self.loop, self.world.scenario.seed))
        self._stack.callback(self.world.close)
        self._stack.callback(self.loop.bury)
        self.world.start(self._images)
        return self

    def __exit__(self, *_error: object) -> None:
        if self._trace is not None:
            self._trace.seal()
        self._stack.close()

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine to its end."""
        self.loop.run_until_complete(main)


def _play(
    scenario: Scenario,
    images: dict[str, bytes],
    trace: Trace | None,
    muted: frozenset[str],
    folder: Path | None,
) -> Result:
    with _Stage(scenario, trace, muted, folder, images) as stage:
        world, loop = stage.world, stage.loop
        violations: list[str] = []
        try:
            stage.run(_live(world, violations))
        except SimulationError as error:
            violations.append(f"LIVENESS {error}")
        except sqlite3.Error as error:  # somebody has left a transaction open
            violations.append(f"ERROR a database cannot be read: {error}")
        violations += _errors(loop)
        world.tally.sums.update(
            runs=1,
            sagas=_count(world),
            requests=sum(world.tally.calls.values()),
            virtual_s=int(loop.now_s),
            steps=loop.steps,
        )
        struck = [*world.network.struck, *world.nemesis.acts, *world.crowd.names()]
        return Result(scenario, violations, world.tally, trace, struck, muted)


async def _live(world: World, violations: list[str]) -> None:
    def still_open() -> Sequence[str]:
        return [row[0] for name in DATABASES for row in world.disks[name].rows(_OPEN[name])]

    await world.ready()
    await world.crowd.count()
    await world.chaos()
    left = await world.calm(still_open)
    violations += [f"LIVENESS still open: {one}" for one in left]
    await world.crowd.count()
    violations += _audit(world)
    violations += world.witness.violations


def _audit(world: World) -> list[str]:
    began_at = EPOCH.timestamp()
    recording = Recording(_JOURNAL, began_at, tuple(world.crowd.entries))
    try:
        with _books(world) as books:
            now_s = began_at + asyncio.get_running_loop().time()
            report = audit_books(books, now=now_s, recordings=[recording])
    except (sqlite3.Error, BooksMissing) as error:
        return [f"ERROR the books cannot be read: {error}"]
    return [
        f"{result.invariant.number} {result.invariant.name}: {finding.what} {finding.facts}"
        for result in report.results
        for finding in result.findings
    ]


@contextmanager
def _books(world: World) -> Iterator[Books]:
    """The databases as they are; of those in memory a copy, for whose queries the auditor's desk stays set up."""
    if world.in_files:
        with Books({name: f"{disk.uri}?mode=ro" for name, disk in world.disks.items()}) as books:
            yield books
    else:
        _desk().load({name: disk.save() for name, disk in world.disks.items()})
        yield _desk()


@cache
def _desk() -> Books:
    return Books()


def _errors(loop: SimulationLoop) -> list[str]:
    return [
        f"ERROR {context.get('message')}: {context['exception']!r}"
        for context in loop.errors
        if context.get("exception") is not None
    ]


def _count(world: World) -> int:
    count: int = world.disks["reservations"].rows("SELECT COUNT(*) FROM reservation")[0][0]
    return count


def _fast_folder() -> Path | None:
    return MEMORY if MEMORY.is_dir() else None
