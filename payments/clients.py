"""The payment provider: the protocol we hold it to, and the simulated one of the lab.

The simulated provider is a separate party: its own database file, its own writer, never in one transaction with ours
and never struck by our `db_flap`. It is what the outside world would say happened.
"""

import sqlite3
from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple, Protocol, TypeVar

from chassis.errors import StorageUnavailable
from chassis.runtime import Runtime
from chassis.sqlite import Writer

T = TypeVar("T")

ProviderState = Literal["authorized", "declined", "captured", "voided", "refunded"]

Verdict = Literal["authorized", "declined", "voided"]
"""Answers to an authorization; "voided": the reference was voided before, and nothing was authorized."""


class NoAnswer(Exception):
    """The provider did not say what it did: unknown, never "failed"."""


class OutOfOrder(Exception):
    """The provider decided against it: the reference is in a state that does not allow it."""


class Provider(Protocol):
    """Four actions and a look-up, all keyed and repeatable by our reference.

    Every method raises `NoAnswer` when the outcome is unknown.
    """

    async def authorize(self, payment_ref: str, amount_minor: int, currency: str) -> Verdict:
        """Set the amount aside; a repeat gets the first verdict."""
        ...

    async def capture(self, payment_ref: str) -> None:
        """Take what was authorized.

        Raises:
            OutOfOrder: It was not authorized, or is voided.
        """
        ...

    async def void(self, payment_ref: str) -> None:
        """Let go of an authorization; an unknown reference is closed for ever (tombstone).

        Raises:
            OutOfOrder: It was captured.
        """
        ...

    async def refund(self, payment_ref: str) -> None:
        """Give back what was captured.

        Raises:
            OutOfOrder: It was not captured.
        """
        ...

    async def lookup(self, payment_ref: str) -> ProviderState | None:
        """Where the reference stands; None proves nothing while a call may be under way."""
        ...


PROVIDER_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS ledger (
    ref TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('authorized', 'declined', 'captured', 'voided', 'refunded')),
    amount_minor INTEGER NOT NULL CHECK (amount_minor >= 0), currency TEXT NOT NULL, updated_at REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS entry (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, ref TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('authorize', 'capture', 'void', 'refund', 'decline', 'tombstone')),
    amount_minor INTEGER NOT NULL, at REAL NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS entry_is_final BEFORE UPDATE ON entry BEGIN SELECT raise(ABORT, 'append-only'); END;
CREATE TRIGGER IF NOT EXISTS entry_stays BEFORE DELETE ON entry BEGIN SELECT raise(ABORT, 'append-only'); END;
"""


class _Step(NamedTuple):
    """One arrow of the provider's own books."""

    to: ProviderState
    kind: str
    moves: bool  # whether the entry carries the amount


# A reference that is already where the action leads stays there: every action may be repeated.
_CAPTURE: Final[Mapping[str | None, _Step]] = {
    "authorized": _Step("captured", "capture", moves=True)
}
_REFUND: Final[Mapping[str | None, _Step]] = {"captured": _Step("refunded", "refund", moves=True)}
_VOID: Final[Mapping[str | None, _Step]] = {
    None: _Step("voided", "tombstone", moves=False),
    "authorized": _Step("voided", "void", moves=True),
    "declined": _Step("voided", "tombstone", moves=False),
}

Db = sqlite3.Connection


class SimulatedProvider:
    """A provider with tombstones, whose books are two tables: `ledger` (now) and `entry` (append-only history).

    Args:
        writer: On a database of its own.
        runtime: The effects.
        declines: Asked per new authorization whether to decline it.
        latency_s: Seconds before each action.
    """

    def __init__(
        self,
        writer: Writer,
        runtime: Runtime,
        *,
        declines: Callable[[], bool],
        latency_s: float,
    ) -> None:
        self._writer = writer
        self._runtime = runtime
        self._declines = declines
        self._latency_s = latency_s

    async def authorize(self, payment_ref: str, amount_minor: int, currency: str) -> Verdict:
        """See `Provider`; declines while the fault `fail` is on."""
        await self._travel()
        now = self._runtime.now().timestamp()
        step = (
            _Step("declined", "decline", moves=False)
            if self._declines()
            else _Step("authorized", "authorize", moves=True)
        )

        def transaction(db: Db) -> ProviderState:
            found = _state(db, payment_ref)
            if found is None:
                db.execute(
                    "INSERT INTO ledger (ref, state, amount_minor, currency, updated_at) VALUES (?, ?, ?, ?, ?)",
                    (payment_ref, step.to, amount_minor, currency, now),
                )
                _enter(db, payment_ref, step, now)
                return step.to
            return found

        state = await self._run(transaction)
        return state if state in ("declined", "voided") else "authorized"

    async def capture(self, payment_ref: str) -> None:
        """See `Provider`."""
        await self._take(payment_ref, _CAPTURE, done=("captured", "refunded"))

    async def void(self, payment_ref: str) -> None:
        """See `Provider`; a declined reference is closed too."""
        await self._take(payment_ref, _VOID, done=("voided",))

    async def refund(self, payment_ref: str) -> None:
        """See `Provider`."""
        await self._take(payment_ref, _REFUND, done=("refunded",))

    async def lookup(self, payment_ref: str) -> ProviderState | None:
        """See `Provider`."""
        await self._travel()
        return await self._run(lambda db: _state(db, payment_ref))

    async def _take(
        self, payment_ref: str, steps: Mapping[str | None, _Step], done: tuple[str, ...]
    ) -> None:
        await self._travel()
        now = self._runtime.now().timestamp()

        def transaction(db: Db) -> None:
            found = _state(db, payment_ref)
            if found in done:
                return
            if found not in steps:
                raise OutOfOrder(f"{payment_ref} is {found}")
            step = steps[found]
            db.execute(
                "INSERT INTO ledger (ref, state, amount_minor, currency, updated_at) VALUES (?, ?, 0, '', ?)"
                " ON CONFLICT (ref) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at",
                (payment_ref, step.to, now),
            )
            _enter(db, payment_ref, step, now)

        await self._run(transaction)

    async def _travel(self) -> None:
        if self._latency_s:
            await self._runtime.resilience.sleep(self._latency_s)

    async def _run(self, transaction: Callable[[Db], T]) -> T:
        try:
            return await self._writer.run(transaction)
        except StorageUnavailable as error:
            raise NoAnswer("the provider's own books did not answer") from error


def _state(db: Db, payment_ref: str) -> ProviderState | None:
    found = db.execute("SELECT state FROM ledger WHERE ref = ?", (payment_ref,)).fetchone()
    state: ProviderState | None = found[0] if found else None
    return state


def _enter(db: Db, payment_ref: str, step: _Step, now: float) -> None:
    db.execute(
        "INSERT INTO entry (ref, kind, amount_minor, at)"
        " SELECT ref, ?, CASE WHEN ? THEN amount_minor ELSE 0 END, ? FROM ledger WHERE ref = ?",
        (step.kind, step.moves, now, payment_ref),
    )
