"""One service as a local process that is kept alive: health, log, restart with backoff, stop."""

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chaos.nursery import Forked, Nursery
from chaos.ports import Tls, answers_ok
from chaos.texts import SPANISH, Say

FIRST_BACKOFF_S: Final = 0.2
MAX_BACKOFF_S: Final = 5.0
STEADY_S: Final = 10.0
"""Health that forgives earlier crashes, seconds."""

_PROBE_EVERY_S: Final = 0.05
_TAIL_LINES: Final = 15
_LINE_LIMIT_BYTES: Final = 1 << 20
_KILL: Final = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL

Tell = Callable[[str, str], None]
"""Takes a service's name and one line: its own output, or a word of the runner about it."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to start.

    Attributes:
        environment: The complete environment of the process.
        log: File for its output; None sends each line to `Tell`.
        module: What the nursery may run in place of `argv`, to the same effect.
        tls: How to ask it, if it wants a certificate.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    port: int
    health_path: str
    restart: str
    stop_grace_s: float
    log: Path | None
    module: str | None = None
    tls: Tls | None = None


class Supervised:
    """A process that comes back when it ends: a crash and a `kill` are the same to it.

    Backoff from 0.2 s, doubling up to 5 s, forgiven after 10 s of health. One event loop, one task
    in `run`.

    Args:
        program: What to start.
        tell: Where lines go.
        on_change: Called whenever pid, restarts or health changed.
        say: Language of the runner's own words.
        max_backoff_s: Longest wait before it comes back, seconds.
        nursery: Where a program with a module is born.
    """

    def __init__(
        self,
        program: Program,
        tell: Tell,
        on_change: Callable[[], None],
        say: Say = SPANISH,
        *,
        max_backoff_s: float = MAX_BACKOFF_S,
        nursery: Nursery | None = None,
    ) -> None:
        self.program = program
        self._nursery = nursery
        self._max_backoff_s = max_backoff_s
        self.restarts = 0
        self.healthy = asyncio.Event()
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._tell = tell
        self._text = say
        self._was_healthy = False
        self._on_change = on_change
        self._stop_wish = asyncio.Event()
        # The living process; set and cleared by `run` only.
        self._process: asyncio.subprocess.Process | Forked | None = None
        self._gone = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Process id while a process lives."""
        return self._process.pid if self._process is not None else None

    @property
    def failed_early(self) -> bool:
        """Whether it crashed three times and never was healthy: waiting will not help."""
        return self.restarts >= 3 and not self._was_healthy

    async def run(self) -> None:
        """Keep the process alive until `stop`, or until its restart rule says that it may rest."""
        backoff_s = FIRST_BACKOFF_S
        while not self._stop_wish.is_set():
            code, healthy_s = await self._live_once()
            if self._stop_wish.is_set() or not self._comes_back(code):
                return
            backoff_s = FIRST_BACKOFF_S if healthy_s >= STEADY_S else backoff_s
            cause = _cause(code)
            self._say(
                f"terminó ({cause}); vuelve en {backoff_s:.1f} s",
                f"ended ({cause}); back in {backoff_s:.1f} s",
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff_s):
                    await self._stop_wish.wait()
            backoff_s = min(backoff_s * 2, self._max_backoff_s)
            self.restarts += 1

    async def stop(self) -> None:
        """Ask the process to end, insist after its grace, and return when it is gone."""
        self._stop_wish.set()
        if self._process is None:
            return
        self.send(signal.SIGTERM)
        if sys.platform != "win32":
            self.send(signal.SIGCONT)  # a stopped process would sleep through its grace
        try:
            async with asyncio.timeout(self.program.stop_grace_s):
                await self._gone.wait()
        except TimeoutError:
            grace_s = self.program.stop_grace_s
            self._say(
                f"no terminó en {grace_s:.0f} s; se fuerza", f"still there after {grace_s:.0f} s"
            )
            self.kill_now()
            await self._gone.wait()

    async def kill(self, number: int) -> None:
        """Send a signal and, if it is the deadly one, return when that process is gone."""
        process, gone = self._process, self._gone
        self.send(number)
        if process is not None and number == _KILL:
            await gone.wait()

    def last_lines(self) -> list[str]:
        """The newest lines of its output, for a person who asks why."""
        if self.program.log is None:
            return list(self._tail)
        with contextlib.suppress(OSError):
            text = self.program.log.read_text(encoding="utf-8", errors="replace")
            return text.splitlines()[-_TAIL_LINES:]
        return []

    def send(self, number: int) -> None:
        """Send a signal to the process, if one lives."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def kill_now(self) -> None:
        """End the process and everything it started, at once."""
        self._stop_wish.set()
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _live_once(self) -> tuple[int, float]:
        self._gone = asyncio.Event()
        process = await self._spawn()
        self._process = process
        if self._stop_wish.is_set():  # stopped while it was being born
            self.kill_now()
        self._on_change()
        loop = asyncio.get_running_loop()
        healthy_at: list[float] = []
        jobs = [
            asyncio.create_task(self._pump(process.stdout)),
            asyncio.create_task(self._watch_health(healthy_at)),
        ]
        try:
            code = await process.wait()
            # The last lines are in the pipe; whoever else holds it open must not keep us.
            await asyncio.wait(jobs[:1], timeout=1.0)
        finally:
            if process.returncode is None:
                self.kill_now()
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            self.healthy.clear()
            self._process = None
            self._gone.set()
            self._on_change()
        return code, loop.time() - healthy_at[0] if healthy_at else 0.0

    async def _spawn(self) -> asyncio.subprocess.Process | Forked:
        program = self.program
        with contextlib.ExitStack() as files:
            output: int = asyncio.subprocess.PIPE
            if program.log is not None:
                output = files.enter_context(program.log.open("ab")).fileno()
            if self._nursery is not None and program.module is not None:
                with contextlib.suppress(OSError):  # then by itself, which also shows why
                    return await self._nursery.fork(program.module, program.environment, output)
            return await asyncio.create_subprocess_exec(
                *program.argv,
                cwd=program.folder,
                env=dict(program.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                limit=_LINE_LIMIT_BYTES,
                # Ctrl-C on the terminal reaches the runner alone, which stops all in order.
                start_new_session=True,
            )

    async def _watch_health(self, healthy_at: list[float]) -> None:
        one = self.program
        while not await answers_ok(one.port, one.health_path, tls=one.tls):  # noqa: ASYNC110
            await asyncio.sleep(_PROBE_EVERY_S)  # another process: there is no event to wait for
        healthy_at.append(asyncio.get_running_loop().time())
        self._was_healthy = True
        self.healthy.set()
        self._on_change()

    async def _pump(self, stream: asyncio.StreamReader | None) -> None:
        while stream is not None:
            try:
                line = await stream.readline()
            except ValueError:  # longer than the limit: the reader dropped it
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip("\r\n")
            self._tail.append(text)
            self._tell(self.program.name, text)

    def _comes_back(self, code: int) -> bool:
        rule = self.program.restart
        return rule in ("always", "unless-stopped") or (rule == "on-failure" and code != 0)

    def _say(self, es: str, en: str) -> None:
        self._tell(self.program.name, f"-- {self._text(es, en)}")


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
