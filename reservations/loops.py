"""The background loops of reservations: recovery of sagas nobody drives, and the outbox."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import get_args

import structlog

from chassis import tracing
from chassis.clients import InDoubt, NotSent, Refused
from chassis.loops import Loop
from chassis.telemetry import Metrics
from reservations.domain import OPEN, Parcel, Reservation
from reservations.store import Mark
from reservations.store.outbox import Kind, Waiting
from reservations.usecases import Reservations, recover, write_off
from resilience import full_jitter_s

log = structlog.get_logger()

POINTS = tuple(
    f"outbox.{kind}.{moment}"
    for kind in get_args(Kind)
    for moment in ("before", "called", "marked")
)
"""Where `crash_at` can end the process: around the sending of each kind, and after the commit that ticks it off."""

_GATHER_S = 0.1  # one call for what a crowd of buyers owes, and nobody waits for it
_BATCH = 50  # notices of this many reservations stay well below the body limit of 64 KiB
_DONE = {
    "capture": frozenset({"captured"}),
    "notify": frozenset({"delivered"}),
}
_IMPOSSIBLE = {
    # A cancellation supersedes its capture in its own commit, so a payment that was cancelled here is nobody's wish.
    "capture": frozenset({"declined", "unknown", "voided", "refunded"}),
    "notify": frozenset({"dead"}),
}


class Recovery:
    """At start and every second: drive open sagas whose driver is gone."""

    def __init__(self, svc: Reservations, metrics: Metrics) -> None:
        self._svc = svc
        self._open = metrics.gauge("saga_open", "Reservations not at an end.", ("state",))
        by_kind = ("kind",)
        self._pending = metrics.gauge("outbox_pending", "Outbox rows not sent.", by_kind)
        self._oldest = metrics.gauge(
            "outbox_oldest_seconds", "Age of the oldest outbox row not sent; 0 of none.", by_kind
        )
        self._dead = metrics.gauge("outbox_dead", "Outbox rows given up for good.", by_kind)
        self._loop = Loop("saga-recovery", self.step, period_s=1.0)
        # Recoveries still under way; removed by themselves when done.
        self._running: set[asyncio.Task[None]] = set()
        # Whether the last look found more than there was room for; written by `step` only.
        self._more = False
        self.counts: dict[str, int] = {}

    def loop(self) -> Loop:
        """The supervised loop."""
        return self._loop

    async def step(self) -> bool:
        """One look at what is due."""
        svc = self._svc
        await write_off(svc)
        concurrency = svc.settings.recovery_concurrency
        single = svc.settings.orchestrators == 1
        counts, rows, waiting = await svc.sagas.look(single=single, limit=4 * concurrency)
        self._show(counts, waiting)
        for kind in get_args(Kind):
            if f"outbox_{kind}" in counts:
                svc.outbox.wake(kind)
        self._more = False
        for row in rows:
            if len(self._running) >= concurrency:
                self._more = True
                break
            if not svc.drivers.is_running(row.reservation_id):
                task = svc.drivers.start(row.reservation_id, self._recover(row))
                self._running.add(task)
                task.add_done_callback(self._ended)
        return False

    async def _recover(self, row: Reservation) -> None:
        tracing.about(row.reservation_id)
        traces = await self._svc.outbox.traces(row)
        with self._svc.runtime.tracing.continued("saga recovery", traces):
            await recover(self._svc, row)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._more:  # a crowd after a crash is worked off as fast as the callees answer
            self._loop.wake()

    def _show(self, counts: dict[str, int], waiting: Waiting) -> None:
        self.counts = counts
        now = self._svc.runtime.now().timestamp()
        for state in OPEN:
            self._open.labels(state).set(counts.get(state, 0))
        for kind in get_args(Kind):
            self._pending.labels(kind).set(counts.get(f"outbox_{kind}", 0))
            self._oldest.labels(kind).set(now - waiting.oldest.get(kind, now))
            self._dead.labels(kind).set(waiting.dead.get(kind, 0))


class Outbox:
    """Send what confirmed and cancelled reservations owe: captures to payments, notices to notifications."""

    def __init__(self, svc: Reservations) -> None:
        self._svc = svc
        # One per kind, so that a hanging mail service never holds up money.
        self._senders: dict[str, Loop] = {
            "capture": Loop("outbox-capture", self._capture, period_s=5.0, gather_s=_GATHER_S),
            "notify": Loop("outbox-notify", self._notify, period_s=5.0, gather_s=_GATHER_S),
        }

    def loops(self) -> list[Loop]:
        """The supervised loops; from now on, what is owed wakes the one that sends it: at once, and while it is."""
        self._svc.outbox.wake = lambda kind: self._senders[kind].wake()
        return [*self._senders.values(), Loop("outbox-dead", self._ask_dead, period_s=5.0)]

    async def _capture(self) -> bool:
        return await self._send("capture", self._svc.others.payments.capture)

    async def _notify(self) -> bool:
        marks = list(self._svc.mailed.values())
        if marks:
            await self._svc.outbox.mark(marks)
            for mark in marks:
                self._svc.mailed.pop(mark.key, None)
        others = self._svc.others

        async def send(parcels: Sequence[Parcel]) -> dict[str, str]:
            return await others.notifications.send(parcels, inline=False)

        return await self._send("notify", send)

    async def _ask_dead(self) -> bool:
        """Ask about dead notices: an operator may have had them sent again, and buyers must be told the truth."""
        parcels = await self._svc.outbox.dead_notices(limit=_BATCH)
        if parcels:
            try:
                # A re-send says where its message stands; it never makes a dead one be tried again.
                statuses = await self._svc.others.notifications.send(parcels, inline=False)
            except (Refused, NotSent, InDoubt):
                return False
            await self._svc.outbox.revive(statuses)
            self._svc.outbox.wake("notify")
        return False

    async def _send(
        self, kind: Kind, send: Callable[[Sequence[Parcel]], Awaitable[dict[str, str]]]
    ) -> bool:
        parcels = await self._svc.outbox.due(kind, limit=_BATCH)
        if not parcels:
            return False
        traces = {ref: trace for parcel in parcels for ref, trace in parcel.trace.items()}
        with self._svc.runtime.tracing.continued(f"outbox {kind}", traces):
            await self._sent(kind, parcels, send)
        return len(parcels) == _BATCH

    async def _sent(
        self,
        kind: Kind,
        parcels: list[Parcel],
        send: Callable[[Sequence[Parcel]], Awaitable[dict[str, str]]],
    ) -> None:
        self._svc.reach("outbox", kind, "before")
        try:
            statuses = await send(parcels)
        except (Refused, NotSent, InDoubt) as error:
            log.info("outbox_later", kind=kind, parcels=len(parcels), error=str(error))
            statuses = {parcel.key: str(error) for parcel in parcels}
        self._svc.reach("outbox", kind, "called")
        dead = await self._svc.outbox.mark([self._mark(kind, one, statuses) for one in parcels])
        for key in dead:  # and not one that a cancellation superseded meanwhile
            log.error("outbox_dead", kind=kind, key=key, status=statuses[key])
        self._svc.reach("outbox", kind, "marked")

    def _mark(self, kind: Kind, parcel: Parcel, statuses: dict[str, str]) -> Mark:
        status = statuses.get(parcel.key, "no answer for it")
        if status in _DONE[kind]:
            return Mark(parcel.key, "SENT", status)
        if status in _IMPOSSIBLE[kind]:
            return Mark(parcel.key, "DEAD", status)
        delay_s = full_jitter_s(parcel.tries + 1, 0.5, 10.0, self._svc.runtime.resilience.random)
        return Mark(parcel.key, "PENDING", status, delay_s)
