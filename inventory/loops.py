"""Inventory's background loop: expired holds give their seats back."""

import structlog

from chassis.loops import Loop
from chassis.telemetry import Metrics
from inventory.usecases import Inventory

log = structlog.get_logger()

_PERIOD_S = 1.0
_CLOCK_JUMP_S = 5.0


class Sweep:
    """Expire holds past their promise and grace, by this service's clock.

    Pauses after a start, after a clock jump, and when a round comes late (a process that was stopped, a machine that
    slept): while we were away nobody could confirm, and a sale past its pivot must still find its seats.

    Args:
        inventory: The service.
        metrics: Where open holds show.
    """

    def __init__(self, inventory: Inventory, metrics: Metrics) -> None:
        self._inventory = inventory
        self._runtime = inventory.runtime
        # Where the wall clock stood against the monotonic one; rewritten by `step` only.
        self._offset_s = self._wall_offset_s()
        self._last_round_s = self._runtime.mono()
        self._paused_until_s = self._runtime.mono() + inventory.settings.sweep_pause_s
        by_event = ("event_id",)
        self._active = metrics.gauge("seat_holds_active", "Seats held and not yet sold.", by_event)
        self._overdue = metrics.gauge(
            "seat_hold_overdue_seconds", "How long past its promise the oldest hold is.", by_event
        )
        # Events that had holds once, so that what falls to nothing shows as 0.
        self._seen: set[str] = set()

    def loop(self) -> Loop:
        """The supervised loop."""
        return Loop("hold-sweep", self.step, period_s=_PERIOD_S)

    async def step(self) -> None:
        """One sweep, unless paused."""
        offset_s, late_s = self._wall_offset_s(), self._late_s()
        if abs(offset_s - self._offset_s) >= _CLOCK_JUMP_S or late_s >= _CLOCK_JUMP_S:
            log.warning(
                "sweep_paused",
                jump_s=round(offset_s - self._offset_s, 1),
                late_s=round(late_s, 1),
            )
            self._paused_until_s = self._runtime.mono() + self._inventory.settings.sweep_pause_s
        self._offset_s = offset_s
        if self._runtime.mono() < self._paused_until_s:
            return
        now = self._runtime.now().timestamp()
        # In one transaction: a look of its own every second would be one more for nothing.
        freed, held = await self._inventory.store.sweep(
            before=now - self._inventory.settings.hold_grace_s, now=now
        )
        self._show({event_id: (seats, until) for event_id, seats, until in held}, now)
        if freed:
            log.info("holds_expired", holds=freed)

    def _show(self, held: dict[str, tuple[int, float]], now: float) -> None:
        self._seen |= set(held)
        for event_id in sorted(self._seen):
            seats, until = held.get(event_id, (0, now))
            self._active.labels(event_id).set(seats)
            self._overdue.labels(event_id).set(max(0.0, now - until))

    def _late_s(self) -> float:
        """How much later than its period this round comes."""
        last_s, self._last_round_s = self._last_round_s, self._runtime.mono()
        return self._last_round_s - last_s - _PERIOD_S

    def _wall_offset_s(self) -> float:
        return self._runtime.now().timestamp() - self._runtime.mono()
