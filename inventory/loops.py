"""Inventory's background loop: expired holds give their seats back."""

import structlog

from chassis.loops import Loop
from inventory.usecases import Inventory

log = structlog.get_logger()

_PERIOD_S = 1.0
_CLOCK_JUMP_S = 5.0


class Sweep:
    """Expire holds past their promise and grace, by this service's clock.

    Pauses after a start, after a clock jump, and when a round comes late (a process that was stopped, a machine that
    slept): while we were away nobody could confirm, and a sale past its pivot must still find its seats.
    """

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._runtime = inventory.runtime
        # Where the wall clock stood against the monotonic one; rewritten by `step` only.
        self._offset_s = self._wall_offset_s()
        self._last_round_s = self._runtime.mono()
        self._paused_until_s = self._runtime.mono() + inventory.settings.sweep_pause_s

    def loop(self) -> Loop:
        """The supervised loop."""
        return Loop("hold-sweep", self.step, period_s=_PERIOD_S)

    async def step(self) -> bool:
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
            return False
        now = self._runtime.now().timestamp()
        freed = await self._inventory.store.expire(
            before=now - self._inventory.settings.hold_grace_s, now=now
        )
        if freed:
            log.info("holds_expired", holds=freed)
        return False

    def _late_s(self) -> float:
        """How much later than its period this round comes."""
        last_s, self._last_round_s = self._last_round_s, self._runtime.mono()
        return self._last_round_s - last_s - _PERIOD_S

    def _wall_offset_s(self) -> float:
        return self._runtime.now().timestamp() - self._runtime.mono()
