"""Simulated disks: SQLite databases that outlive their processes, fail, fill up and are slow, on virtual time.

A database is a shared in-memory one, or with `folder` a WAL file. aiosqlite's thread is replaced by a place in the
loop's queue (`chassis.runtime.InlineConnection`); everything above it, and SQLite below it, is the real thing. The
connection sees each COMMIT: there it fails before or after, and there its process can be killed before or after.

A process that is killed loses its connections and with them what it had not committed. What was committed stays: loss
of power is not simulated.
"""

import random
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import aiosqlite

from chaos.simulate.loop import PROCESS, Process, SimulationLoop
from chaos.simulate.tally import Tally
from chaos.simulate.trace import Trace
from chassis.runtime import InlineConnection

Moment = Literal["before", "after"]
Witnessing = Callable[[sqlite3.Connection, Sequence["Arrow"], bool], None]

_NO_LIMIT: Final = 1_073_741_823

NEWS: Final = {
    "reservations": (
        "SELECT seq, reservation_id, from_state, to_state FROM saga_log JOIN reservation USING (saga) WHERE seq > ?"
    ),
    "inventory": "SELECT seq, hold_id, from_state, to_state FROM hold_log WHERE seq > ?",
    "payments": "SELECT seq, payment_ref, from_state, to_state FROM payment_log WHERE seq > ?",
    "notifications": "SELECT seq, notification_id, from_state, to_state FROM message_log WHERE seq > ?",
    "provider": "SELECT seq, ref, NULL, kind FROM entry WHERE seq > ?",
}
"""By database, how to read what a transaction adds to its log of transitions."""

_numbers = count()  # names no two databases of one interpreter alike


class Arrow(NamedTuple):
    """A transition in a database's log."""

    seq: int
    subject: str
    was: str | None
    now: str

    def label(self, database: str) -> str:
        """Its kind."""
        return f"{database}: {self.was or '∅'} → {self.now}"


@dataclass(slots=True)
class DiskFaults:
    """How a disk is, until further notice. Probabilities per transaction.

    Attributes:
        latency_s: Mean time of one transaction.
        slow: Of taking up to `slow_max_s` more.
        slow_max_s: Seconds.
        fail_before: Of an error with nothing stored.
        fail_after: Of an error with everything stored.
    """

    latency_s: float = 0.001
    slow: float = 0.0
    slow_max_s: float = 1.0
    fail_before: float = 0.0
    fail_after: float = 0.0


class Killed(BaseException):
    """The process died in the middle of a transaction."""


class Disk:
    """One database.

    Args:
        name: Of the database.
        loop: The run's.
        seed: Names every draw.
        tally: Counts what took effect.
        trace: Told of every commit.
        folder: Where its file is; in memory if None.

    Attributes:
        faults: How it is now.
        witness: Told, with the connection, what is about to be committed (False), and the same once it is (True).
    """

    def __init__(
        self,
        name: str,
        loop: SimulationLoop,
        *,
        seed: int,
        tally: Tally,
        trace: Trace | None = None,
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self.faults = DiskFaults()
        self.witness: Witnessing = lambda _connection, _arrows, _done: None
        self._loop = loop
        self._chance = random.Random(f"disk:{seed}:{name}")
        self._tally = tally
        self._trace = trace
        self._full = False
        self._kill: tuple[int, Moment] | None = None
        # Last transition known to be committed.
        self._seq = 0
        # Connections by the process that opened them; it leaves when it dies.
        self._open: dict[Process | None, list[_Connection]] = {}
        self.uri = (
            f"file:/simulated-{next(_numbers)}-{name}?vfs=memdb"
            if folder is None
            else f"file:{folder / name}.db"
        )
        # Keeps a database in memory alive; the world's own look at it.
        self._anchor = self._connect(sqlite3.Connection)
        if folder is not None:
            self._anchor.execute("PRAGMA journal_mode = WAL")

    def load(self, image: bytes) -> None:
        """Begin with a copy of another database (`save`)."""
        source = sqlite3.connect(":memory:")
        source.deserialize(image)
        source.backup(self._anchor)
        source.close()

    def save(self) -> bytes:
        """A copy of it as it is."""
        image: bytes = self._anchor.serialize()
        return image

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """The world's own look at it, or hand on it."""
        found: list[Any] = self._anchor.execute(sql, values).fetchall()
        return found

    async def connect(self) -> aiosqlite.Connection:
        """What `Runtime.connect_db` answers to the running process.

        Raises:
            sqlite3.OperationalError: The disk fails.
        """
        if self.faults.fail_before and self._chance.random() < self.faults.fail_before:
            self._tally.faults["disk fails to open"] += 1
            raise sqlite3.OperationalError("unable to open database file (simulated)")
        process = PROCESS.get()

        def connector() -> sqlite3.Connection:
            connection: _Connection = self._connect(_Connection)
            connection.disk, connection.process = self, process
            self._limit(connection)
            self._open.setdefault(process, []).append(connection)
            return connection

        return await _Queued(connector, self)

    def fill(self) -> None:
        """From now on no page can be added."""
        self._full = True
        self._limit_all()

    def set_faults(self, faults: Mapping[str, float]) -> None:
        """From now on it is so."""
        self.faults = DiskFaults(**faults)

    def kill_at_commit(self, number: int, moment: Moment) -> None:
        """The `number`-th commit from now kills whoever makes it."""
        self._kill = (number, moment)

    def was_full(self, connection: "_Connection") -> None:
        """A transaction needed room that is not there."""
        self._tally.faults["disk full"] += 1
        self._note("disk", connection, (), "is full")

    def heal(self) -> None:
        """All faults end."""
        self.faults = DiskFaults(latency_s=self.faults.latency_s)
        self._full = False
        self._kill = None
        self._limit_all()

    def forget(self, connection: "_Connection") -> None:
        """It was closed."""
        mine = self._open.get(connection.process, [])
        if connection in mine:
            mine.remove(connection)

    def crash(self, process: Process | None) -> None:
        """The process has died."""
        for connection in self._open.pop(process, ()):
            connection.abandon()

    def destroy(self) -> None:
        """End of the run."""
        for process in list(self._open):
            self.crash(process)
        self._anchor.close()

    def delay_s(self) -> float:
        """How long the next transaction takes."""
        faults, chance = self.faults, self._chance
        delay_s = faults.latency_s * (0.25 + 1.5 * chance.random())
        if faults.slow and chance.random() < faults.slow:
            self._tally.faults["disk slow"] += 1
            delay_s += chance.random() * faults.slow_max_s
        return delay_s

    def commit(self, connection: "_Connection") -> None:
        """What becomes of a COMMIT.

        Raises:
            sqlite3.OperationalError: Nothing, or everything, was stored.
            Killed: Likewise, and the process is no more.
        """
        if not connection.has_changes():
            connection.really_commit()
            return
        arrows = [Arrow(*row) for row in connection.execute(NEWS[self.name], (self._seq,))]
        self.witness(connection, arrows, False)
        fate = self._fate()
        self._strike(connection, arrows, fate, "before")
        connection.really_commit()
        self._seq = arrows[-1].seq if arrows else self._seq
        self.witness(connection, arrows, True)
        for label in self._labels(arrows):
            self._tally.commits[label] += 1
        self._note("commit", connection, arrows, "committed")
        self._strike(connection, arrows, fate, "after")

    def _fate(self) -> tuple[str, Moment] | None:
        if self._kill is not None:
            left, moment = self._kill
            self._kill = (left - 1, moment) if left > 1 else None
            if left <= 1:
                return "killed", moment
        faults = self.faults
        if faults.fail_before or faults.fail_after:
            draw = self._chance.random()
            if draw < faults.fail_before:
                return "fails", "before"
            if draw < faults.fail_before + faults.fail_after:
                return "fails", "after"
        return None

    def _strike(
        self,
        connection: "_Connection",
        arrows: Sequence[Arrow],
        fate: tuple[str, Moment] | None,
        moment: Moment,
    ) -> None:
        if fate is None or fate[1] != moment:
            return
        if fate[0] == "fails":
            self._tally.faults[f"disk fails {moment} commit"] += 1
            self._note("disk", connection, arrows, f"fails {moment} the commit")
            raise sqlite3.OperationalError(f"disk I/O error (simulated, {moment} the commit)")
        for label in self._labels(arrows):
            self._tally.killed[f"{moment} {label}"] += 1
        self._note("disk", connection, arrows, f"process killed {moment} the commit")
        if connection.process is not None:
            connection.process.die(f"{moment} a commit")
        raise Killed

    def _labels(self, arrows: Sequence[Arrow]) -> list[str]:
        return [arrow.label(self.name) for arrow in arrows] or [f"{self.name}: other"]

    def _note(
        self, kind: Any, connection: "_Connection", arrows: Sequence[Arrow], what: str
    ) -> None:
        if self._trace is not None:
            detail = ", ".join(f"{one.subject} {one.was or '∅'} → {one.now}" for one in arrows)
            who = "" if connection.process is None else connection.process.name
            self._trace.note(self._loop.now_s, kind, who, what, whom=self.name, detail=detail)

    def _connect(self, kind: Any) -> Any:
        return sqlite3.connect(
            self.uri,
            uri=True,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
            factory=kind,
        )

    def _limit_all(self) -> None:
        for connections in self._open.values():
            for connection in connections:
                self._limit(connection)

    def _limit(self, connection: "_Connection") -> None:
        if self._full or connection.limited:
            pages = self._anchor.execute("PRAGMA page_count").fetchone()[0]
            limit = pages if self._full else _NO_LIMIT
            connection.execute(f"PRAGMA max_page_count = {limit}")
            connection.limited = self._full


class _Connection(sqlite3.Connection):
    """A connection whose COMMIT is the disk's to decide."""

    disk: Disk
    process: Process | None
    limited = False
    _changes = 0

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """As sqlite3's."""
        if sql == "COMMIT":
            self.disk.commit(self)
            return super().cursor()
        if sql == "BEGIN IMMEDIATE":
            self._changes = self.total_changes
        try:
            return super().execute(sql, *values)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                self.disk.was_full(self)
            raise

    def executescript(self, script: str) -> sqlite3.Cursor:
        """As sqlite3's; a busy handler would wait in real time."""
        cursor = super().executescript(script)
        super().execute("PRAGMA busy_timeout = 0")
        return cursor

    def close(self) -> None:
        """As sqlite3's."""
        self.disk.forget(self)
        super().close()

    def abandon(self) -> None:
        """Close it, and let go of what was not committed, which SQLite keeps while anybody has a cursor left."""
        if self.in_transaction:
            super().execute("ROLLBACK")
        super().close()

    def has_changes(self) -> bool:
        """Whether the open transaction changed anything."""
        return self.total_changes != self._changes

    def really_commit(self) -> None:
        """COMMIT."""
        super().execute("COMMIT")


class _Queued(InlineConnection):
    """One function at a time, each after the disk's delay, all in the process that called."""

    def __init__(self, connector: Callable[[], sqlite3.Connection], disk: Disk) -> None:
        super().__init__(connector, 64)
        self._disk = disk
        self._free_at_s = 0.0

    def __del__(self) -> None:
        """Nothing to complain of: a process that is killed closes nothing."""

    def _when_s(self, now_s: float) -> float:
        self._free_at_s = max(now_s, self._free_at_s) + self._disk.delay_s()
        return self._free_at_s
