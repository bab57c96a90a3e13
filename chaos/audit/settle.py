"""Wait until the mesh is at rest: until nothing is open, watching the distance to every invariant shrink.

A mesh that recovers gets closer to its invariants all the time, so what counts is not how long it takes but whether it
still gets closer (Restate's lesson: watch convergence, and fail as soon as it stalls).
"""

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chaos.audit.books import Books, BooksMissing, in_folder
from chaos.audit.report import OPEN, judge

_MOST_WAITS: Final = 10
"""Bound of the whole wait, in lengths of the longest stall."""

_LOOK_EVERY_S: Final = 0.25
_LOOK_SHARE: Final = 0.25
"""Largest share of the time that looking may take."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the books while waiting.

    Attributes:
        waited_s: Since the wait began.
        distances: By number of the invariant, how much breaks it; those at 0 are left out.
    """

    waited_s: float
    distances: dict[str, int]

    @property
    def distance(self) -> int:
        """How far from rest."""
        return sum(self.distances.values())


async def settle(
    data: Path,
    *,
    stall_s: float,
    now: Callable[[], float],
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
    show: Callable[[Look], None] = lambda _look: None,
) -> Look:
    """Look until every invariant without a journal holds twice in a row, or the distance stalls.

    Args:
        data: Folder of the databases.
        stall_s: Give up after so many seconds without coming closer; 0 looks once.
        now: Epoch seconds.
        clock: Monotonic seconds.
        sleep: Waits.
        show: Told of every look.

    Returns:
        The last look; at rest if its distance is 0.

    Raises:
        BooksMissing: A database is not there, or has no tables yet.
    """
    began_s = clock()
    best, closer_at_s, rests = None, began_s, 0
    while True:
        looked_s = clock()
        look = Look(looked_s - began_s, _distances(data, now()))
        took_s = clock() - looked_s
        show(look)
        # The five snapshots are not one moment: a single look may miss what is on its way between two of them.
        rests = rests + 1 if look.distance == 0 else 0
        if best is None or look.distance < best:
            best, closer_at_s = look.distance, looked_s
        stalled = looked_s - closer_at_s >= stall_s or looked_s - began_s >= _MOST_WAITS * stall_s
        if rests >= 2 or (stalled and rests == 0):
            return look
        await sleep(max(_LOOK_EVERY_S, took_s / _LOOK_SHARE))


def still_open(books: Books) -> int:
    """How many rows somebody still has to do something about; 0 at rest. One statement: no need of `books.as_of`.

    Of what makes an audit wait (I6, I13, I15, I17) it counts what is under way, and nothing that is merely wrong. A
    database in which somebody is writing just now counts as one.

    Raises:
        BooksMissing: A database has no tables yet.
    """
    try:
        return int(books.rows(OPEN)[0][0])
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            return 1
        raise BooksMissing(str(error)) from error


def _distances(data: Path, now: float) -> dict[str, int]:
    with Books(in_folder(data)) as books, books.as_of(now):
        results = judge(books)
    return {result.invariant.number: len(result.findings) for result in results if result.findings}
