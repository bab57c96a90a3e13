"""What happened to a reservation: its log, and what was tried on the way to each line of it.

Invariant: what was tried is written in the same transaction as its line, so it costs no commit; and of a step whose one
attempt went well there is nothing to write.
"""

import sqlite3
from collections.abc import Sequence

from reservations.domain import Errand, Line, Try

Db = sqlite3.Connection


def keep(db: Db, line: int | None, tries: Sequence[Try]) -> None:
    """Write down what was tried on the way to a line of the log."""
    if tries:
        db.executemany(
            "INSERT INTO saga_try (line, at, took_s, service, kind, outcome, detail)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(line, *one) for one in tries],
        )


def lines(db: Db, saga: int) -> list[Line]:
    """The log with its tries, in order."""
    tries: dict[int, list[Try]] = {}
    for number, *values in db.execute(
        "SELECT line, saga_try.at, took_s, service, kind, outcome, saga_try.detail FROM saga_try"
        " JOIN saga_log ON saga_log.seq = line WHERE saga = ? ORDER BY saga_try.seq",
        (saga,),
    ):
        tries.setdefault(number, []).append(Try._make(values))
    log = db.execute(
        "SELECT seq, at, step, attempt, from_state, to_state, detail FROM saga_log"
        " WHERE saga = ? ORDER BY seq",
        (saga,),
    )
    return [Line._make((*values, tuple(tries.get(number, ())))) for number, *values in log]


def errands(db: Db, saga: int) -> list[Errand]:
    """What it owed to others, in order."""
    found = db.execute(
        "SELECT key, kind, state, created_at, sent_at, detail FROM outbox WHERE saga = ? ORDER BY id",
        (saga,),
    )
    return [Errand._make(values) for values in found]
