"""Services forked from one process that has imported their code already. Linux.

A service that starts in a fresh interpreter spends most of its start on imports, and five of them
keep the same modules in memory five times. The nursery is one process that imports once and then
forks a service for each order of the runner. Each service stays a process of its own: it has its
own pid, environment and output, can be killed and comes back alone.

Invariants: the nursery has one thread, no event loop and no file but its sockets, so it may fork.
It dies with the runner, and every service dies with it (`tether`). The pid of a service is nobody
else's until the runner has heard how it ended.

Wire: the runner sends module, folder and environment as JSON with two descriptors, the output and
the service's own socket; over that the nursery answers the pid and, in the end, the exit code.

Not here: whether a program is forked or started afresh (`programs`), how it is kept alive
(`process`).

Source: gc.freeze in the Python documentation, for what a parent does about pages that are shared.
"""

import asyncio
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chaos import tether

_ORDER_BYTES: Final = 1 << 20
_LINE_LIMIT_BYTES: Final = 1 << 20


class Forked:
    """A service born in the nursery, as `asyncio.subprocess.Process` shows one. Linux.

    Attributes:
        pid: Its process id and process group.
        stdout: Its output, if that was asked for.
        returncode: Exit code or minus the signal; None until `wait` has heard of it.
    """

    def __init__(self, pid: int, news: socket.socket, stdout: asyncio.StreamReader | None) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._news = news

    async def wait(self) -> int:
        """Return when it has ended; one caller."""
        code = await asyncio.get_running_loop().sock_recv(self._news, 32)
        # Silence: the nursery is gone, and the kernel has killed the service with it.
        self.returncode = int(code) if code else -signal.SIGKILL
        self._news.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal.

        Raises:
            ProcessLookupError: It has ended.
        """
        if self.returncode is not None:
            raise ProcessLookupError
        os.kill(self.pid, number)


class Nursery:
    """The runner's side: opened by the first order, opened again if it died. One per runner.

    Args:
        modules: What to import beforehand.
        folder: Working directory, from which they are imported.
        environment: With which their settings can be read.
    """

    def __init__(
        self, modules: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self._modules = tuple(modules)
        self._folder = folder
        self._environment = dict(environment)
        self._process: asyncio.subprocess.Process | None = None
        self._door: socket.socket | None = None
        self._opening = asyncio.Lock()

    async def fork(self, module: str, environment: Mapping[str, str], output: int) -> Forked:
        """Start `python -m module`.

        Args:
            module: One of the modules.
            environment: The complete environment of the process.
            output: Descriptor for its output, or `asyncio.subprocess.PIPE`.

        Raises:
            OSError: The nursery cannot be opened, does not take the order or died over it.
        """
        order = json.dumps([module, str(self._folder), dict(environment)]).encode()
        with contextlib.ExitStack() as failed, contextlib.ExitStack() as sent:
            news, theirs = _pair()
            failed.callback(news.close)
            sent.callback(theirs.close)
            stdout = None
            if output == asyncio.subprocess.PIPE:
                stdout, output = await _pipe()
                sent.callback(os.close, output)
            door = await self._opened()
            socket.send_fds(door, [order], [output, theirs.fileno()])
            sent.close()
            pid = await asyncio.get_running_loop().sock_recv(news, 32)
            if not pid:
                raise ConnectionResetError
            failed.pop_all()
        return Forked(int(pid), news, stdout)

    def kill(self) -> None:
        """End it and all its services at once; harmless when it is not there."""
        if self._door is not None:
            self._door.close()
            self._door = None
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def close(self) -> None:
        """End it, when its services have ended, and return when it is gone."""
        self.kill()
        if self._process is not None:
            await self._process.wait()

    async def _opened(self) -> socket.socket:
        async with self._opening:
            if self._door is None or self._process is None or self._process.returncode is not None:
                self.kill()
                door, theirs = _pair()
                with theirs:
                    number = theirs.fileno()
                    command = ("-m", "chaos.nursery", str(os.getpid()), str(number))
                    self._process = await asyncio.create_subprocess_exec(
                        sys.executable,
                        *command,
                        *self._modules,
                        cwd=self._folder,
                        env=self._environment,
                        stdin=asyncio.subprocess.DEVNULL,
                        # What it could say of a broken service, that service says itself.
                        stdout=asyncio.subprocess.DEVNULL,
                        stderr=asyncio.subprocess.DEVNULL,
                        start_new_session=True,
                        pass_fds=(number,),
                    )
                self._door = door
            return self._door


def _pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs


async def _pipe() -> tuple[asyncio.StreamReader, int]:
    read, write = os.pipe()
    reader = asyncio.StreamReader(_LINE_LIMIT_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb", buffering=0)
    )
    return reader, write


@dataclass(frozen=True, slots=True)
class _Birth:
    """An order, in the nursery; `output` and `news` are open descriptors."""

    module: str
    folder: str
    environment: dict[str, str]
    output: int
    news: socket.socket


def main(arguments: list[str]) -> None:
    """Be the nursery until the runner lets go; returns in each service as well, when that ends."""
    runner_pid, door, *modules = arguments[1:]
    if not tether.die_with(int(runner_pid)):
        return
    # No collection before the fork: it would leave holes that every service fills with its own.
    gc.disable()
    for name in modules:
        module = importlib.import_module(name)
        if hasattr(module, "create_app"):
            from chassis.serve import rehearse  # noqa: PLC0415 - heavy, and the runner's side needs none of it

            rehearse(module.Settings, module.create_app)
    gc.freeze()
    birth = _attend(socket.socket(fileno=int(door)))
    if birth is not None:
        _become(birth)


def _attend(door: socket.socket) -> _Birth | None:
    """Fork as told; returns the order in the new process, and None when the runner has let go."""
    living: dict[int, tuple[int, socket.socket]] = {}  # by a descriptor of the process
    poll = select.poll()
    poll.register(door, select.POLLIN)
    me = os.getpid()
    while True:
        for ready, _ in poll.poll():
            if ready in living:
                poll.unregister(ready)
                os.close(ready)
                _report(*living.pop(ready))
                continue
            birth = _order(door)
            if birth is None:
                return None
            pid = os.fork()
            if pid == 0:
                door.close()
                for descriptor, (_, news) in living.items():
                    os.close(descriptor)
                    news.close()
                return birth if tether.die_with(me) else None
            os.setpgid(pid, pid)  # here, so that it is done before the runner knows the pid
            os.close(birth.output)
            with contextlib.suppress(OSError):  # the runner no longer wants to know
                birth.news.send(str(pid).encode())
            descriptor = os.pidfd_open(pid)
            living[descriptor] = (pid, birth.news)
            poll.register(descriptor, select.POLLIN)


def _order(door: socket.socket) -> _Birth | None:
    content, descriptors, _, _ = socket.recv_fds(door, _ORDER_BYTES, 2)
    if not content:
        return None
    module, folder, environment = json.loads(content)
    output, news = descriptors
    return _Birth(module, folder, environment, output, socket.socket(fileno=news))


def _report(pid: int, news: socket.socket) -> None:
    end: Any = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with news, contextlib.suppress(OSError):
        news.send(str(end.si_status if end.si_code == os.CLD_EXITED else -end.si_status).encode())
        news.recv(1)  # until the runner has closed it
    os.waitpid(pid, 0)


def _become(birth: _Birth) -> None:
    """Be `python -m MODULE`, with what an interpreter of its own would have given it."""
    birth.news.close()
    os.dup2(birth.output, 1)
    os.dup2(birth.output, 2)
    os.close(birth.output)
    Path("/proc/self/comm").write_text(birth.module.partition(".")[0])  # the name in ps and top
    os.chdir(birth.folder)
    os.environ.clear()  # noqa: TID251 - a process of its own, before it reads any setting
    os.environ.update(birth.environment)  # noqa: TID251
    sys.argv[:] = [birth.module]
    del sys.modules[birth.module]  # its imports stay; it runs again, under the name __main__
    gc.enable()
    runpy.run_module(birth.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv)
