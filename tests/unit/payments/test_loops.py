"""Whatever is open is settled, in any order of trouble."""

import asyncio

from payments import usecases
from payments.clients import NoAnswer
from payments.domain import PaymentState
from resilience.testing import After, Script

S = PaymentState


async def rounds(it, seconds: float) -> None:
    """The loop's rounds, one a second, as `Loop` would make them."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        await it.settle.step()
        await asyncio.sleep(1)


async def state(it, ref: str) -> PaymentState:
    return (await it.store.get(ref)).state


async def test_an_authorization_in_doubt_is_looked_up_first(open_payments, provider):
    provider.lookup = Script("authorized")
    async with open_payments() as it:
        await it.store.begin("p.1", 5000, "USD", now=it.payments.now())
        await rounds(it, 2)
        assert await state(it, "p.1") is S.AUTHORIZED
    assert provider.calls() == {"lookup": 1}


async def test_an_authorization_that_never_arrived_is_sent_again(open_payments, provider):
    provider.authorize = Script("declined")
    async with open_payments() as it:
        await it.store.begin("p.1", 5000, "USD", now=it.payments.now())
        await rounds(it, 2)
        assert await state(it, "p.1") is S.DECLINED
    assert provider.calls() == {"lookup": 1, "authorize": 1}


async def test_voided_is_said_only_after_the_provider_acknowledged(open_payments, provider):
    provider.void = Script(NoAnswer("reset"), NoAnswer("reset"), None)
    async with open_payments() as it:
        await usecases.cancel(it.payments, "p.1")
        await it.settle.step()
        await asyncio.sleep(0.1)
        assert await state(it, "p.1") is S.VOID_PENDING
        await rounds(it, 10)
        assert await state(it, "p.1") is S.VOIDED
    assert provider.calls() == {"void": 3}


async def test_a_capture_under_way_is_settled_before_the_refund(open_payments, provider):
    provider.capture = Script(NoAnswer("reset"), None)
    async with open_payments() as it:
        await usecases.pay(it.payments, "p.1", 5000, "USD")
        await usecases.capture(it.payments, ["p.1"])
        assert (await usecases.cancel(it.payments, "p.1")).state is S.CAPTURE_PENDING
        await rounds(it, 10)
        assert await state(it, "p.1") is S.REFUNDED
    assert provider.calls() == {"authorize": 1, "capture": 2, "refund": 1}


async def test_a_call_that_hangs_keeps_no_other_waiting(open_payments, provider):
    provider.void = Script(After(20.0, None), None)
    async with open_payments() as it:
        await usecases.cancel(it.payments, "p.1")
        await it.settle.step()
        await usecases.cancel(it.payments, "p.2")
        await rounds(it, 2)
        assert await state(it, "p.1") is S.VOID_PENDING
        assert await state(it, "p.2") is S.VOIDED
        assert it.settle.open == {"VOID_PENDING": 1}
        await rounds(it, 25)
        assert await state(it, "p.1") is S.VOIDED
    assert provider.calls() == {"void": 2}


async def test_a_running_pay_is_left_alone(open_payments, provider):
    provider.authorize = Script(After(5.0, "authorized"))
    async with open_payments() as it:
        paying = asyncio.create_task(usecases.pay(it.payments, "p.1", 5000, "USD"))
        await rounds(it, 3)
        assert not it.settle._running, "nothing may queue up behind it, round after round"
        assert provider.calls() == {"authorize": 1}
        await paying
    assert provider.calls() == {"authorize": 1}


async def test_one_payment_in_trouble_does_not_stop_the_others(open_payments, provider):
    provider.void = Script(lambda ref: ZeroDivisionError() if ref == "p.1" else None)
    async with open_payments() as it:
        for ref in ("p.1", "p.2"):
            await usecases.cancel(it.payments, ref)
        await rounds(it, 3)
        assert await state(it, "p.1") is S.VOID_PENDING
        assert await state(it, "p.2") is S.VOIDED


async def test_calls_are_bounded(open_payments, provider):
    provider.void = Script(After(1.0, None))
    async with open_payments() as it:
        for n in range(20):
            await usecases.cancel(it.payments, f"p.{n}")
        await rounds(it, 5)
    starts = sorted(provider.void.times_s)
    assert starts[usecases.PROVIDER_CALLS] - starts[0] >= 0.99
    assert len(starts) == 20
