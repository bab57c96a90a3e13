"""Payments' background loop: whatever is *_PENDING is settled with the provider, for ever."""

import asyncio

import structlog
from prometheus_client import Gauge

from chassis.loops import Loop
from payments import usecases
from payments.domain import PENDING
from payments.store import PaymentRow
from payments.usecases import Payments

log = structlog.get_logger()

_PERIOD_S = 1.0
_BATCH = 64


class Settle:
    """Ask the provider about every open payment that is due and that nobody is asking about.

    A round starts the calls and does not wait for them: one that hangs keeps no other waiting.

    Args:
        payments: The service; its `wake` becomes this loop's.
        gauge: Shows how many payments are open.
    """

    def __init__(self, payments: Payments, gauge: Gauge) -> None:
        self._payments = payments
        self._gauge = gauge
        # Started by `step`, removed by themselves when done; at most one per reference.
        self._running: set[asyncio.Task[None]] = set()
        # State → number of payments in it, as of the last round; read by /readyz?verbose=1.
        self.open: dict[str, int] = {}

    def loop(self) -> Loop:
        """The supervised loop."""
        loop = Loop("payment-settle", self.step, period_s=_PERIOD_S)
        self._payments.wake = loop.wake
        return loop

    async def step(self) -> None:
        """One round: show what is open, start what is due."""
        payments = self._payments
        due, self.open = await payments.store.look(now=payments.now(), limit=_BATCH)
        self._gauge.set(sum(self.open.values()))
        for row in due:
            if not payments.turns.is_busy(row.payment_ref):
                task = asyncio.create_task(self._settle(row), name=f"settle:{row.payment_ref}")
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def drain(self, grace_s: float) -> None:
        """Let the calls that are running end for `grace_s`, then cancel them: the next start goes on with them."""
        running = set(self._running)
        if running:
            await asyncio.wait(running, timeout=grace_s)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _settle(self, row: PaymentRow) -> None:
        """One payment, one step further."""
        payments = self._payments
        try:
            async with payments.turns.take(row.payment_ref), payments.slots:
                settled = await usecases.settle(payments, row.payment_ref)
        except Exception as error:  # noqa: BLE001 - one payment in trouble must not stop the others
            log.warning("payment_unsettled", payment_ref=row.payment_ref, error=repr(error))
            await self._postpone(row, error)
            return
        if settled is not None and settled.state in PENDING:
            payments.wake()

    async def _postpone(self, row: PaymentRow, error: Exception) -> None:
        try:
            await self._payments.postpone(row, error)
        except Exception as failed:  # noqa: BLE001 - then it stays due, and the next round finds it
            log.warning("payment_not_postponed", payment_ref=row.payment_ref, error=repr(failed))
