"""Every transaction may be repeated, because after a failed commit nobody knows whether it took effect."""

import sqlite3
from itertools import chain, repeat

import pytest

from chassis.errors import StorageUnavailable
from payments.domain import PaymentEvent, PaymentState

S, E = PaymentState, PaymentEvent


async def test_begin_makes_the_row_once(open_store):
    async with open_store() as store:
        first = await store.begin("p.1", 5000, "USD", now=1.0)
        second = await store.begin("p.1", 9999, "EUR", now=2.0)
    assert first == second
    assert (first.state, first.version, first.amount_minor) == (S.AUTH_PENDING, 1, 5000)


async def test_a_late_authorization_does_not_undo_a_cancel(open_store):
    """The race that decides whether money moves after a time-out."""
    async with open_store() as store:
        await store.begin("p.1", 5000, "USD", now=1.0)
        await store.cancel("p.1", now=2.0)
        late = await store.apply("p.1", E.AUTHORIZED, now=3.0)
    assert late.state is S.VOID_PENDING


async def test_cancel_of_an_unknown_reference_leaves_a_tombstone(open_store):
    async with open_store() as store:
        assert (await store.cancel("p.1", now=1.0)).state is S.VOID_PENDING
        late = await store.begin("p.1", 5000, "USD", now=2.0)
    assert (late.state, late.amount_minor, late.currency) == (S.VOID_PENDING, 0, "")


async def test_cancel_during_a_capture_refunds_once_it_is_captured(open_store):
    async with open_store() as store:
        await store.begin("p.1", 5000, "USD", now=1.0)
        await store.apply("p.1", E.AUTHORIZED, now=1.0)
        await store.apply("p.1", E.CAPTURE, now=1.0)
        waiting = await store.cancel("p.1", now=2.0)
        assert await store.cancel("p.1", now=2.5) == waiting
        assert (waiting.state, waiting.refund_wanted) == (S.CAPTURE_PENDING, True)
        assert (await store.apply("p.1", E.CAPTURED, now=3.0)).state is S.REFUND_PENDING
        assert (await store.apply("p.1", E.CAPTURED, now=3.5)).state is S.REFUND_PENDING


@pytest.mark.parametrize("plan", ["before", "after"])
async def test_a_commit_in_doubt_is_repeated_without_harm(open_store, tmp_path, plan):
    """Three flaps in a row per transaction are too many; two are not noticed, and the log stays gapless."""
    plans = chain.from_iterable(repeat([plan, plan, None], 4))
    async with open_store(plan=lambda: next(plans, None)) as store:
        await store.begin("p.1", 5000, "USD", now=1.0)
        await store.apply("p.1", E.AUTHORIZED, now=2.0)
        await store.apply_all(["p.1", "p.none"], E.CAPTURE, now=3.0)
        await store.apply_all(["p.1"], E.CAPTURED, now=4.0)
        assert (await store.cancel("p.1", now=5.0)).state is S.REFUND_PENDING
    db = sqlite3.connect(tmp_path / "payments.db")
    log = db.execute("SELECT version, event, to_state FROM payment_log ORDER BY version").fetchall()
    db.close()
    assert log == [
        (1, "pay", "AUTH_PENDING"),
        (2, "authorized", "AUTHORIZED"),
        (3, "capture", "CAPTURE_PENDING"),
        (4, "captured", "CAPTURED"),
        (5, "cancel", "REFUND_PENDING"),
    ]


async def test_a_store_that_never_answers_says_unknown(open_store):
    broken = [False]
    async with open_store(plan=lambda: "before" if broken[0] else None) as store:
        broken[0] = True
        with pytest.raises(StorageUnavailable):
            await store.begin("p.1", 5000, "USD", now=1.0)
        broken[0] = False
        assert await store.get("p.1") is None


async def test_due_lists_what_is_open_and_postpone_moves_it(open_store):
    async with open_store() as store:
        row = await store.begin("p.1", 5000, "USD", now=1.0)
        await store.begin("p.2", 5000, "USD", now=2.0)
        await store.apply("p.2", E.DECLINED, now=2.0)
        assert [due.payment_ref for due in (await store.look(now=2.0, limit=9))[0]] == ["p.1"]
        await store.postpone(row, next_at=10.0, error="silence")
        assert (await store.look(now=9.0, limit=9))[0] == []
        assert [due.attempts for due in (await store.look(now=10.0, limit=9))[0]] == [1]
        assert await store.open_counts() == {"AUTH_PENDING": 1}


async def test_postpone_of_a_payment_that_moved_on_changes_nothing(open_store):
    async with open_store() as store:
        stale = await store.begin("p.1", 5000, "USD", now=1.0)
        await store.cancel("p.1", now=2.0)
        await store.postpone(stale, next_at=99.0, error="silence")
        assert [row.state for row in (await store.look(now=2.0, limit=9))[0]] == [S.VOID_PENDING]
