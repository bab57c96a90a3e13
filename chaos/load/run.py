"""One run, from the first count of the seats to the last look at the gateway's health."""

import asyncio
import contextlib
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from chaos.buyers import Buyers
from chaos.journal import Journal
from chaos.load.crew import Crew
from chaos.load.gauges import Gauges, Sample
from chaos.load.plan import Plan
from chaos.load.report import Report
from chaos.load.tally import Second
from chaos.mesh import Mesh
from resilience import Runtime

_HEALTH_LIMIT_S: Final = 3.0
_LATE_S: Final = 0.25
"""How long after the end of a second its parts are there."""


@dataclass(slots=True)
class Progress:
    """A run while it goes on; `Show` gets it each second.

    Attributes:
        plan: What is wanted.
        number: The second that is over.
        last: That second.
        whole: All so far.
        sample: The last look at the services.
    """

    plan: Plan
    number: int = 0
    last: Second = field(default_factory=Second)
    whole: Second = field(default_factory=Second)
    sample: Sample | None = None

    @property
    def left_s(self) -> float | None:
        """Until the last request starts, seconds; None in a closed loop."""
        duration_s = self.plan.duration_s
        return None if duration_s is None else max(0.0, duration_s - self.number - 1)


Show = Callable[[Progress], None]


class Flood:
    """One run against one mesh.

    Args:
        plan: What to send.
        mesh: Where.
        journal: Takes down what is asked and told; every process writes to it.
        runtime: Clock, sleep and chance.
        show: Gets the progress each second.
    """

    def __init__(
        self, plan: Plan, mesh: Mesh, journal: Journal | None, runtime: Runtime, show: Show
    ) -> None:
        self._plan = plan
        self._mesh = mesh
        self._journal = journal
        self._runtime = runtime
        self._show = show
        self._begin_s = math.inf
        self._seconds: defaultdict[int, Second] = defaultdict(Second)
        self._samples: list[Sample] = []
        self._whole = Second()

    async def run(self) -> Report:
        """Count, buy, count again, look at the health. Seats are counted for the auditor.

        Cancelled once (Ctrl-C), it starts nothing more, waits for the answers that are still out, and reports.

        Raises:
            CrewFailed: A buying process is broken.
        """
        plan, event_id = self._plan, self._plan.event_id
        async with Buyers(self._mesh.url("gateway"), 1, journal=self._journal) as watcher:
            await watcher.count(event_id)
            run = f"{int(self._runtime.random() * 16**10):010x}"
            port = self._mesh.ports["gateway"]
            async with Crew(plan, port, run=run, journal=self._journal) as crew:
                interrupted = await self._buy(crew)
            await watcher.count(event_id)
            healthy = await self._is_healthy(watcher)
        return Report(
            plan=plan,
            seconds=dict(sorted(self._seconds.items())),
            samples=self._samples,
            room=crew.room * plan.processes,
            healthy_after=healthy,
            interrupted=interrupted,
        )

    async def _buy(self, crew: Crew) -> bool:
        """Let the crew buy; whether it was interrupted."""
        await crew.buy(self._runtime.clock, self._began)
        work = asyncio.create_task(crew.listen(self._heard))
        watch = asyncio.create_task(self._watch())
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            _uncancel()
            crew.stop()
            await work
            return True
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
        return False

    def _began(self, begin_s: float) -> None:
        self._begin_s = begin_s

    def _heard(self, number: int, part: Second) -> None:
        self._seconds[number].merge(part)
        self._whole.merge(part)

    async def _watch(self) -> None:
        """Each second: look at the services, and show what the second came to."""
        gauges = Gauges(self._mesh.ports, self._runtime.clock, self._mesh.token)
        progress = Progress(self._plan, whole=self._whole)
        try:
            while True:
                at_s = self._runtime.clock() - self._begin_s
                await self._runtime.sleep(math.floor(at_s) + 1 + _LATE_S - at_s)
                at_s = self._runtime.clock() - self._begin_s
                progress.sample = await gauges.look(round(at_s, 3))
                self._samples.append(progress.sample)
                progress.number = int(at_s) - 1
                progress.last = self._seconds.get(progress.number, Second())
                if progress.number >= 0:
                    self._show(progress)
        finally:
            gauges.close()

    async def _is_healthy(self, watcher: Buyers) -> bool:
        url = self._mesh.url("gateway", "/healthz")
        end = self._runtime.clock() + _HEALTH_LIMIT_S
        while True:
            if (await watcher.call("GET", url)).status == 200:
                return True
            if self._runtime.clock() >= end:
                return False
            await self._runtime.sleep(0.1)


def _uncancel() -> None:
    """The wish to stop is heard; what still has to be done is done without it."""
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()
