"""Stored first, delivered once, however the mail server behaves."""

import asyncio

import pytest

from chassis.errors import NotFound
from notifications import usecases
from notifications.clients import MaybeDelivered, NotDelivered, Undeliverable
from notifications.domain import MessageState, status_of
from notifications.schemas import Notification
from notifications.settings import Settings
from resilience import deadline
from resilience.testing import After, Script

S = MessageState
LEASE_S = Settings().mail_lease_s


def note(ref: str = "r1.confirmed", to: str = "ana@example.com") -> Notification:
    return Notification(notification_id=ref, to=to, template="confirmed", lang="es", data={})


async def state(it, ref: str = "r1.confirmed") -> MessageState:
    return (await row(it, ref)).state


async def row(it, ref: str = "r1.confirmed"):
    return (await it.store.messages(recipient=None, notification_id=ref, limit=1))[0]


async def rounds(it, seconds: float) -> None:
    """The loop's rounds, one a second, as `Loop` would make them."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        await it.delivery.step()
        await asyncio.sleep(1)


async def test_a_mail_is_sent_once_however_often_it_is_asked_for(open_notifications, smtp):
    async with open_notifications() as it:
        for _ in range(3):
            assert await usecases.send(it.svc, [note()]) == {"r1.confirmed": S.DELIVERED}
        await rounds(it, 3)
    assert smtp.send.attempts == 1


async def test_concurrent_re_sends_share_one_delivery(open_notifications, smtp):
    smtp.send = Script(After(0.2, None))
    async with open_notifications() as it:
        answers = await asyncio.gather(*(usecases.send(it.svc, [note()]) for _ in range(5)))
    assert all(answer == {"r1.confirmed": S.DELIVERED} for answer in answers)
    assert smtp.send.attempts == 1


async def test_a_slow_server_makes_the_answer_accepted_and_is_not_cut(open_notifications, smtp):
    smtp.send = Script(After(3.0, None))
    async with open_notifications() as it:
        began_s = asyncio.get_running_loop().time()
        with deadline(0.1):
            assert await usecases.send(it.svc, [note()]) == {"r1.confirmed": S.ACCEPTED}
        assert asyncio.get_running_loop().time() - began_s < 0.5
        await rounds(it, 5)
        assert await state(it) is S.DELIVERED
    assert (smtp.send.attempts, smtp.send.cancelled) == (1, 0)


async def test_an_outage_is_retried_for_ever_and_never_counts_as_a_second_mail(
    open_notifications, smtp
):
    smtp.send = Script(*[NotDelivered("down")] * 12, None)
    async with open_notifications() as it:
        assert await usecases.send(it.svc, [note()]) == {"r1.confirmed": S.ACCEPTED}
        await rounds(it, 600)
        found = await row(it)
    assert (found.state, found.attempts, found.redelivered) == (S.DELIVERED, 13, 0)
    waits = [b - a for a, b in zip(smtp.send.times_s, smtp.send.times_s[1:], strict=False)]
    assert max(waits) <= 62


async def test_only_a_refused_address_is_dead(open_notifications, smtp):
    smtp.send = Script(Undeliverable("550"), None)
    async with open_notifications() as it:
        assert await usecases.send(it.svc, [note()]) == {"r1.confirmed": S.DEAD}
        await rounds(it, 90)
        assert await usecases.send(it.svc, [note()]) == {"r1.confirmed": S.DEAD}
    assert smtp.send.attempts == 1


@pytest.mark.parametrize("trouble", [MaybeDelivered("reset"), After(60.0, None)])
async def test_a_possible_second_mail_is_counted(open_notifications, smtp, trouble):
    smtp.send = Script(trouble, None)
    async with open_notifications() as it:
        assert status_of((await usecases.send(it.svc, [note()]))["r1.confirmed"]) == "accepted"
        await rounds(it, 30)
        found = await row(it)
        counted = it.svc.redelivered._value.get()
    assert (found.state, found.attempts, found.redelivered, counted) == (S.DELIVERED, 2, 1, 1)


async def test_a_sender_that_died_loses_its_lease(open_notifications, smtp):
    """kill -9 between INFLIGHT and DELIVERED: the next process takes the message again, once the lease is over."""
    smtp.send = Script(After(1e6, None), None)
    async with open_notifications(drain_s=0.0) as it:
        await usecases.send(it.svc, [note()])
        assert await state(it) is S.INFLIGHT
    async with open_notifications() as it:
        await rounds(it, LEASE_S - 5)
        assert smtp.send.attempts == 1
        await rounds(it, 10)
        assert await state(it) is S.DELIVERED


async def test_a_name_that_is_no_address_goes_to_the_mailbox(open_notifications, smtp, query):
    async with open_notifications() as it:
        assert await usecases.send(it.svc, [note(to="ana")]) == {"r1.confirmed": S.DELIVERED}
    assert smtp.send.attempts == 0
    assert query("SELECT recipient FROM mailbox") == [("ana",)]


async def test_a_group_is_stored_whole_and_told_one_by_one(open_notifications, smtp):
    smtp.send = Script(
        lambda envelope: Undeliverable("550") if envelope.recipient[0] == "x" else None
    )
    async with open_notifications() as it:
        states = await usecases.send(
            it.svc,
            [note(f"r{n}.confirmed", f"{'x' if n == 3 else 'a'}{n}@example.com") for n in range(9)],
        )
    assert [ref for ref, found in states.items() if found is not S.DELIVERED] == ["r3.confirmed"]
    assert states["r3.confirmed"] is S.DEAD


async def test_a_bug_in_a_mailer_leaves_the_message_to_its_lease(open_notifications, smtp):
    smtp.send = Script(ZeroDivisionError(), None)
    async with open_notifications() as it:
        assert await usecases.send(it.svc, [note()]) == {"r1.confirmed": S.ACCEPTED}
        await rounds(it, LEASE_S + 3)
        assert await state(it) is S.DELIVERED


async def test_a_dead_letter_is_sent_again_to_the_corrected_address(open_notifications, smtp):
    smtp.send = Script(
        lambda envelope: None if envelope.recipient == "ana@example.org" else Undeliverable("550")
    )
    async with open_notifications() as it:
        assert await usecases.send(it.svc, [note()]) == {"r1.confirmed": S.DEAD}
        found, was_dead = await usecases.resend(it.svc, "r1.confirmed", None)
        assert (found.state, found.last_error, was_dead) == (S.DEAD, "550", True)
        found, was_dead = await usecases.resend(it.svc, "r1.confirmed", "ana@example.org")
        assert (found.state, found.last_error, was_dead) == (S.DELIVERED, None, True)
        # Once it is out, nothing makes it go out again.
        found, was_dead = await usecases.resend(it.svc, "r1.confirmed", "eva@example.org")
        assert (found.state, found.recipient, was_dead) == (S.DELIVERED, "ana@example.org", False)
        assert await usecases.send(it.svc, [note()]) == {"r1.confirmed": S.DELIVERED}
        assert (await row(it)).redelivered == 0
    assert smtp.send.attempts == 3


async def test_a_resend_into_an_outage_is_retried_like_any_other(open_notifications, smtp):
    smtp.send = Script(Undeliverable("550"), NotDelivered("down"), NotDelivered("down"), None)
    async with open_notifications() as it:
        await usecases.send(it.svc, [note()])
        found, was_dead = await usecases.resend(it.svc, "r1.confirmed", None)
        assert (found.state, was_dead) == (S.ACCEPTED, True)
        await rounds(it, 60)
        assert await state(it) is S.DELIVERED


async def test_concurrent_resends_make_one_mail(open_notifications, smtp):
    smtp.send = Script(Undeliverable("550"), After(0.2, None))
    async with open_notifications() as it:
        await usecases.send(it.svc, [note()])
        answers = await asyncio.gather(
            *(usecases.resend(it.svc, "r1.confirmed", None) for _ in range(5))
        )
        assert await state(it) is S.DELIVERED
    assert smtp.send.attempts == 2
    assert S.DELIVERED in {found.state for found, _ in answers}


async def test_a_message_that_does_not_exist_cannot_be_resent(open_notifications):
    async with open_notifications() as it:
        with pytest.raises(NotFound):
            await usecases.resend(it.svc, "r9.confirmed", None)
