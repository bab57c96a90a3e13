"""Four more rules to break: what goes wrong when a service forgets that others act meanwhile or that it can be cut off.

The mutants of the controls break a rule by leaving it out; these are the ways in which an asyncio service usually does
it wrong.
"""

import asyncio
import sqlite3

import chassis.sqlite
import gateway.clients.reservations
import inventory.store
import reservations.store.sagas
from chassis.errors import StorageUnavailable
from inventory.domain import HoldState
from tests.controls.broken import Broken, edited

PATIENCE_S = 0.1
"""Longest time that the impatient give the database: less than a slow disk takes."""

KEPT_S = 5.0
"""How long the forgetful believe what they saw."""


def _seen_free(db, request):
    event = db.execute(
        "SELECT price_minor, currency FROM event WHERE event_id = ?", (request.event_id,)
    ).fetchone()
    refusal = inventory.store._refusal_before_seats(request, event)
    return refusal or inventory.store._choose(db, request)


_take = edited(
    inventory.store._hold,
    {
        "expires_at: float\n": "expires_at: float, seen\n",
        "_refusal_before_seats(request, event) or _choose(db, request)": "seen",
        "event_id = ? AND hold_id IS NULL": "event_id = ?",
    },
)


async def _looks_and_takes(self, request, *, token, now, expires_at):
    """A hold in two transactions: the seats that the first saw free, the second takes."""
    seen = await self._run(lambda db: _seen_free(db, request))
    outcome = await self._run(lambda db: _take(db, request, token, now, expires_at, seen))
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _begin(db):
    if not db.in_transaction:
        db.execute("BEGIN IMMEDIATE")


def _end_hold(db, hold_id, now):
    row = db.execute("SELECT state FROM hold WHERE hold_id = ?", (hold_id,)).fetchone()
    if row is not None and row[0] in (HoldState.HELD, HoldState.SOLD):
        inventory.store._move(db, hold_id, HoldState(row[0]), HoldState.RELEASED, now)
        return True
    return False


def _free_seats(db, hold_id):
    db.execute("UPDATE seat SET hold_id = NULL WHERE hold_id = ?", (hold_id,))


async def _released_by_hops(self, hold_id, *, now):
    """A release statement by statement, in a transaction that the time limit cuts open."""
    writer = self._writer
    try:
        async with writer._lock, asyncio.timeout(PATIENCE_S):
            if writer._connection is None:
                await writer._reopen()
            hop, raw = writer._connection._execute, writer._connection._conn
            await hop(_begin, raw)
            if await hop(_end_hold, raw, hold_id, now):
                await hop(_free_seats, raw, hold_id)
            found = await hop(inventory.store._release, raw, hold_id, now)
            await hop(raw.execute, "COMMIT")
            return found
    except TimeoutError as error:
        raise StorageUnavailable(retry_after_s=0.0) from error
    except (sqlite3.Error, ValueError, OSError) as error:
        await writer._close()
        raise StorageUnavailable(retry_after_s=0.0) from error


_RIGHT_VIEW = gateway.clients.reservations.Reservations.view


async def _viewed_from_memory(self, reservation_id, token):
    """A view as it was when it was last asked for, if that was lately."""
    now = asyncio.get_running_loop().time()
    kept = vars(self).setdefault("kept", {})
    if reservation_id not in kept or kept[reservation_id][0] < now - KEPT_S:
        kept[reservation_id] = now, await _RIGHT_VIEW(self, reservation_id, token)
    return dict(kept[reservation_id][1])


CHECK_THEN_ACT = (Broken(inventory.store.Store, "hold", instead=_looks_and_takes),)
"""Seats are chosen and taken in one transaction."""

CUT_OPEN = (
    Broken(
        inventory.store.Store,
        "__init__",
        {"    self._run =": "    self._writer = writer\n    self._run ="},
    ),
    Broken(inventory.store.Store, "release", instead=_released_by_hops),
    Broken(
        chassis.sqlite,
        "_run_batch",
        {
            '    db.execute("BEGIN IMMEDIATE")': '    db.in_transaction or db.execute("BEGIN IMMEDIATE")'
        },
    ),
)
"""A transaction is one function in one hop: nobody can be cancelled in the middle of it."""

STALE_VIEW = (
    Broken(gateway.clients.reservations.Reservations, "view", instead=_viewed_from_memory),
)
"""What a buyer sees is what is stored now."""

RACING_RECOVERY = (
    Broken(
        reservations.store.sagas,
        "_due",
        {
            "AND (:single OR lease_owner = :owner OR lease_until < :now)": "AND (:single OR :owner = :owner)"
        },
    ),
    Broken(
        reservations.store.sagas,
        "_advance",
        {" AND state = :was AND version = :seen": ""},
    ),
)
"""One driver per saga: recovery respects leases, and every step compares state and version."""
