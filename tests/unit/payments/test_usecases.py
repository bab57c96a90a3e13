"""Decide, commit, ask the provider, commit its answer; and what happens when it does not answer."""

import asyncio

import pytest

from payments import usecases
from payments.clients import NoAnswer, OutOfOrder
from payments.domain import PaymentState
from payments.errors import KeyReused, ProviderUnknown
from payments.usecases import Turns
from resilience import deadline
from resilience.testing import After, Script

S = PaymentState


async def test_the_pending_row_is_there_before_the_provider_is_asked(open_payments, provider):
    async with open_payments() as it:
        seen = []

        async def look(ref, amount_minor, currency):
            seen.append((await it.store.get(ref)).state)
            return "authorized"

        provider.authorize = Script(look)
        row = await usecases.pay(it.payments, "p.1", 5000, "USD")
    assert seen == [S.AUTH_PENDING]
    assert row.state is S.AUTHORIZED


async def test_a_resend_joins_the_running_call(open_payments, provider):
    provider.authorize = Script(After(2.0, "authorized"))
    async with open_payments() as it:
        rows = await asyncio.gather(
            *(usecases.pay(it.payments, "p.1", 5000, "USD") for _ in range(5))
        )
        assert not it.payments.turns.is_busy("p.1")
    assert {row.state for row in rows} == {S.AUTHORIZED}
    assert provider.authorize.attempts == 1


async def test_another_amount_or_currency_is_refused(open_payments):
    async with open_payments() as it:
        await usecases.pay(it.payments, "p.1", 5000, "USD")
        with pytest.raises(KeyReused):
            await usecases.pay(it.payments, "p.1", 5001, "USD")
        with pytest.raises(KeyReused):
            await usecases.pay(it.payments, "p.1", 5000, "EUR")


@pytest.mark.parametrize("silence", [NoAnswer("reset"), After(60.0, "authorized")])
async def test_no_answer_is_unknown_and_never_declined(open_payments, provider, silence):
    provider.authorize = Script(silence, "authorized")
    async with open_payments(provider_timeout_s=5) as it:
        with pytest.raises(ProviderUnknown):
            await usecases.pay(it.payments, "p.1", 5000, "USD")
        assert (await it.store.get("p.1")).state is S.AUTH_PENDING
        assert (await usecases.pay(it.payments, "p.1", 5000, "USD")).state is S.AUTHORIZED


async def test_a_cancel_during_the_call_wins_and_does_not_wait(open_payments, provider):
    provider.authorize = Script(After(5.0, "authorized"))
    async with open_payments() as it:
        woken = []
        it.payments.wake = lambda: woken.append(asyncio.get_running_loop().time())
        paying = asyncio.create_task(usecases.pay(it.payments, "p.1", 5000, "USD"))
        await asyncio.sleep(1)
        assert (await usecases.cancel(it.payments, "p.1")).state is S.VOID_PENDING
        assert asyncio.get_running_loop().time() < 2
        assert (await paying).state is S.VOID_PENDING
    assert len(woken) == 2  # by the cancel, and when the turn is free again
    assert woken[1] >= 5


async def test_a_caller_without_time_changes_nothing_about_the_work(open_payments, provider):
    """The late /pay of slow-payments runs to its end, although its caller left long ago."""
    provider.authorize = Script(After(5.0, "authorized"))
    async with open_payments() as it:
        with deadline(1.0):
            row = await usecases.pay(it.payments, "p.1", 5000, "USD")
    assert row.state is S.AUTHORIZED


async def test_a_group_is_captured_in_two_commits(open_payments, provider):
    refs = [f"p.{n}" for n in range(20)]
    async with open_payments() as it:
        for ref in refs:
            await usecases.pay(it.payments, ref, 5000, "USD")
        provider.capture = Script(After(1.0, None))
        rows = await usecases.capture(it.payments, [*refs, "p.none"])
    assert {row.state for row in rows.values()} == {S.CAPTURED}
    assert list(rows) == refs
    assert provider.capture.times_s[-1] - provider.capture.times_s[0] == pytest.approx(2, abs=0.1)


async def test_what_the_provider_does_not_acknowledge_stays_pending(open_payments, provider):
    async with open_payments() as it:
        for ref in ("p.1", "p.2", "p.3"):
            await usecases.pay(it.payments, ref, 5000, "USD")
        provider.capture = Script(None, NoAnswer("reset"), OutOfOrder("voided there"))
        rows = await usecases.capture(it.payments, ["p.1", "p.2", "p.3"])
    assert [row.state for row in rows.values()] == [
        S.CAPTURED,
        S.CAPTURE_PENDING,
        S.CAPTURE_PENDING,
    ]


async def test_a_group_does_not_wait_for_a_busy_member(open_payments, provider):
    async with open_payments() as it:
        for ref in ("p.1", "p.2"):
            await usecases.pay(it.payments, ref, 5000, "USD")
        async with it.payments.turns.take("p.1"):
            rows = await usecases.capture(it.payments, ["p.1", "p.2"])
    assert [rows[ref].state for ref in ("p.1", "p.2")] == [S.CAPTURE_PENDING, S.CAPTURED]


async def test_a_bug_in_the_provider_client_is_not_swallowed(open_payments, provider):
    async with open_payments() as it:
        for ref in ("p.1", "p.2"):
            await usecases.pay(it.payments, ref, 5000, "USD")
        provider.capture = Script(ZeroDivisionError(), None)
        with pytest.raises(ZeroDivisionError):
            await usecases.capture(it.payments, ["p.1", "p.2"])
        assert (await it.store.get("p.2")).state is S.CAPTURED


async def test_turns_are_one_at_a_time_and_forgotten_afterwards():
    turns, running, most = Turns(), 0, 0

    async def work() -> None:
        nonlocal running, most
        async with turns.take("p.1"):
            running += 1
            most = max(most, running)
            await asyncio.sleep(1)
            running -= 1

    tasks = [asyncio.create_task(work()) for _ in range(5)]
    await asyncio.sleep(0.5)
    tasks[3].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert most == 1
    assert not turns.is_busy("p.1")
    async with turns.take("p.1"), turns.take_free(["p.1", "p.2"]) as mine:
        assert mine == ["p.2"]
