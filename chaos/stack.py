"""The local runner: the mesh of compose.yaml as processes of this machine.

All services start at once (a mesh that tolerates faults must tolerate any start order), come back
when they crash, and stop in reverse order of need. Nothing outlives the runner: see `tether`.

Not here: how one process is born (`nursery`) and kept alive (`process`), what compose.yaml means
(`topology`), the record for `ps` (`state`).
"""

import asyncio
import contextlib
import os
import secrets  # noqa: TID251 - a secret at rest for a real machine, outside the simulated mesh
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from chaos import credentials, topology
from chaos.nursery import Nursery
from chaos.ports import LOOPBACK, answers_ok, holder, is_free
from chaos.process import MAX_BACKOFF_S, Supervised, Tell
from chaos.programs import nursery_for, programs
from chaos.state import StateFiles, wall_clock
from chaos.texts import SPANISH, Say
from chaos.topology import Topology

START_LIMIT_S: Final = 30.0
_KILL: Final = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL
_LOOK_EVERY_S: Final = 0.05
_SECRETS: Final = ("ID_SECRET", "ADMIN_TOKEN")
_CREDENTIALS: Final = "credentials"  # a folder in the data folder


class PortTaken(Exception):
    """A port of the mesh is in use.

    Args:
        port: The port.
        holder: Who has it, where the system tells.
    """

    def __init__(self, port: int, holder: str | None) -> None:
        super().__init__(f"port {port} is in use by {holder or 'an unknown process'}")
        self.port = port
        self.holder = holder


class NotReady(Exception):
    """The mesh did not become ready in time.

    Args:
        waiting_for: Services without an answer.
        tails: Last lines of each of them.
    """

    def __init__(self, waiting_for: list[str], tails: Mapping[str, list[str]]) -> None:
        super().__init__(f"not ready: {', '.join(waiting_for)}")
        self.waiting_for = waiting_for
        self.tails = tails


def _silence(_name: str, _line: str) -> None:
    return


class Stack:
    """The running mesh; `async with` starts it, waits until it is ready, and stops it.

    One per data folder. Its methods belong to the event loop it was started in.

    Args:
        base_port: Port of the first service; the others follow.
        data: Folder of databases, logs and the runner's record.
        shop: With the shop overlay instead of the lab alone.
        quiet: Logs go to DATA/logs/SERVICE.log; otherwise every line goes to `tell`.
        files: Compose files, when not the project's own.
        environment: Variables on top of this process's own, for `${VAR}` and for every service.
        tell: Takes (service, line).
        say: Language of the runner's own words.
        start_limit_s: Longest wait for readiness, seconds.
        max_backoff_s: Longest wait before a service that died comes back, seconds: short where it is killed on purpose.
    """

    def __init__(  # noqa: PLR0913 - one keyword per choice a person has
        self,
        *,
        base_port: int = 5000,
        data: Path = Path("var"),
        shop: bool = False,
        quiet: bool = True,
        files: tuple[Path, ...] = (),
        environment: Mapping[str, str] | None = None,
        tell: Tell = _silence,
        say: Say = SPANISH,
        start_limit_s: float = START_LIMIT_S,
        max_backoff_s: float = MAX_BACKOFF_S,
    ) -> None:
        self.base_port = base_port
        self.data = data.resolve()
        self.ready_after_s = 0.0
        self._shop = shop
        self._quiet = quiet
        self._files = files or ((topology.COMPOSE, topology.SHOP) if shop else (topology.COMPOSE,))
        self._environment = {**os.environ, **(environment or {})}  # noqa: TID251 - children inherit it
        self._tell = tell
        self._say = say
        self._start_limit_s = start_limit_s
        self._max_backoff_s = max_backoff_s
        self._state = StateFiles(self.data, base_port)
        # Filled by `start`, emptied by nobody: a stopped stack stays readable.
        self._topology = Topology()
        self._processes: dict[str, Supervised] = {}
        self._nursery: Nursery | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._started_at = wall_clock()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def services(self) -> tuple[str, ...]:
        """Names of the services."""
        return tuple(self._topology.services)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the services that live at this moment."""
        return {name: one.pid for name, one in self._processes.items() if one.pid is not None}

    @property
    def restarts(self) -> dict[str, int]:
        """How often each service came back."""
        return {name: one.restarts for name, one in self._processes.items()}

    def url(self, service: str, path: str = "") -> str:
        """Address of a service on this machine."""
        return f"http://{LOOPBACK}:{self._processes[service].program.port}{path}"

    async def start(self) -> None:
        """Start everything and wait until it is ready.

        Raises:
            TopologyError: compose.yaml cannot be honoured.
            DataDirTaken: Another runner has the data folder.
            PortTaken: A port is in use.
            NotReady: Time is up, or a service crashes at every start.
        """
        began = asyncio.get_running_loop().time()
        self._state.acquire()
        self._prepare()
        self._tasks = [
            asyncio.create_task(one.run(), name=f"keep:{name}")
            for name, one in self._processes.items()
        ]
        await self._until_ready()
        self.ready_after_s = asyncio.get_running_loop().time() - began

    async def stop(self, *, kill: bool = False) -> None:
        """Stop everything in reverse order of need; harmless when nothing runs.

        Args:
            kill: As `kill -9` on all at once: nobody gets to clean up.
        """
        try:
            if kill:
                for one in self._processes.values():
                    one.kill_now()
            else:
                for group in self._topology.stop_order():
                    chosen = [self._processes[name] for name in group if name in self._processes]
                    await asyncio.gather(*(one.stop() for one in chosen))
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._nursery is not None:
                await self._nursery.close()
        finally:
            # Reached in haste too, when the wait above was cancelled (a second Ctrl-C).
            for one in self._processes.values():
                one.kill_now()
            if self._nursery is not None:
                self._nursery.kill()
            self._state.release()

    async def kill(self, service: str, number: int = _KILL) -> None:
        """Send a signal to a service; after the deadly one its process is gone (and comes back)."""
        await self._processes[service].kill(number)

    async def healthy(self, service: str) -> None:
        """Wait until a service's process lives and answers its health check."""
        await self._processes[service].healthy.wait()

    async def ended(self) -> None:
        """Wait until every service has ended for good (none of them restarts)."""
        await asyncio.gather(*self._tasks)

    def _prepare(self) -> None:
        variables = dict(self._environment)
        if self._shop:
            self._add_secrets(variables)
        # Defaults in compose.yaml may name ports as published: tell them the ports of this mesh.
        ports = topology.read(self._files, variables).ports(self.base_port)
        variables |= {f"{name.upper()}_PORT": str(port) for name, port in ports.items()}
        self._topology = topology.read(self._files, variables)
        chosen = programs(
            self._topology,
            base_port=self.base_port,
            data=self.data,
            folder=self._files[0].parent,
            environment=self._environment,
            logs=self.data / "logs" if self._quiet else None,
        )
        for program in chosen.values():
            if not is_free(program.port):
                raise PortTaken(program.port, holder(program.port))
            _keep_previous(program.log)
        self._nursery = nursery_for(chosen)
        self._processes = {
            name: Supervised(
                program,
                self._tell,
                self._record,
                self._say,
                max_backoff_s=self._max_backoff_s,
                nursery=self._nursery,
            )
            for name, program in chosen.items()
        }

    def _add_secrets(self, variables: dict[str, str]) -> None:
        """The data folder's own secrets where nobody gave any: the same over restarts, and nobody else's."""
        for name in _SECRETS:
            if not variables.get(name):
                path = self.data / name.lower()
                if not path.exists():
                    path.touch(mode=0o600)
                    path.write_text(secrets.token_hex(32), encoding="ascii")
                variables[name] = path.read_text(encoding="ascii").strip()
        if not variables.get("CREDENTIALS_DIR"):
            folder = self.data / _CREDENTIALS
            variables["CREDENTIALS_DIR"] = str(folder)
            names = tuple(topology.read(self._files, variables).services)
            with contextlib.suppress(credentials.CredentialsThere):
                credentials.make(folder, names)

    async def _until_ready(self) -> None:
        try:
            async with asyncio.timeout(self._start_limit_s):
                for name in self._processes:
                    await self._until_healthy(name)
                entry = self._processes[self._topology.entry].program
                while not await answers_ok(entry.port, "/readyz"):  # noqa: ASYNC110 - a process
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            raise self._not_ready() from None

    async def _until_healthy(self, name: str) -> None:
        one = self._processes[name]
        while not one.healthy.is_set():
            if any(other.failed_early for other in self._processes.values()):
                raise self._not_ready()
            await asyncio.sleep(_LOOK_EVERY_S)

    def _not_ready(self) -> NotReady:
        late = [name for name, one in self._processes.items() if not one.healthy.is_set()]
        late = late or [self._topology.entry]
        return NotReady(late, {name: self._processes[name].last_lines() for name in late})

    def _record(self) -> None:
        services: dict[str, dict[str, Any]] = {
            name: {
                "pid": one.pid,
                "port": one.program.port,
                "restarts": one.restarts,
                **({"tls_dir": str(one.program.tls.folder)} if one.program.tls else {}),
            }
            for name, one in self._processes.items()
        }
        self._state.write(services, self._started_at)


def _keep_previous(log: Path | None) -> None:
    if log is not None:
        log.parent.mkdir(exist_ok=True)
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
