"""An asyncio loop on virtual time, on which several simulated processes live and die.

- Time moves only when nothing can run, and then jumps to the next timer.
- Every handle belongs to the process that its context names. Killing a process means that none of its handles runs
  any more: no `CancelledError`, no `finally`, as with `kill -9`. Stopping it parks them, as SIGSTOP does.
- Tasks hash by the order of their creation, so that a set of them iterates in the same order in every run.
- Ready handles run first in, first out, as in asyncio: every order seen here can happen there.

Not here: what the processes do (`host`), what reaches them (`network`), chance (each user has a stream of its own).
"""

import asyncio
import heapq
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar
from typing import Any, Final

from chaos.simulate.trace import Trace

STEP_LIMIT: Final = 3_000_000
"""Handles of one run: a world that needs more is in a livelock."""


class SimulationError(Exception):
    """The simulation cannot go on: nothing is left to wait for, no end is in sight, or something real was touched."""


class Process:
    """One incarnation of a simulated process.

    Attributes:
        name: Host on which it runs.
        generation: Which start of that host, from 1.
        alive: Until it is killed.
        stopped: While it is stopped; what would run then is kept in `parked`.
        dies_in: Handles until it is killed by `die`; None for ever.
        die: Kills it; set by its host.
        clock_offset_s: By how much its wall clock is wrong.
    """

    __slots__ = (
        "alive",
        "clock_offset_s",
        "die",
        "dies_in",
        "generation",
        "name",
        "parked",
        "stopped",
        "tasks",
    )

    def __init__(self, name: str, generation: int) -> None:
        self.name = name
        self.generation = generation
        self.alive = True
        self.stopped = False
        self.parked: list[asyncio.Handle] = []
        # Kept so that no frame of a dead process is finalised, and runs its `finally`, before the run is over.
        self.tasks: list[asyncio.Task[Any]] = []
        self.dies_in: int | None = None
        self.die: Callable[[str], None] = lambda _why: None
        self.clock_offset_s = 0.0

    def __repr__(self) -> str:
        return f"{self.name}#{self.generation}"


PROCESS: ContextVar[Process | None] = ContextVar("simulated_process", default=None)
"""The process that a context belongs to; None for the world outside."""


class _Task(asyncio.Task[Any]):
    """A task whose hash is its number: addresses differ from run to run, numbers do not."""

    def __init__(
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        loop: "SimulationLoop",
        name: str | None,
        context: Context | None,
    ) -> None:
        loop.task_count += 1
        self._number = loop.task_count
        super().__init__(coro, loop=loop, name=name or f"task {self._number}", context=context)

    def __hash__(self) -> int:
        return self._number


class SimulationLoop(asyncio.BaseEventLoop):
    """One run's loop. Begins at 0; closed by `bury`.

    Args:
        trace: Told of every step; None costs nothing.
    """

    _ready: Any  # asyncio's own queue of handles

    def __init__(self, trace: Trace | None = None) -> None:
        super().__init__()
        self.now_s = 0.0
        self.steps = 0
        self.task_count = 0
        self.processes: list[Process] = []
        # What asyncio would have logged: an exception that nobody caught.
        self.errors: list[dict[str, Any]] = []
        self._trace = trace
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timer_count = 0
        self._thread = threading.get_ident()
        self._loose_tasks: list[asyncio.Task[Any]] = []
        self.set_exception_handler(lambda _loop, context: self.errors.append(context))

    def time(self) -> float:
        """Virtual seconds since the run began."""
        return self.now_s

    def call_at(  # type: ignore[override]  # asyncio's own signature cannot be written with less
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._timer_count += 1
        heapq.heappush(self._timers, (when, self._timer_count, timer))
        return timer

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's."""
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """As asyncio's."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """As asyncio's, from this thread only."""
        if threading.get_ident() != self._thread:
            raise SimulationError(f"another thread calls {callback!r}")
        return self.call_soon(callback, *args, context=context)

    def create_task(  # type: ignore[override]
        self, coro: Any, *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        """As asyncio's; the task belongs to the process of its context."""
        task = _Task(coro, loop=self, name=name, context=context)
        process = PROCESS.get() if context is None else context.get(PROCESS)
        (self._loose_tasks if process is None else process.tasks).append(task)
        return task

    def resume(self, process: Process) -> None:
        """Let a stopped process go on."""
        process.stopped = False
        self._ready.extend(process.parked)
        process.parked.clear()

    def bury(self) -> None:
        """End the run: nothing runs any more, every frame is dropped, the loop is closed."""
        for process in self.processes:
            process.alive = False
        tasks = [task for process in self.processes for task in process.tasks] + self._loose_tasks
        asyncio.set_event_loop(None)  # what a `finally` wants to wait with must not be made for it
        for task in tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's way to say "on purpose"
                _drop(task)
        # Else only the collector could free it all.
        for process in self.processes:
            process.tasks.clear()
            process.parked.clear()
        self._loose_tasks.clear()
        self._ready.clear()
        self._timers.clear()
        self.close()

    def _run_once(self) -> None:
        ready = self._ready
        if not ready:
            self._jump()
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(PROCESS)
            if process is not None and not self._may_run(process, handle):
                continue
            self.steps += 1
            if self._trace is not None:
                self._trace.step(self.now_s, process, handle)
            handle._run()
        if self.steps > STEP_LIMIT:
            raise SimulationError(f"{STEP_LIMIT} steps without an end: a livelock?")

    def _may_run(self, process: Process, handle: asyncio.Handle) -> bool:
        if not process.alive:
            return False
        if process.stopped:
            process.parked.append(handle)
            return False
        if process.dies_in is not None:
            process.dies_in -= 1
            if process.dies_in <= 0:
                process.die("between two steps")
                return False
        return True

    def _jump(self) -> None:
        """To the next timer, and all others that are due with it."""
        timers, ready = self._timers, self._ready
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not timers:
            raise SimulationError("nothing can run and no timer is pending")
        self.now_s = max(self.now_s, timers[0][0])
        while timers and timers[0][0] <= self.now_s:
            timer = heapq.heappop(timers)[2]
            if not timer.cancelled():
                ready.append(timer)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Nothing: a cancelled timer is dropped when its turn comes."""

    def _process_events(self, event_list: Any) -> None:
        """Nothing: there is no selector."""

    def _write_to_self(self) -> None:
        """Nothing: there is no other thread to wake."""

    def _refuse(self, *_args: Any, **_options: Any) -> Any:
        raise SimulationError("real input and output inside a simulation")


for _name in (
    *("add_reader", "add_writer", "remove_reader", "remove_writer"),
    *("add_signal_handler", "remove_signal_handler"),
    *("create_connection", "create_server", "create_datagram_endpoint", "getaddrinfo"),
    *("sock_connect", "sock_sendall", "sock_recv"),
    *("subprocess_exec", "subprocess_shell", "run_in_executor"),
):
    setattr(SimulationLoop, _name, SimulationLoop._refuse)


def _drop(task: asyncio.Task[Any]) -> None:
    """Close the coroutine of a dead process; whatever its `finally` blocks want to say is heard by nobody."""
    coro: Any = task.get_coro()
    with suppress(BaseException):  # a `finally` may even wait, which a closed coroutine cannot
        coro.close()
