"""Supervised background loops: they survive their own errors, drain on shutdown and show themselves in the metrics.

Not here: what a loop does (each service's `loops.py`), the backoff formula (`resilience.full_jitter_s`).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import structlog

from chassis.runtime import Runtime
from chassis.telemetry import Metrics
from resilience import full_jitter_s

log = structlog.get_logger()


class Loop:
    """Run `step` again and again: when woken, and at least every `period_s`.

    One per purpose per app. A failing step is logged, counted and repeated with full jitter from 50 ms to 2 s.

    Args:
        name: Label in logs and metrics.
        step: One round of work; returns True when more work is waiting, which skips the wait.
        period_s: Longest wait between rounds, seconds; None waits for `wake` only. `step` may change it.
        gather_s: After a `wake`, how long to wait for more of them, seconds: what comes together is done together.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], Awaitable[bool | None]],
        *,
        period_s: float | None,
        gather_s: float = 0.0,
    ) -> None:
        self.name = name
        self._step = step
        self.period_s = period_s
        self._gather_s = gather_s
        self._wake = asyncio.Event()
        # Whether it was `wake` that ended the rest, rather than the period.
        self._asked = False
        self._stopping = False
        # Read by readiness; written by the loop's own task only.
        self.failures_in_row = 0

    def wake(self) -> None:
        """Start the next round now, or after `gather_s`."""
        self._asked = True
        self._wake.set()

    def stop(self) -> None:
        """Finish the round that is running and return."""
        self._stopping = True
        self._wake.set()

    async def run(self, runtime: Runtime, metrics: Metrics) -> None:
        """Rounds until `stop`."""
        rounds = metrics.loop_rounds.labels(self.name)
        last_success = metrics.loop_last_success.labels(self.name)
        while not self._stopping:
            rounds.inc()
            more = await self._round(metrics)
            if not self.failures_in_row:
                last_success.set(runtime.now().timestamp())
            if self.failures_in_row:
                wait_s = full_jitter_s(self.failures_in_row, 0.05, 2.0, runtime.resilience.random)
                await runtime.resilience.sleep(wait_s)
            elif not more:
                await self._rest(runtime)

    async def _round(self, metrics: Metrics) -> bool:
        self._wake.clear()
        self._asked = False
        try:
            more = await self._step()
        except Exception as error:  # noqa: BLE001 - a loop survives its own errors and says so
            self.failures_in_row += 1
            metrics.loop_errors.labels(self.name).inc()
            log.warning(
                "loop_failed", loop=self.name, error=repr(error), in_row=self.failures_in_row
            )
            return False
        self.failures_in_row = 0
        return bool(more)

    async def _rest(self, runtime: Runtime) -> None:
        if self.period_s is None:
            await self._wake.wait()
        else:  # a timer, not `asyncio.timeout`: being late is no error here, and nothing need be cancelled
            timer = asyncio.get_running_loop().call_later(self.period_s, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                timer.cancel()
        if self._gather_s and self._asked and not self._stopping:
            await runtime.resilience.sleep(self._gather_s)


@contextlib.asynccontextmanager
async def supervised(
    loops: Sequence[Loop], runtime: Runtime, metrics: Metrics, *, grace_s: float
) -> AsyncIterator[None]:
    """Run `loops` for the length of the block; on leaving, let running rounds end for `grace_s`, then cancel them."""

    async def keep(loop: Loop) -> None:
        while not loop._stopping:  # noqa: SLF001 - the supervisor of this class
            try:
                metrics.loop_up.labels(loop.name).set(1)
                await loop.run(runtime, metrics)
            except Exception:
                log.exception("loop_restarted", loop=loop.name)
            finally:
                metrics.loop_up.labels(loop.name).set(0)

    tasks = [asyncio.create_task(keep(loop), name=f"loop:{loop.name}") for loop in loops]
    try:
        yield
    finally:
        for loop in loops:
            loop.stop()
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
