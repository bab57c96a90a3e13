"""A simulated host: a disk that stays, and a process on it that starts, dies and is started again."""

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from contextvars import Context, copy_context
from pathlib import Path
from typing import Any, Final

import aiosqlite
from starlette.types import ASGIApp

import resilience
from chaos.simulate.disk import Disk
from chaos.simulate.loop import PROCESS, Process, SimulationLoop
from chaos.simulate.network import Network, Wire
from chaos.simulate.seam import wall_clock
from chaos.simulate.server import Server
from chaos.simulate.tally import Tally
from chaos.simulate.trace import Trace
from chassis.runtime import Runtime

Program = Callable[[Runtime], AbstractAsyncContextManager[tuple[ASGIApp, Mapping[str, Any]]]]
"""A program: given its effects, runs for the length of a block and yields an ASGI app and its state."""

_RESTART_S: Final = 1.0


class Host:
    """One host and its supervisor, which starts the process again whenever it dies.

    Args:
        name: Of the host.
        program: What runs on it.
        disks: What it can open, by file name without suffix.
        loop: The run's.
        network: What connects it.
        seed: Names every draw.
        tally: Counts what took effect.
        trace: Told of births and deaths.
    """

    def __init__(  # noqa: PLR0913 - keyword-only
        self,
        name: str,
        program: Program,
        *,
        disks: Mapping[str, Disk],
        loop: SimulationLoop,
        network: Network,
        seed: int,
        tally: Tally,
        trace: Trace | None,
    ) -> None:
        self.name = name
        self.process = Process(name, 0)
        self.process.alive = False
        self.disks = tuple(disks.values())
        self._program = program
        self._disks = disks
        self._loop = loop
        self._network = network
        self._seed = seed
        self._tally = tally
        self._trace = trace
        self._server: Server | None = None

    @property
    def ready(self) -> bool:
        """Whether it listens."""
        return self._server is not None and self._server.listening

    def unrest(self) -> list[str]:
        """What keeps it from being at rest, in words."""
        if self._server is None or not self._server.listening:
            return ["does not listen"]
        return ["answers a request"] if self._server.busy else []

    def start(self) -> None:
        """Start the process, unless one runs."""
        if self.process.alive:
            return
        before = self.process
        process = self.process = Process(self.name, before.generation + 1)
        process.clock_offset_s = before.clock_offset_s  # the machine's clock, not the process's
        process.die = lambda why: self.die(why) if self.process is process else None
        self._loop.processes.append(process)
        self._note("start", f"start {process.generation}")
        context = Context()
        context.run(self._boot, process)

    def die(self, why: str, *, again_in_s: float = _RESTART_S) -> None:
        """Kill -9, and a start after a while."""
        process = self.process
        if not process.alive:
            return
        process.alive = False
        self._tally.faults["crash"] += 1
        self._note("die", why)
        if self._server is not None:
            self._server.crash(self._network)
        for disk in self._disks.values():
            disk.crash(process)
        self._network.later(again_in_s, self.start)

    def stop(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after a while."""
        process = self.process
        process.stopped = True
        self._network.later(seconds, self._continue, process)

    def calm(self) -> None:
        """Whatever was done to it ends."""
        process = self.process
        process.dies_in, process.clock_offset_s = None, 0.0
        self._continue(process)
        self.start()

    def _continue(self, process: Process) -> None:
        if process.stopped:
            self._loop.resume(process)

    def _boot(self, process: Process) -> None:
        PROCESS.set(process)
        self._loop.create_task(self._live(process, copy_context()), context=copy_context())

    async def _live(self, process: Process, context: Context) -> None:
        try:
            async with self._program(self._runtime(process)) as (app, state):
                server = Server(app, self._loop, process, context)
                server.state = dict(state)
                server.listening = True
                self._server = self._network.servers[self.name] = server
                await self._loop.create_future()
        except Exception as error:  # noqa: BLE001 - a process that cannot start ends, and its supervisor goes on
            if process.alive:  # else it is the end of the run, which closes what was left
                self._tally.faults["start fails"] += 1
                process.die(f"cannot start: {error!r}")

    def _runtime(self, process: Process) -> Runtime:
        chance = random.Random(f"host:{self._seed}:{process}")
        loop, wire = self._loop, Wire(self._network, self.name)

        async def connect_db(path: Path) -> aiosqlite.Connection:
            return await self._disks[path.stem].connect()

        return Runtime(
            now=lambda: wall_clock(loop),
            mono=loop.time,
            random=chance,
            new_id=lambda: f"{chance.getrandbits(128):032x}",
            http=lambda _upstream: wire,
            connect_db=connect_db,
            resilience=resilience.Runtime(
                clock=loop.time, sleep=asyncio.sleep, random=chance.random
            ),
            exit_process=lambda code: self.die(f"exit {code}"),
        )

    def _note(self, kind: Any, what: str) -> None:
        if self._trace is not None:
            self._trace.note(self._loop.now_s, kind, self.name, what)
