"""A callee with a few workers and callers who come by chance, on virtual time: what the simulations share.

The policies under test are the library's own objects; only the far end and the clock are made up.
"""

import asyncio
import os
import platform
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

WORKERS, SERVICE_S = 8, 0.010
CAPACITY_PER_S = WORKERS / SERVICE_S
PATIENCE_S = 1.0
"""How long a caller waits before it gives up, seconds."""


class Phase(NamedTuple):
    """A stretch of steady load.

    Attributes:
        seconds: How long it lasts.
        per_s: Mean arrivals per second; they come independently of each other (Poisson).
        slowness: What the callee's service time is multiplied by.
        label: For tables.
    """

    seconds: float
    per_s: float
    slowness: float = 1.0
    label: str = ""


class Callee:
    """Serves first come, first served, each call for `SERVICE_S` +- 40 %.

    It does not notice that a caller has given up: the work is done all the same, as by a server
    without deadlines.

    Args:
        seed: Of the service times.
        most_waiting: One more is refused as a broken connection; None waits without bound.
    """

    def __init__(self, seed: int, most_waiting: int | None = None) -> None:
        self.slowness = 1.0
        self.received = 0
        self._random = random.Random(seed)
        self._most_waiting = most_waiting
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._busy = 0

    async def __call__(self) -> None:
        """Wait for a worker and for its work."""
        self.received += 1
        if self._most_waiting is not None and len(self._waiting) >= self._most_waiting:
            raise ConnectionResetError
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()
        self._waiting.append(answer)
        self._start(loop)
        await answer

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._busy < WORKERS and self._waiting:
            self._busy += 1
            takes_s = SERVICE_S * self.slowness * self._random.uniform(0.6, 1.4)
            loop.call_later(takes_s, self._done, self._waiting.popleft(), loop)

    def _done(self, answer: asyncio.Future[None], loop: asyncio.AbstractEventLoop) -> None:
        self._busy -= 1
        if not answer.done():
            answer.set_result(None)
        self._start(loop)


async def open_loop(
    phases: Sequence[Phase],
    seed: int,
    begin: Callable[[int], None],
    call: Callable[[int], Coroutine[Any, Any, None]],
) -> None:
    """Start `call(phase number)` as often as the phases say, whatever became of earlier ones.

    Args:
        phases: What happens, in order.
        seed: Of the arrival times.
        begin: Told each phase's number as it begins.
        call: Must not raise.
    """
    callers = _Callers(random.Random(seed), call)
    for number, phase in enumerate(phases):
        begin(number)
        await callers.come(number, phase)
    await callers.leave()


class _Callers:
    """Starts calls at random times. Plain timers: there are a million arrivals in a table."""

    def __init__(
        self, rng: random.Random, call: Callable[[int], Coroutine[Any, Any, None]]
    ) -> None:
        self._rng = rng
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._inside = 0
        self._all_left: asyncio.Future[None] | None = None

    async def come(self, number: int, phase: Phase) -> None:
        """Start this phase's calls; returns when it is over."""
        loop, gap_s = self._loop, self._rng.expovariate
        over: asyncio.Future[None] = loop.create_future()
        end_s = loop.time() + phase.seconds

        def arrive(at: float) -> None:
            if at >= end_s:
                over.set_result(None)
                return
            self._inside += 1
            # Whatever a running call waits for keeps its task alive.
            loop.create_task(self._one(number))
            at += gap_s(phase.per_s)
            loop.call_at(at, arrive, at)

        arrive(loop.time())
        await over

    async def leave(self) -> None:
        """Wait until nobody is inside."""
        if self._inside:
            self._all_left = self._loop.create_future()
            await self._all_left

    async def _one(self, number: int) -> None:
        await self._call(number)
        self._inside -= 1
        if not self._inside and self._all_left is not None:
            self._all_left.set_result(None)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed; 0.0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table."""
    for row in (header, ["---"] * len(header), *rows):
        yield "| " + " | ".join(row) + " |"


def machine() -> str:
    """What a table must say about where it was measured."""
    models = {
        line.partition(":")[2].strip()
        for line in _lines(Path("/proc/cpuinfo"))
        if line.startswith("model name")
    }
    today = datetime.now(tz=UTC).date().isoformat()
    cpu = ", ".join(sorted(models)) or platform.processor() or platform.machine()
    return f"{os.cpu_count()} x {cpu}, Python {platform.python_version()}, {today}"


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
