"""Many seeds over all cores: what failed, what happened, and what never did."""

import gc
import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import structlog

from chaos.audit.arrows import ARROWS
from chaos.simulate.network import FAULTS
from chaos.simulate.run import first_start, run_seed
from chaos.simulate.scenario import NEMESES
from chaos.simulate.tally import Tally
from chaos.tether import die_with

CHUNK: Final = 20
"""Seeds that one process plays between two reports."""

_DATABASES: Final = {
    "hold": "inventory",
    "saga": "reservations",
    "payment": "payments",
    "message": "notifications",
}
_NO_MAIL_SERVER: Final = frozenset(
    {
        ("INFLIGHT", "DEAD"),
        ("DEAD", "ACCEPTED"),
        ("INFLIGHT", "ACCEPTED"),
        ("INFLIGHT", "INFLIGHT"),
    }
)

EXPECTED_FAULTS: Final = (
    *FAULTS,
    *NEMESES,
    "connection refused",
    "start fails",
    "disk slow",
    "disk fails before commit",
    "disk fails after commit",
    "disk fails to open",
)
"""Faults that must have taken effect somewhere in enough seeds."""

EXPECTED_ARROWS: Final = frozenset(
    f"{_DATABASES[machine]}: {was or '∅'} → {now}"
    for machine, was, now, _ in ARROWS
    if machine in _DATABASES
    # Mail that is refused, or half delivered, needs a mail server, which no world has: the mailbox is one commit.
    and not (machine == "message" and (was, now) in _NO_MAIL_SERVER)
)
"""Transitions that must have been committed somewhere in enough seeds: the auditor's own list."""


class Failure(NamedTuple):
    """A seed that failed.

    Attributes:
        seed: Which.
        violations: What is wrong.
    """

    seed: int
    violations: list[str]


@dataclass(slots=True)
class Sweep:
    """What many seeds came to.

    Attributes:
        first: The first seed.
        seeds: How many were played.
        failures: By seed.
        tally: The sum of all counts.
    """

    first: int
    seeds: int = 0
    failures: list[Failure] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    @property
    def ok(self) -> bool:
        """Whether every seed held."""
        return not self.failures

    def never(self) -> list[str]:
        """What should have happened somewhere and did not."""
        return self.tally.never(EXPECTED_FAULTS, EXPECTED_ARROWS)


def sweep(
    first: int,
    seeds: int,
    *,
    jobs: int,
    wal: bool = False,
    show: Callable[[Sweep], None] = lambda _sweep: None,
) -> Sweep:
    """Play `seeds` seeds from `first` on.

    Args:
        first: The first seed.
        seeds: How many.
        jobs: Processes; with 1, this one.
        wal: As in `run_seed`.
        show: Told after every chunk, in whatever order they end.
    """
    total = Sweep(first)
    chunks = (
        (start, min(CHUNK, first + seeds - start)) for start in range(first, first + seeds, CHUNK)
    )
    for played, failures, tally in _play_all(chunks, jobs, wal):
        total.seeds += played
        total.failures = sorted([*total.failures, *failures])
        total.tally.add(tally)
        show(total)
    return total


_Played = tuple[int, list[Failure], Tally]


def _play_all(chunks: Iterator[tuple[int, int]], jobs: int, wal: bool) -> Iterator[_Played]:
    if jobs == 1:
        with quiet():
            _warm()
            try:
                yield from (_play(*chunk, wal) for chunk in chunks)
            finally:
                gc.unfreeze()
                gc.enable()
        return
    context = multiprocessing.get_context("spawn")  # a forked event loop or connection is nobody's
    with ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_prepare, initargs=(os.getpid(),)
    ) as pool:
        running: set[Future[_Played]] = set()
        for chunk in chunks:
            running.add(pool.submit(_play, *chunk, wal))
            if len(running) > 2 * jobs:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in done)
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (one.result() for one in done)


@contextmanager
def quiet() -> Iterator[None]:
    """Simulated services complain all the time, with reason; for the length of the block nobody hears it."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def _prepare(runner_pid: int) -> None:
    """Make a process that does nothing else ready to play: quiet and warm."""
    if sys.platform == "linux" and not die_with(runner_pid):
        sys.exit(1)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        cache_logger_on_first_use=True,
    )
    _warm()


def _warm() -> None:
    """Play the first start, and leave nothing old for the collector to look at."""
    first_start()
    gc.collect()
    gc.freeze()
    gc.disable()  # `_play` collects


def _play(first: int, seeds: int, wal: bool) -> _Played:
    failures, tally = [], Tally()
    for seed in range(first, first + seeds):
        result = run_seed(seed, wal=wal)
        tally.add(result.tally)
        gc.collect()  # a little and often is cheapest
        if not result.ok:
            failures.append(Failure(seed, result.violations))
    return seeds, failures, tally
