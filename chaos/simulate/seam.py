"""Everything that the standard library and our dependencies draw from the machine, made virtual and seeded.

Our own code reads clocks and chance through `chassis.runtime` only; httpx, tenacity, prometheus and structlog do not.
While `sealed` is entered, `time`, `random`, `os.urandom` and what is built on them (uuid, secrets) answer from the run;
threads cannot be started; anyio's sets of cancel scopes keep their order; garbage is not collected, because a finaliser
would run at a moment that no seed decides.

What cannot be sealed and must not be used: `datetime.now()` and names bound before (`from time import monotonic`).
"""

import asyncio
import gc
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from unittest import mock

import anyio._backends._asyncio as anyio_asyncio

from chaos.simulate.loop import PROCESS, SimulationError, SimulationLoop

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""Where virtual time begins."""


def wall_clock(loop: SimulationLoop) -> datetime:
    """The wall clock of the running process, right or wrong."""
    process = PROCESS.get()
    offset_s = 0.0 if process is None else process.clock_offset_s
    return EPOCH + timedelta(seconds=loop.now_s + offset_s)


class _Ordered(dict[Any, None]):
    """A set that iterates in the order of insertion."""

    def add(self, item: Any) -> None:
        self[item] = None

    def discard(self, item: Any) -> None:
        self.pop(item, None)

    def remove(self, item: Any) -> None:
        del self[item]


def _no_thread(thread: threading.Thread) -> None:
    raise SimulationError(f"a thread inside a simulation: {thread!r}")


@contextmanager
def sealed(loop: SimulationLoop, seed: int) -> Iterator[None]:
    """No chance and no time but the run's, for the length of the block. Not for use from two threads."""
    chance = random.Random(f"entropy:{seed}")
    state, collecting, hook = random.getstate(), gc.isenabled(), sys.unraisablehook
    scope_init = anyio_asyncio.CancelScope.__init__

    def ordered_scope(scope: Any, *args: Any, **options: Any) -> None:
        scope_init(scope, *args, **options)
        scope._child_scopes, scope._tasks = _Ordered(), _Ordered()

    def wall_s() -> float:
        return wall_clock(loop).timestamp()

    def running_or_none() -> SimulationLoop | None:
        return loop if loop.is_running() else None

    def running() -> SimulationLoop:
        if not loop.is_running():
            raise RuntimeError("no running event loop")
        return loop

    clocks: dict[str, Any] = {
        "time": wall_s,
        "time_ns": lambda: int(wall_s() * 1e9),
        "monotonic": loop.time,
        "perf_counter": loop.time,
        "monotonic_ns": lambda: int(loop.time() * 1e9),
        "perf_counter_ns": lambda: int(loop.time() * 1e9),
    }
    gc.disable()
    sys.unraisablehook = lambda _what: (
        None
    )  # frames of dead processes, dropped at the end of the run
    random.seed(f"global:{seed}")
    try:
        with (
            mock.patch.multiple(time, **clocks),
            mock.patch.object(os, "urandom", chance.randbytes),
            mock.patch.object(random, "_urandom", chance.randbytes),
            mock.patch.object(threading.Thread, "start", _no_thread),
            mock.patch.object(anyio_asyncio.CancelScope, "__init__", ordered_scope),
            # Python 3.11's asks the system for the process id at every call.
            mock.patch.object(asyncio, "get_running_loop", running),
            mock.patch.object(asyncio.events, "get_running_loop", running),
            mock.patch.object(asyncio.events, "_get_running_loop", running_or_none),
        ):
            yield
    finally:
        random.setstate(state)
        sys.unraisablehook = hook
        if collecting:
            gc.enable()
