"""The buying processes: started, told when to begin, listened to, told to stop."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from chaos.journal import Journal
from chaos.load.plan import MAX_IN_FLIGHT, Plan, Share
from chaos.load.tally import Second

_LINE_BYTES: Final = 1 << 24  # a second of many different latencies is a long line
_HEAD_START_S: Final = 0.2
"""From the word to begin until the schedule's zero."""

_SPARE_FILES: Final = 64
_FOLDER: Final = Path(__file__).resolve().parents[2]

OnSecond = Callable[[int, Second], None]
"""Takes one process's part of a second, by number, when that is over."""


class CrewFailed(Exception):
    """A buying process ended before its work did; the text is the last that it said."""


class Crew:
    """The processes of one run; `async with` ends them.

    Args:
        plan: What they share.
        port: The gateway's.
        run: Makes keys differ from those of other runs.
        journal: Every process writes to it.
    """

    def __init__(self, plan: Plan, port: int, *, run: str, journal: Journal | None) -> None:
        self._port = port
        self._journal = journal
        self.room = min(MAX_IN_FLIGHT // plan.processes, _files() - _SPARE_FILES)
        self._shares = [Share(plan, number, run, self.room) for number in range(plan.processes)]
        self._processes: Sequence[Process] = ()

    async def __aenter__(self) -> Self:
        self._processes = await asyncio.gather(*(self._start(share) for share in self._shares))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
        await asyncio.gather(*(process.wait() for process in self._processes))

    async def buy(self, clock: Callable[[], float], began: Callable[[float], None]) -> None:
        """Let them all begin at one moment, which `began` is told."""
        begin_s = clock() + _HEAD_START_S
        began(begin_s)
        for process in self._processes:
            _tell(process, begin_s)

    async def listen(self, on_second: OnSecond) -> None:
        """Until all of them are done.

        Raises:
            CrewFailed: One of them is broken.
        """
        await asyncio.gather(*(_hear(process, on_second) for process in self._processes))

    def stop(self) -> None:
        """They start nothing more, and end when they have heard the answers that they wait for."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()

    async def _start(self, share: Share) -> Process:
        journal = self._journal
        where = {"path": str(journal.path), "began_s": journal.began_s} if journal else None
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chaos.load.worker"),
            cwd=_FOLDER,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=_LINE_BYTES,
            start_new_session=True,  # Ctrl-C is for us: they finish what they have begun
        )
        _tell(process, {"share": share.as_wire(), "port": self._port, "journal": where})
        assert process.stdout is not None
        if not await process.stdout.readline():
            raise CrewFailed(await _last_words(process))
        return process


def _tell(process: Process, document: Any) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(document).encode() + b"\n")


async def _hear(process: Process, on_second: OnSecond) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        document = json.loads(line)
        on_second(document["second"], Second.from_wire(document))
    if await process.wait():
        raise CrewFailed(await _last_words(process))


async def _last_words(process: Process) -> str:
    assert process.stderr is not None
    lines = (await process.stderr.read()).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {await process.wait()}"


def _files() -> int:
    """How many files a process may have open; as many as the system lets it have, from now on."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return MAX_IN_FLIGHT
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_IN_FLIGHT + 2 * _SPARE_FILES
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    return max(soft, wanted)
