"""The negative controls: each breaks one rule, and a scenario in which the auditor must see it, by number.

A scenario lives through the same with right code, where the auditor must stay green.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import chassis.sqlite
import gateway.usecases
import inventory.loops
import inventory.store
import payments.domain
import payments.loops
import payments.store
import payments.usecases
import reservations.app
import reservations.saga
import reservations.store.sagas
import reservations.usecases
from payments.domain import PaymentEvent, PaymentState
from reservations.domain import State
from tests.controls.broken import Broken, edited
from tests.controls.scenarios import (
    a_flood,
    a_hold_that_nobody_wants,
    a_late_hold,
    a_late_hold_and_a_stale_confirm,
    a_late_hold_of_a_refused,
    a_late_second_release,
    callers_go_away,
    cancelled_while_captured,
    declined_and_tried_again,
    dies_once_acknowledged,
    dies_once_captured,
    dies_once_confirmed,
    one_key_by_two_gateways,
    slow_payment,
    sold_out_with_seats_left,
    the_answer_is_lost,
    two_buyers,
)
from tests.controls.world import World

Scenario = Callable[[World], Awaitable[object]]


@dataclass(frozen=True)
class Control:
    """One rule broken.

    Attributes:
        rule: Which, in words.
        scenario: What happens.
        broken: How the rule is broken: it may be kept in more than one place.
        red: Numbers that must turn red.
        given: Rules broken in both runs: without them the broken one could do no harm.
        settings: Of the services.
        rest_s: From the end of the scenario to the audit.
    """

    rule: str
    scenario: Scenario
    broken: tuple[Broken, ...]
    red: frozenset[str]
    given: tuple[Broken, ...] = ()
    settings: dict = field(default_factory=dict)
    rest_s: float = 60.0


def _no_more_tombstone(db, hold_id, now):
    if db.execute("SELECT 1 FROM hold WHERE hold_id = ?", (hold_id,)).fetchone() is None:
        return inventory.store.HoldState.RELEASED, []
    return _RIGHT_RELEASE(db, hold_id, now)


def _forgetful(db, hold_id, now):
    """Release, and forget that there ever was a hold."""
    found = _RIGHT_RELEASE(db, hold_id, now)
    db.execute("DELETE FROM hold WHERE hold_id = ?", (hold_id,))
    return found


_RIGHT_RELEASE = inventory.store._release
_RIGHT_COMMIT_OF_BATCH = chassis.sqlite.Writer._commit


def _rehearsed(db, transactions):
    """What they would come to, and which of them change anything; nothing is stored."""
    db.execute("BEGIN IMMEDIATE")
    outcomes, changing = [], []
    try:
        for transaction in transactions:
            before = db.total_changes
            outcomes.append(chassis.sqlite._run_one(db, transaction))
            changing.append(db.total_changes != before)
    finally:
        db.execute("ROLLBACK")
    return outcomes, changing


async def _answers_first(self, transactions):
    """Reservations' commits happen up to 2 s after their answers."""
    if self.name != "reservations":
        return await _RIGHT_COMMIT_OF_BATCH(self, transactions)
    now = asyncio.get_running_loop().time()
    owed = vars(self).setdefault("owed", [])
    behind, everything = len(owed), [*(one for _, one in owed), *transactions]
    if owed and now >= owed[0][0] + 2.0:
        outcomes = await _RIGHT_COMMIT_OF_BATCH(self, everything)
        owed.clear()
        return outcomes[behind:]
    if self._connection is None:
        await self._reopen()
    execute, raw = self._connection._execute, self._connection._conn
    outcomes, changing = await execute(_rehearsed, raw, everything)
    owed += [
        (now, one) for one, changes in zip(transactions, changing[behind:], strict=True) if changes
    ]
    return outcomes[behind:]


async def _drained_by_caller(self, transaction):
    item = chassis.sqlite._Item(transaction, asyncio.get_running_loop().create_future())
    self._queue.append(item)
    if not self._lock.locked():
        while self._queue:
            await self._drain()
    return await item.answer


async def _never(_self):
    return False


async def _stored_never(svc, progress, arrow):
    """A driver's decision to go backward is said and carried out, and not written down."""
    if arrow.target is State.CANCELLING and arrow.step != "recover":
        progress.row = dataclasses.replace(progress.row, state=arrow.target, **arrow.fields)
        return
    await _RIGHT_COMMIT(svc, progress, arrow)


async def _owed_later(svc, progress, arrow):
    """What a commit owes comes in a second commit."""
    await _RIGHT_COMMIT(svc, progress, dataclasses.replace(arrow, outbox=()))
    now = svc.runtime.now().timestamp()
    await svc.sagas._run(
        lambda db: reservations.store.sagas._add_outbox(db, progress.row.reservation_id, arrow, now)
    )


_RIGHT_COMMIT = reservations.usecases._commit
_TIMEOUT_IS_FAILURE = reservations.saga.STEPS[State.HELD]._replace(
    action=edited(
        reservations.saga._authorize,
        {"reason, repr(error), pay=True": "reason, repr(error), pay=False"},
    )
)

_FREE_BY_NAME = """\
    db.execute(
        "UPDATE seat SET hold_id = NULL WHERE seat IN (SELECT value FROM json_each(?))", (row[1],)
    )
    return state, json.loads(row[1])"""
_NOT_STORED = """\
PaymentRow(payment_ref, PaymentState.VOIDED, 1, 0, "", refund_wanted=False, attempts=0)"""
_READ = "rows = {ref: row for ref in refs if (row := await payments.store.get(ref)) is not None}"
_CAPTURE_AFTERWARDS = """\
await payments.store.apply_all(done, PaymentEvent.CAPTURE, now=payments.now())
                settled = await"""

_TOO_LATE = """\
await svc.reservations.reserve(body, key)
            raise __import__("gateway.errors").errors.GatewaySaturated"""

CONTROLS = (
    Control(
        "seats are claimed only while free",
        two_buyers,
        (
            Broken(
                inventory.store,
                "_choose",
                {
                    "event_id = ? AND hold_id IS NULL ORDER BY rank LIMIT ?": "event_id = ? ORDER BY rank LIMIT ?"
                },
            ),
            Broken(inventory.store, "_hold", {"event_id = ? AND hold_id IS NULL": "event_id = ?"}),
        ),
        frozenset({"I2", "I22"}),
    ),
    Control(
        "seats are freed by hold, never by name",
        a_late_second_release,
        (
            Broken(
                inventory.store,
                "_release",
                {
                    "    return state, json.loads(row[1])": _FREE_BY_NAME,
                },
            ),
        ),
        frozenset({"I1", "I4"}),
    ),
    Control(
        "a cancelled payment leaves a tombstone",
        slow_payment,
        (
            Broken(
                payments.store.Store,
                "cancel",
                {
                    '_create(db, payment_ref, event, now, (0, ""))': _NOT_STORED,
                },
            ),
        ),
        frozenset({"I12"}),
    ),
    Control(
        "a released hold leaves a tombstone",
        a_late_hold,
        (Broken(inventory.store, "_release", instead=_no_more_tombstone),),
        frozenset({"I6"}),
        rest_s=15.0,
    ),
    Control(
        "a confirm needs its hold's token",
        a_late_hold_and_a_stale_confirm,
        (Broken(inventory.store, "_confirm", {"token != stored_token": "False"}),),
        frozenset({"I4"}),
        given=(Broken(inventory.store, "_release", instead=_forgetful),),
    ),
    Control(
        "a time-out is not a failure",
        slow_payment,
        (
            Broken(
                reservations.usecases,
                "STEPS",
                instead={**reservations.saga.STEPS, State.HELD: _TIMEOUT_IS_FAILURE},
            ),
        ),
        frozenset({"I12"}),
    ),
    Control(
        "one reservation per key",
        one_key_by_two_gateways,
        (
            Broken(reservations.app, "SCHEMA", {", UNIQUE (scope, key)": ""}),
            Broken(
                reservations.store.sagas,
                "_accept",
                {"scope = ? AND key = ?)": "scope = ? AND key = ? AND 0)"},
            ),
        ),
        frozenset({"I9"}),
    ),
    Control(
        "what is owed is committed with its cause",
        dies_once_confirmed,
        (Broken(reservations.usecases, "_commit", instead=_owed_later),),
        frozenset({"I10", "I14"}),
    ),
    Control(
        "holds expire",
        a_hold_that_nobody_wants,
        (Broken(inventory.loops.Sweep, "step", instead=_never),),
        frozenset({"I3"}),
        rest_s=200.0,
    ),
    Control(
        "payments are settled",
        slow_payment,
        (Broken(payments.loops.Settle, "step", instead=_never),),
        frozenset({"I13"}),
    ),
    Control(
        "nobody is answered before the commit",
        dies_once_acknowledged,
        (Broken(chassis.sqlite.Writer, "_commit", instead=_answers_first),),
        frozenset({"I7"}),
    ),
    Control(
        "a pending row is committed before the provider is called",
        dies_once_captured,
        (
            Broken(
                payments.usecases,
                "capture",
                {
                    "rows = await payments.store.apply_all(refs, PaymentEvent.CAPTURE, now=payments.now())": _READ,
                    "state is PaymentState.CAPTURE_PENDING": "state is PaymentState.AUTHORIZED",
                    "settled = await": _CAPTURE_AFTERWARDS,
                },
            ),
            Broken(
                payments.usecases,
                "_captured",
                {"ask(row.state,": "ask(PaymentState.CAPTURE_PENDING,"},
            ),
        ),
        frozenset({"I10", "I12"}),
    ),
    Control(
        "a refusal is stored before it is said",
        declined_and_tried_again,
        (Broken(reservations.usecases, "_commit", instead=_stored_never),),
        frozenset({"I8", "I9"}),
    ),
    Control(
        "the gateway refuses nothing that it has sent",
        the_answer_is_lost,
        (
            Broken(
                gateway.usecases,
                "reserve",
                {
                    'log.warning("reserve_in_doubt", reservation_id=reservation_id, why=str(doubt))': "raise"
                    " __import__('chassis.errors').errors.DeadlineGone from doubt"
                },
            ),
        ),
        frozenset({"I8"}),
    ),
    Control(
        "a refused hold is stored",
        a_late_hold_of_a_refused,
        (Broken(inventory.store, "_refuse", instead=lambda _db, _request, refusal, _now: refusal),),
        frozenset({"I8"}),
    ),
    Control(
        "a capture under way is settled before it is taken back",
        cancelled_while_captured,
        (
            Broken(
                payments.store,
                "_apply",
                {
                    "event is PaymentEvent.CANCEL and row.state is PaymentState.CAPTURE_PENDING": "False"
                },
            ),
            Broken(
                payments.domain,
                "ARROWS",
                instead={
                    **payments.domain.ARROWS,
                    (PaymentState.CAPTURE_PENDING, PaymentEvent.CANCEL): PaymentState.VOID_PENDING,
                },
            ),
        ),
        frozenset({"I10", "I12", "I18"}),
        settings={"provider_latency_s": 1.0},
    ),
    Control(
        "a batch is drained by nobody who can be cancelled",
        callers_go_away,
        (
            Broken(chassis.sqlite.Writer, "run", instead=_drained_by_caller),
            Broken(
                chassis.sqlite.Writer,
                "_drain",
                {
                    "        except BaseException:\n            self._answer(batch, [_unknown()] * len(batch))\n"
                    "            raise\n": ""
                },
            ),
        ),
        frozenset({"I6"}),
    ),
    Control(
        "whoever is turned away at the door left nothing behind",
        a_flood,
        (
            Broken(
                gateway.usecases,
                "reserve",
                {"return _told(await svc.reservations.reserve(body, key))": _TOO_LATE},
            ),
        ),
        frozenset({"I21"}),
        settings={"gateway_max_inflight": 2},
    ),
    Control(
        "nobody is told “sold out” while there are seats",
        sold_out_with_seats_left,
        (
            Broken(
                inventory.store,
                "_choose",
                {"return SoldOut() if best is None else best": "return SoldOut()"},
            ),
        ),
        frozenset({"I19"}),
    ),
)
"""All of them."""
