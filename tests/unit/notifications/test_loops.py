"""The loop keeps going past a server that hangs, and through more than one batch."""

import asyncio

from notifications.domain import Mail, MessageState
from notifications.schemas import Notification
from resilience.testing import After, Script


def note(ref: str, to: str) -> Notification:
    return Notification(notification_id=ref, to=to, template="confirmed", lang="es", data={})


async def test_a_backlog_of_several_batches_drains_at_once(open_notifications):
    async with open_notifications() as it:
        for start in range(0, 600, 200):
            wanted = [(note(f"r{start + n}.c", "ana"), Mail("s", "b")) for n in range(200)]
            await it.store.accept(wanted, now=it.svc.now())
        while await it.delivery.step():
            pass
        assert await it.store.pending() == 0
        assert asyncio.get_running_loop().time() < 2


async def test_a_server_that_hangs_keeps_the_mailbox_going(open_notifications, smtp):
    smtp.send = Script(After(15.0, None))
    async with open_notifications() as it:
        wanted = [(note(f"r{n}.c", "ana@example.com"), Mail("s", "b")) for n in range(20)]
        await it.store.accept(wanted, now=it.svc.now())
        await it.delivery.step()
        await it.store.accept([(note("r99.c", "eva"), Mail("s", "b"))], now=it.svc.now())
        await it.delivery.step()
        found = await it.store.messages(recipient="eva", notification_id=None, limit=1)
        assert found[0].state is MessageState.DELIVERED
        assert smtp.send.attempts == 8
        assert it.metrics.registry.get_sample_value("notifications_pending") == 20
