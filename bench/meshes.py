"""The meshes that are measured side by side: how each is started, what it burns, and when it is quiet again.

All of them are five processes on loopback that answer the same `POST /api/reserve`. Ours is started by the local runner
itself, as `taquilla up` starts it; the others are modules of this folder, run five times.

Not here: the load (`loadgen.py`), rounds and tables (`mesh.py`). Source of `cpu_s`: clock_getcpuclockid(3).
"""

import asyncio
import json
import os
import random
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from bench.loadgen import EVENT, Load, closed_loop, one_flow
from bench.peers import ROOT
from chaos import tether
from chaos.mesh import Mesh
from chaos.ports import is_free
from chaos.process import Program, Supervised
from chaos.stack import Stack

SERVICES: Final = ("gateway", "reservations", "inventory", "payments", "notifications")
READY_LIMIT_S: Final = 30.0
SEATS: Final = 20_000
"""Free seats before each stretch: more than it can sell, and as many for every one."""

_PORTS: Final = range(20_000, 32_000)  # below those of outgoing connections on Linux
_QUIET_LOOK_S: Final = 0.3  # longer than what the outbox gathers for
_QUIET_SHARE: Final = 0.05  # of one core: what idle loops may take
_QUIET_LIMIT_S: Final = 5.0
_COMMITS: Final = re.compile(r'^store_commit_seconds_count\{database="(\w+)"\} (\S+)', re.MULTILINE)
_FSYNCS, _BLOCK = 200, bytes(4096)


@dataclass(frozen=True)
class Running:
    """A mesh that answers.

    Attributes:
        port: The gateway's.
        pids: Process by service.
        base_port: First port of our own mesh; None of another, which has neither seats to refill nor commits to count.
        ready_s: From the start of our own mesh until all were ready, seconds.
    """

    port: int
    pids: Mapping[str, int]
    base_port: int | None = None
    ready_s: float = 0.0

    def cpu_s(self) -> dict[str, float]:
        """CPU time by service since its start, all threads, seconds."""
        return {name: cpu_s(pid) for name, pid in self.pids.items()}

    async def quiet(self) -> None:
        """Wait until what the load has left behind is done (captures, notices), or 5 s."""
        end_s = time.perf_counter() + _QUIET_LIMIT_S
        before_s = sum(self.cpu_s().values())
        while time.perf_counter() < end_s:
            await asyncio.sleep(_QUIET_LOOK_S)
            now_s = sum(self.cpu_s().values())
            if now_s - before_s < _QUIET_SHARE * _QUIET_LOOK_S:
                return
            before_s = now_s

    def refill(self, seats: int = SEATS) -> None:
        """Leave this many free seats.

        Raises:
            RuntimeError: Inventory refused.
        """
        if self.base_port is None:
            return
        order = {"event_id": EVENT, "seats": seats}
        for _ in range(100):
            status, said = Mesh(self.base_port).call("inventory", "POST", "/admin/reset", order)
            if status != 409:  # a hold is still open
                break
            time.sleep(0.05)
        if status != 200:
            raise RuntimeError(f"/admin/reset: {status} {said}")

    def commits(self) -> Counter[str]:
        """Commits so far, by database."""
        found: Counter[str] = Counter()
        if self.base_port is not None:
            mesh = Mesh(self.base_port)
            for service in SERVICES[1:]:
                with urllib.request.urlopen(mesh.url(service, "/metrics"), timeout=5) as answer:
                    text = answer.read().decode()
                found.update({name: int(float(n)) for name, n in _COMMITS.findall(text)})
        return found


@dataclass(frozen=True)
class Stretch:
    """One measured stretch of load on one mesh.

    Attributes:
        load: What the callers saw.
        cpu_us: CPU time per flow by service, µs: everything from the first request until the mesh was quiet again,
            divided by all flows of that time.
    """

    load: Load
    cpu_us: Mapping[str, float]


async def measure(
    mesh: Running,
    callers: int,
    seconds: float,
    warm_up_s: float,
    events: Sequence[str] = (EVENT,),
) -> Stretch:
    """Load one mesh while the others idle."""
    mesh.refill()
    await mesh.quiet()
    before = mesh.cpu_s()
    load = await closed_loop(mesh.port, callers, seconds, warm_up_s, events)
    await mesh.quiet()
    after, flows = mesh.cpu_s(), max(1, load.all_flows)
    return Stretch(load, {name: (after[name] - before[name]) * 1e6 / flows for name in before})


async def serial_commits(mesh: Running, probes: int = 8) -> Counter[str]:
    """Commits that one reservation waits for, by database.

    Counted at the moment of its answer, on a quiet mesh: what follows later (captures, the outbox) does not belong. The
    least of several reservations, because now and then a background loop commits in between.
    """
    mesh.refill()
    least: dict[str, int] = {}
    for _ in range(probes):
        await asyncio.sleep(_QUIET_LOOK_S)
        before = mesh.commits()
        answered = await one_flow(mesh.port)
        after = mesh.commits()
        if answered:
            for name, count in after.items():
                least[name] = min(least.get(name, count), count - before[name])
    return Counter({name: count for name, count in least.items() if count})


def fsyncs_ms(folder: Path) -> list[float]:
    """Times of 200 appends of 4 KiB to a file in `folder`, each until it is on the disk, ms."""
    sync = getattr(os, "fdatasync", os.fsync)
    path, samples = folder / "fsync", []
    with path.open("wb", buffering=0) as file:
        for _ in range(_FSYNCS):
            began_s = time.perf_counter()
            file.write(_BLOCK)
            sync(file.fileno())
            samples.append(time.perf_counter() - began_s)
    path.unlink()
    return [sample_s * 1e3 for sample_s in samples]


def cpu_s(pid: int) -> float:
    """CPU time of a process since its start, all threads, also those that have ended, seconds."""
    return time.clock_gettime((~pid << 3) | 2)


# --------------------------------------------------------------------------- starting
@asynccontextmanager
async def ours(
    data: Path, callers: int, more: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[Running]:
    """The real mesh: JSON logs at info into files, room for `callers` in the gateway, and `more` environment.

    Raises:
        NotReady: It did not come up.
    """
    base_port = _free_base_port()
    environment = {
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "info",
        "GATEWAY_LIMIT": "fixed",
        "GATEWAY_MAX_INFLIGHT": str(callers),
        **more,
    }
    async with Stack(base_port=base_port, data=data, environment=environment) as stack:
        yield Running(base_port, stack.pids, base_port, stack.ready_after_s)


@asynccontextmanager
async def five_of(
    module: str, options: Sequence[str], python: Path, logs: Path
) -> AsyncIterator[Running]:
    """Five processes of a module of this folder, `python -m MODULE --urls JSON OPTIONS --serve NAME --port P`.

    Args:
        module: Its name.
        options: For all five.
        python: Who runs it.
        logs: An existing folder for what they print.

    Raises:
        RuntimeError: One of them did not come up; with its last lines.
    """
    base_port = _free_base_port()
    urls = {name: f"http://127.0.0.1:{base_port + at}" for at, name in enumerate(SERVICES)}
    command = [str(python), "-m", module, "--urls", json.dumps(urls), *options]
    processes = {
        name: Supervised(
            Program(
                name=name,
                argv=_tethered([*command, "--serve", name, "--port", str(base_port + at)]),
                environment={**os.environ, "PYTHONPATH": str(ROOT)},
                folder=ROOT,
                port=base_port + at,
                health_path="/healthz",
                restart="no",
                stop_grace_s=5.0,
                log=logs / f"{name}.log",
            ),
            lambda *_: None,
            lambda: None,
        )
        for at, name in enumerate(SERVICES)
    }
    tasks = [asyncio.create_task(one.run()) for one in processes.values()]
    try:
        await _until_healthy(module, processes, tasks)
        yield Running(base_port, {name: one.pid or 0 for name, one in processes.items()})
    finally:
        await asyncio.gather(*(one.stop() for one in processes.values()))
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until_healthy(
    module: str, processes: Mapping[str, Supervised], tasks: Sequence[asyncio.Task[None]]
) -> None:
    async def all_healthy() -> None:
        await asyncio.gather(*(one.healthy.wait() for one in processes.values()))

    healthy = asyncio.create_task(all_healthy())
    # A process that ends before it was healthy ends the wait.
    await asyncio.wait({healthy, *tasks}, timeout=READY_LIMIT_S, return_when="FIRST_COMPLETED")
    if not healthy.done():
        healthy.cancel()
        late = [name for name, one in processes.items() if not one.healthy.is_set()]
        lines = [line for name in late for line in processes[name].last_lines()[-1:]]
        raise RuntimeError(f"{module}: {', '.join(late)} did not start: {' | '.join(lines)}")


def _tethered(argv: Sequence[str]) -> tuple[str, ...]:
    """So that nothing outlives the benchmark, not even one that is killed."""
    return (sys.executable, "-I", "-S", str(Path(tether.__file__)), str(os.getpid()), *argv)


def _free_base_port() -> int:
    starts = list(range(_PORTS.start, _PORTS.stop, len(SERVICES)))
    random.shuffle(starts)
    return next(base for base in starts if all(is_free(base + at) for at in range(len(SERVICES))))


# --------------------------------------------------------------------------- who is there
@dataclass(frozen=True)
class Peers:
    """The venv of the peers.

    Attributes:
        python: Its interpreter; None if there is no venv.
        modules: Which of the modules that a mesh may need it has, with their versions; "" if not.
        why_not: Why there is none.
    """

    python: Path | None
    modules: Mapping[str, str] = field(default_factory=dict)
    why_not: str = ""

    def lacks(self, *modules: str) -> str:
        """Why a mesh that needs `modules` cannot run there; empty if it can."""
        if self.python is None:
            return self.why_not
        missing = [name for name in modules if not self.modules.get(name)]
        return f"not installed: {', '.join(missing)}" if missing else ""


def peers() -> Peers:
    """Make the venv of the peers if need be, and look what is in it."""
    command = [sys.executable, "-m", "bench.null_mesh", "--peers"]
    tried = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    try:
        said: dict[str, Any] = json.loads(tried.stdout.splitlines()[-1])
        return Peers(Path(said["python"]), said["modules"])
    except (IndexError, ValueError, KeyError):
        last = tried.stderr.strip().splitlines()[-1:] or [f"exit code {tried.returncode}"]
        return Peers(None, why_not=f"no venv for the peers: {last[0][:120]}")
