"""One writer per database, with group commit.

Requests queue a synchronous function; a supervised task drains the queue into one `BEGIN IMMEDIATE … COMMIT`, run in
one hop on the database thread, and answers every caller after COMMIT. If one of them refuses, all run again, each
behind a savepoint: so a function may run twice, and only what it does to the database counts.

Invariants: a cancelled caller never touches the connection, and its function still runs or not as if it were there;
nobody is answered before COMMIT; after a COMMIT that failed, the answer is *unknown* (`StorageUnavailable`), never
"failed". The asyncio lock orders the tasks of this process; `BEGIN IMMEDIATE` guards against another process.

The only user of aiosqlite's private `_execute` (docs/adr/0002-one-writer-per-database-with-group-commit.md).
Measured there: 36 times the throughput of one lock around one transaction at 64 callers.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeVar

import aiosqlite
import structlog

from chassis.errors import StorageUnavailable
from chassis.loops import Loop, supervised
from chassis.runtime import Runtime
from chassis.telemetry import Metrics
from resilience import Policy, Retry, without_deadline

log = structlog.get_logger()

T = TypeVar("T")

Plan = Literal["before", "after"] | Callable[[], None] | None
"""What the fault plan does to a batch: fail before the commit, fail after it, be called after it, or nothing."""

Transaction = Callable[[sqlite3.Connection], Any]

MAX_BATCH = 256

FORMAT: Final = 1
"""Of the tables of all databases: one more with each change that `CREATE … IF NOT EXISTS` does not bring about."""

# With a long past, 8 MB keep the upper pages of indexes over random ids at hand, which SQLite's 2 MB do not: a tenth
# more reservations per second (bench/growth.py).
_PRAGMAS = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=2000;"
    " PRAGMA cache_size=-8000;"
)


def is_of_another_format(path: Path) -> bool:
    """Whether another version of this project made the database at `path`, which this one cannot use.

    Reads the file's header and takes no lock (https://www.sqlite.org/fileformat.html, "User version number").
    """
    try:
        with path.open("rb") as file:
            header = file.read(64)
    except FileNotFoundError:
        return False
    return header != b"" and header[60:] != FORMAT.to_bytes(4, "big")


def _prepare(db: sqlite3.Connection, schema: str) -> None:
    """Make a connection and its database fit for use; runs on the database thread."""
    if db.execute("PRAGMA page_count").fetchall() == [(0,)]:
        # Before WAL, which would keep it out of the file's header until a checkpoint.
        db.execute(f"PRAGMA user_version={FORMAT}")
    db.executescript(_PRAGMAS + schema)


class _Item(NamedTuple):
    transaction: Transaction
    answer: asyncio.Future[Any]


class _Outcome(NamedTuple):
    value: Any
    error: Exception | None


def _run_batch(
    db: sqlite3.Connection, transactions: Sequence[Transaction], plan: Plan
) -> list[_Outcome]:
    """All of `transactions` in one commit; runs on the database thread.

    Raises:
        sqlite3.Error: Nothing, or nobody knows whether anything, was stored.
    """
    if plan == "before":
        raise sqlite3.OperationalError("fault db_flap: before the commit")
    db.execute("BEGIN IMMEDIATE")
    try:
        outcomes = _run_all(db, transactions)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    if plan == "after":
        raise sqlite3.OperationalError("fault db_flap: after the commit")
    if callable(plan):
        plan()
    return outcomes


def _run_all(db: sqlite3.Connection, transactions: Sequence[Transaction]) -> list[_Outcome]:
    """Each in turn. Hardly ever one refuses, and only then each gets a savepoint: two statements less per item."""
    try:
        return [_Outcome(transaction(db), None) for transaction in transactions]
    except sqlite3.OperationalError:
        raise  # the disk, not an item: the whole batch is in doubt
    except Exception:  # noqa: BLE001 - raised again, by the one whose it is
        db.execute("ROLLBACK")
        db.execute("BEGIN IMMEDIATE")
        return [_run_one(db, transaction) for transaction in transactions]


def _run_one(db: sqlite3.Connection, transaction: Transaction) -> _Outcome:
    db.execute("SAVEPOINT item")
    try:
        value = transaction(db)
    except sqlite3.OperationalError:
        raise  # the disk, not this item: the whole batch is in doubt
    except Exception as error:  # noqa: BLE001 - handed to the one caller whose item it is
        db.execute("ROLLBACK TO item")
        db.execute("RELEASE item")
        return _Outcome(None, error)
    db.execute("RELEASE item")
    return _Outcome(value, None)


def _unknown() -> _Outcome:
    # Nobody asks the disk to be left alone: how soon to try again is the backoff's to say.
    return _Outcome(None, StorageUnavailable(retry_after_s=0.0))


class Run(Protocol):
    """`await run(transaction)`: see `Writer.run`."""

    async def __call__(self, transaction: Callable[[sqlite3.Connection], T], /) -> T:
        """The transaction's value, after COMMIT."""
        ...


def patient(writer: "Writer", runtime: Runtime, metrics: Metrics) -> Run:
    """`writer.run` with three tries at a transaction whose outcome is unknown.

    For transactions that may be repeated only: keyed by id, with compare-and-set on state and version.

    Raises (from calls):
        StorageUnavailable: Still unknown after the last try.
    """
    policy = Policy(
        retry=Retry(
            3, base_s=0.02, cap_s=0.2, quota=None, on=lambda e: isinstance(e, StorageUnavailable)
        )
    )
    tracing = runtime.tracing
    listeners = (metrics.on_policy_event, *tracing.listeners)
    pipeline = policy.bind(f"{writer.name}.store", runtime.resilience, listeners)

    async def run(transaction: Callable[[sqlite3.Connection], T], /) -> T:
        with without_deadline():  # a commit is never cut short for a caller's sake
            return await pipeline.call(lambda: writer.run(transaction))

    return tracing.store(run, writer.name)


class Writer:
    """The only way to a database: `await writer.run(fn)` runs `fn(connection)` in a transaction.

    One per database per app; safe for any number of tasks of one loop.
    """

    def __init__(
        self,
        path: Path,
        schema: str,
        runtime: Runtime,
        metrics: Metrics,
        *,
        plan: Callable[[], Plan],
    ) -> None:
        self._path = path
        self._schema = schema
        self._runtime = runtime
        self._plan = plan
        self.name = path.stem
        self._errors = metrics.store_errors.labels(self.name)
        self._duration = metrics.store_commit.labels(self.name)
        self._size = metrics.store_batch.labels(self.name)
        self._lock = asyncio.Lock()
        # Appended by callers, drained by the writer's own loop only.
        self._queue: deque[_Item] = deque()
        metrics.store_queue.labels(self.name).set_function(lambda: len(self._queue))
        self._connection: aiosqlite.Connection | None = None
        self.loop = Loop(f"{self.name}-writer", self._drain, period_s=None)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: Path,
        schema: str,
        runtime: Runtime,
        metrics: Metrics,
        *,
        plan: Callable[[], Plan],
    ) -> AsyncIterator["Writer"]:
        """Open the database, create what is missing, and write until the block ends; then drain and close.

        Args:
            path: The file; its folder is created.
            schema: SQL script of `CREATE … IF NOT EXISTS` statements.
            runtime: The effects.
            metrics: Where batches and queue show.
            plan: Asked before each batch what a fault does to it.
        """
        writer = cls(path, schema, runtime, metrics, plan=plan)
        await writer._reopen()
        try:
            async with supervised([writer.loop], runtime, metrics, grace_s=10.0):
                yield writer
                await writer._drain_all()
        finally:
            await writer._close()

    async def run(self, transaction: Callable[[sqlite3.Connection], T]) -> T:
        """The value of `transaction(connection)`, after COMMIT.

        `transaction` is one synchronous function; it may run even if the caller is cancelled.

        Raises:
            StorageUnavailable: Whether it was stored is unknown.
            Exception: Whatever `transaction` raised; nothing of it was stored.
        """
        item = _Item(transaction, asyncio.get_running_loop().create_future())
        self._queue.append(item)
        self.loop.wake()
        value: T = await item.answer
        return value

    async def _drain(self) -> bool:
        async with self._lock:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))]
            if not batch:
                return False
            started = self._runtime.mono()
            try:
                outcomes = await self._commit([item.transaction for item in batch])
            except (sqlite3.Error, ValueError, OSError) as error:
                self._errors.inc()
                log.warning(
                    "store_batch_failed", database=self.name, items=len(batch), error=repr(error)
                )
                self._answer(batch, [_unknown()] * len(batch))
                await (
                    self._close()
                )  # the next batch starts on a connection that nothing has happened to
            except BaseException:
                self._answer(batch, [_unknown()] * len(batch))
                raise
            else:
                self._answer(batch, outcomes)
            self._duration.observe(self._runtime.mono() - started)
            self._size.observe(len(batch))
            return bool(self._queue)

    async def _commit(self, transactions: list[Transaction]) -> list[_Outcome]:
        plan = self._plan()
        if self._connection is None:
            await self._reopen()
        connection = self._connection
        if connection is None:
            raise sqlite3.OperationalError("the database cannot be opened")
        # Private to aiosqlite: see the module docstring.
        execute: Any = connection._execute  # noqa: SLF001
        raw = connection._conn  # noqa: SLF001
        outcomes: list[_Outcome] = await execute(_run_batch, raw, transactions, plan)
        return outcomes

    @staticmethod
    def _answer(batch: Sequence[_Item], outcomes: Sequence[_Outcome]) -> None:
        for item, outcome in zip(batch, outcomes, strict=True):
            if item.answer.done():  # the caller has gone; what was stored stays stored
                continue
            if outcome.error is None:
                item.answer.set_result(outcome.value)
            else:
                item.answer.set_exception(outcome.error)

    async def _drain_all(self) -> None:
        while self._queue:
            await self._drain()

    async def _reopen(self) -> None:
        await self._close()
        connection = await self._runtime.connect_db(self._path)
        try:
            execute: Any = connection._execute  # noqa: SLF001
            await execute(_prepare, connection._conn, self._schema)  # noqa: SLF001
        except BaseException:
            await connection.close()
            raise
        self._connection = connection

    async def _close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()
