"""Notifications' background loop: whatever was accepted is delivered, for ever."""

import asyncio

from prometheus_client import Gauge

from chassis.loops import Loop
from notifications.usecases import Notifications

_PERIOD_S = 1.0
_BATCH = 256


class Delivery:
    """Start the delivery of every message that is due and that nobody is delivering.

    Args:
        notifications: The service.
        gauge: Shows how many messages are neither delivered nor dead.
    """

    def __init__(self, notifications: Notifications, gauge: Gauge) -> None:
        self._notifications = notifications
        self._gauge = gauge

    def loop(self) -> Loop:
        """The supervised loop."""
        return Loop("message-delivery", self.step, period_s=_PERIOD_S)

    async def step(self) -> bool:
        """One round; True when there may be more than one batch."""
        svc = self._notifications
        due, pending = await svc.store.look(now=svc.now(), limit=_BATCH)
        started = [
            svc.start(row)
            for row in due
            if not svc.is_running(row.notification_id) and svc.has_room()
        ]
        if started:
            # Not to their end: one slow server must not keep the rest waiting.
            await asyncio.wait(started, timeout=_PERIOD_S)
            pending = await svc.store.pending()
        self._gauge.set(pending)
        return len(due) == _BATCH and bool(started)
