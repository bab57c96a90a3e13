"""A whole run: stage after stage, each with buyers, nemesis, quiet phase and audit."""

import asyncio
import contextlib
import importlib.util
import json
import random
import shutil
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from chaos import topology
from chaos.journal import Journal
from chaos.matrix.acts import SERVICES, STORED, Act, Field, acts_for, drawn
from chaos.matrix.crowd import EVENT, Crowd
from chaos.matrix.disk import NoSmallDisk, small_disk
from chaos.matrix.history import History
from chaos.matrix.links import overlay, proxied
from chaos.matrix.plan import Stage, stages, turns
from chaos.matrix.rest import NOTHING, Figures, figures, still_open
from chaos.ports import is_free
from chaos.proxy import CLEAR, Proxy
from chaos.stack import Stack
from chaos.state import wall_clock

REST_S: Final = 30.0
"""Longest wait until nothing is open any more, once all faults are off."""

ENVIRONMENT: Final = {"GATEWAY_MAX_INFLIGHT": "24", "LOG_LEVEL": "warning"}
SHORT_HOLDS: Final = {"HOLD_TTL_S": "1", "HOLD_GRACE_S": "0", "SWEEP_PAUSE_S": "0"}
"""What makes holds end while a slow provider is asked."""

_MAX_BACKOFF_S: Final = 0.3
_SEATS_PER_S: Final = 300
_PORTS: Final = range(20_000, 32_000)
"""Below the range of outgoing connections (32768 and up on Linux), which collide by chance."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to run.

    Attributes:
        budget_s: Seconds of buying and breaking, over all stages.
        seed: Names every draw.
        only: Beginning of the names of the acts to draw from; None for all.
        buyers: In flight at once.
        data: Folder for databases, journals and logs, one below it per stage.
    """

    budget_s: float
    seed: int
    only: str | None
    buyers: int
    data: Path


@dataclass(slots=True)
class StageReport:
    """What one stage came to.

    Attributes:
        skipped: Why it did not take place, or None.
        rest_after_s: Seconds from the last fault to rest; None if rest never came.
        open_in_the_end: What was still open then.
        audit: What the auditor said; None where there is no auditor.
        audit_ok: Its verdict.
    """

    stage: Stage
    history: History
    figures: Figures = NOTHING
    skipped: str | None = None
    rest_after_s: float | None = None
    open_in_the_end: Mapping[str, int] = field(default_factory=dict)
    audit: Any = None
    audit_ok: bool | None = None

    @property
    def ok(self) -> bool:
        """Whether it came to rest with every book in order."""
        at_rest = self.rest_after_s is not None and self.audit_ok is not False
        return self.skipped is not None or (
            at_rest and self.figures.ok and not self.history.breaches
        )


@dataclass(slots=True)
class Report:
    """What all stages came to."""

    order: Order
    stages: list[StageReport] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every stage is."""
        return bool(self.stages) and all(one.ok for one in self.stages)

    @property
    def figures(self) -> Figures:
        """Of all stages together."""
        return sum((one.figures for one in self.stages), NOTHING)

    def total(self, name: str) -> Counter[str]:
        """`kills`, `faults`, `missed`, `breaches` or `answers` of all stages together."""
        return sum((getattr(one.history, name) for one in self.stages), Counter[str]())


Tell = Callable[[float, str], None]
"""Takes the share that is done, 0 to 1, and what is going on."""


async def run(order: Order, tell: Tell) -> Report:
    """Every stage of the order.

    Raises:
        LookupError: `only` names no act.
    """
    report = Report(order)
    planned = stages(order.budget_s, order.only)
    spent_s, total_s = 0.0, sum(stage.seconds for stage in planned)
    for stage in planned:
        began_s = spent_s

        def told(seconds: float, text: str, began_s: float = began_s) -> None:
            tell(min(1.0, (began_s + seconds) / total_s), text)

        report.stages.append(await _stage(order, stage, told))
        spent_s += stage.seconds
    tell(1.0, "")
    return report


async def _stage(order: Order, stage: Stage, tell: Tell) -> StageReport:
    tell(0.0, f"{stage.name}: up")
    report = StageReport(stage, History())
    try:
        async with _field(order, stage, report.history) as (field, journal):
            points = await _points(field)
            acts = acts_for(
                points, links=stage.links, short_holds=stage.links, small_disk=stage.small_disk
            )
            buying = asyncio.create_task(field.crowd.buy(order.buyers))
            try:
                await _break(field, acts, order, stage, tell)
            finally:
                field.crowd.stop()
                await _calm(field)
                await buying
            tell(stage.seconds, f"{stage.name}: rest")
            await _settle(field, journal, report)
            if stage.small_disk and not report.ok:  # the evidence would go with the disk
                shutil.copytree(field.stack.data, order.data / "disk.kept", dirs_exist_ok=True)
    except NoSmallDisk as reason:
        report.skipped = str(reason)
    return report


@asynccontextmanager
async def _field(
    order: Order, stage: Stage, history: History
) -> AsyncIterator[tuple[Field, Journal]]:
    lots = random.Random(f"{order.seed}:{stage.name}")  # noqa: S311 - repeatable on purpose
    folder = order.data / stage.name
    async with AsyncExitStack() as parts:
        if stage.small_disk:
            await parts.enter_async_context(small_disk(folder))
        base_port = _free_ports(len(SERVICES))
        proxies: dict[str, Proxy] = {}
        files: tuple[Path, ...] = ()
        if stage.links:
            proxies = await parts.enter_async_context(proxied(base_port, order.seed))
            files = (topology.COMPOSE, overlay(proxies, folder))
        stack = await parts.enter_async_context(
            Stack(
                base_port=base_port,
                data=folder,
                files=files,
                environment={**ENVIRONMENT, **(SHORT_HOLDS if stage.links else {})},
                quiet=not stage.small_disk,  # a log on a full disk would be a fault of its own
                max_backoff_s=_MAX_BACKOFF_S,
            )
        )
        client = await parts.enter_async_context(httpx.AsyncClient(timeout=2.0, trust_env=False))
        await _make_room(stack, client, stage)
        history.began = asyncio.get_running_loop().time()
        journal = parts.enter_context(
            Journal.open(
                order.data / "journal" / f"{stage.name}.jsonl",
                clock=asyncio.get_running_loop().time,
                began_at=wall_clock().timestamp(),
                by="matrix",
            )
        )
        crowd = Crowd(
            stack.url("gateway"),
            journal,
            history,
            seed=order.seed,
            run=f"{stage.name}-{order.seed}",
        )
        yield Field(stack, proxies, crowd, history, client, lots), journal


async def _make_room(stack: Stack, client: httpx.AsyncClient, stage: Stage) -> None:
    seats = min(100_000, 2000 + round(stage.seconds * _SEATS_PER_S))
    answer = await client.post(
        stack.url("inventory", "/admin/reset"),
        json={"event_id": EVENT, "seats": seats},
        timeout=30.0,
    )
    answer.raise_for_status()


async def _points(field: Field) -> list[str]:
    found: list[str] = []
    for service in STORED:
        faults = (await field.client.get(field.stack.url(service, "/chaos"))).json()["faults"]
        found += next(one["points"] for one in faults if one["name"] == "crash_at")
    return found


async def _break(field: Field, acts: list[Act], order: Order, stage: Stage, tell: Tell) -> None:
    """Turn after turn until the stage's time is over."""

    async def act_out(act: Act) -> None:
        async with drawn(field, act):
            await act.run(field, act.seconds)

    for turn in turns(acts, order.only, field.lots):
        left_s = stage.seconds - field.history.now()
        if left_s <= 0:
            return
        tell(field.history.now(), f"{stage.name}: {' + '.join(act.name for act in turn)}")
        async with asyncio.TaskGroup() as tasks:
            for act in turn:
                tasks.create_task(act_out(act))
        await field.flows()


async def _calm(field: Field) -> None:
    """All faults off, everybody awake and healthy."""
    for proxy in field.proxies.values():
        await proxy.set(CLEAR)
    for service in SERVICES:
        if sys.platform != "win32":
            await field.stack.kill(service, signal.SIGCONT)
        await field.stack.healthy(service)
        with contextlib.suppress(httpx.TransportError):
            await field.client.delete(field.stack.url(service, "/chaos"))


async def _settle(field: Field, journal: Journal, report: StageReport) -> None:
    """Wait for rest, add up, and let the auditor look."""
    data, loop = field.stack.data, asyncio.get_running_loop()
    began = loop.time()
    while True:
        with contextlib.suppress(sqlite3.Error):
            report.open_in_the_end = still_open(data)
            if not report.open_in_the_end:
                report.rest_after_s = loop.time() - began
                break
        if loop.time() - began >= REST_S:
            break
        await asyncio.sleep(0.2)
    report.figures = figures(data, report.history.entries)
    await _audit(field.stack, journal, report)


async def _audit(stack: Stack, journal: Journal, report: StageReport) -> None:
    if importlib.util.find_spec("chaos.commands.audit") is None:
        return
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chaos", "audit", "--json", "--settle", "30"),
        *("--data", str(stack.data), "--journal", str(journal.path)),
        cwd=topology.ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, words = await process.communicate()
    try:
        report.audit = json.loads(output)
    except ValueError:
        report.audit = {"unreadable": (output + words).decode(errors="replace")[-2000:]}
    report.audit_ok = process.returncode == 0


def _free_ports(count: int) -> int:
    """A port such that it and the next ones are free now."""
    lots = random.SystemRandom()
    for _ in range(200):
        base = lots.randrange(_PORTS.start, _PORTS.stop - count)
        if all(is_free(port) for port in range(base, base + count)):
            return base
    raise OSError("no free ports in a row")
