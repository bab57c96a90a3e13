"""The acts of the nemesis: what can be done to a running mesh for a few seconds. The table is `acts_for`.

Every act ends what it began, also when it is cancelled. Two acts of different lanes may run at once.
"""

import asyncio
import contextlib
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx

from chaos.matrix import disk
from chaos.matrix.crowd import Crowd
from chaos.matrix.history import History
from chaos.proxy import CLEAR, KINDS, Proxy, Weather
from chaos.stack import Stack

SERVICES: Final = ("gateway", "reservations", "inventory", "payments", "notifications")
STORED: Final = SERVICES[1:]
"""Services with a database, and so with crash points."""

DEADLINE_S: Final = 5.0
"""The gateway's own total time for a purchase."""

BACK_S: Final = 15.0
"""Longest wait for a service that died, seconds."""

_STORM: Final = 60
FLOW: Final = 25
"""Confirmed purchases between two blows of one act, and between two turns."""

_FLOW_S: Final = 6.0


@dataclass(frozen=True, slots=True)
class Field:
    """Where the acts take place.

    Attributes:
        client: For switches; no act needs its answers.
        lots: The seeded draws of the nemesis.
    """

    stack: Stack
    proxies: Mapping[str, Proxy]
    crowd: Crowd
    history: History
    client: httpx.AsyncClient
    lots: random.Random

    async def switch(self, service: str, fault: str, **order: Any) -> bool:
        """Switch a fault; whether the service took it."""
        with contextlib.suppress(httpx.TransportError):
            url = self.stack.url(service, f"/chaos/{fault}")
            return (await self.client.post(url, json=order)).status_code == 200
        return False

    async def flows(self, purchases: int = FLOW) -> None:
        """Wait until so many more are confirmed: the next blow shall hit work, not a closed shop. Not for ever."""
        goal = self.history.answers["confirmed"] + purchases
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLOW_S):
                while self.history.answers["confirmed"] < goal:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.02)

    async def back(self, service: str, restarts: int, *, within_s: float = BACK_S) -> bool:
        """Wait until the service was restarted since `restarts`, then until it is healthy; False if it was not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.stack.restarts[service] == restarts:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.02)
        if self.stack.restarts[service] == restarts:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BACK_S):
                await self.stack.healthy(service)
        return True


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that can be done.

    Attributes:
        family: What kind of thing: `kill`, `crash`, `freeze`, `link`, `store`, `world`, `disk`.
        name: FAMILY:WHAT, as `--only` takes it.
        lane: The service or link that it concerns; acts of one lane never run together.
        seconds: How long it wants to run.
        run: Does it for about so many seconds and undoes it.
        company: Name of the act without which this one meets nothing.
    """

    family: str
    name: str
    lane: str
    seconds: float
    run: Callable[[Field, float], Awaitable[None]]
    company: str | None = None


def _kill(service: str) -> Act:
    async def run(field: Field, seconds: float) -> None:
        end = field.history.now() + seconds
        while field.history.now() < end:
            before = field.stack.restarts[service]
            await field.stack.kill(service)
            field.history.kills[f"kill -9 {service}"] += 1
            await field.back(service, before)
            await field.flows()

    return Act("kill", f"kill:{service}", service, 4.0, run)


def _crash(point: str) -> Act:
    service = point.partition(".")[0]

    async def run(field: Field, seconds: float) -> None:
        before = field.stack.restarts[service]
        chance = field.lots.choice((1.0, 1.0, 0.3))
        await field.switch(service, "crash_at", enabled=True, point=point, probability=chance)
        if await field.back(service, before, within_s=seconds):
            field.history.kills[point] += 1
        else:
            field.history.missed[point] += 1
            await field.switch(service, "crash_at", enabled=False)

    return Act("crash", f"crash:{point}", service, 4.0, run, _company(point))


_COMPANY: Final = (
    (("DECLINED.",), "world:declines"),
    (("undo.", "CANCELLING."), "world:declines"),
    (("PAYMENT_TIMEOUT.", "provider.VOID_PENDING."), "world:slow_payments"),
    (("UNAVAILABLE.", "recover."), "world:inventory_errors"),
    (("CANCELLED.",), "world:slow_provider"),
    (("outbox.notify.",), "world:mail_down"),
)
"""Points that are reached only while something else goes wrong, and what."""


def _company(point: str) -> str | None:
    place = point.partition(".")[2]
    found = (act for prefixes, act in _COMPANY if place.startswith(prefixes))
    return next(found, None)


def _freeze(service: str, seconds: float) -> Act:
    async def run(field: Field, seconds: float) -> None:
        await field.stack.kill(service, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            await field.stack.kill(service, signal.SIGCONT)
        field.history.faults["freeze"] += 1
        await asyncio.sleep(0.5)

    name = f"freeze:{service}" + ("_past_the_deadline" if seconds > DEADLINE_S else "")
    return Act("freeze", name, service, seconds, run)


def _link(link: str, kind: Any) -> Act:
    async def run(field: Field, seconds: float) -> None:
        proxy = field.proxies[link]
        share = 1.0 if kind == "refuse" else field.lots.choice((0.1, 0.3, 0.6))
        before = proxy.struck[kind]
        await proxy.set(Weather(kind, share, seconds=0.8))
        try:
            await asyncio.sleep(seconds)
        finally:
            await proxy.set(CLEAR)
        field.history.faults[f"link {kind}"] += proxy.struck[kind] - before

    return Act("link", f"link:{link}:{kind}", link, 2.0, run)


def _fault(family: str, what: str, service: str, fault: str, **order: Any) -> Act:
    async def run(field: Field, seconds: float) -> None:
        switched = {"enabled": True, "ttl_s": seconds + 5.0, **order}
        try:
            # Again and again: a service that was killed meanwhile came back healthy.
            end = field.history.now() + seconds
            while field.history.now() < end:
                await field.switch(service, fault, **switched)
                await asyncio.sleep(0.3)
        finally:
            await field.switch(service, fault, enabled=False)
        field.history.faults[f"{service}/{fault}"] += 1

    return Act(family, f"{family}:{what}", f"{service}/{fault}", 2.5, run)


def _storm() -> Act:
    async def run(field: Field, seconds: float) -> None:
        before = field.history.answers["busy"]
        await field.crowd.storm(_STORM, seconds)
        field.history.faults["429"] += field.history.answers["busy"] - before

    return Act("world", "world:storm", "crowd", 2.0, run)


def _full_disk() -> Act:
    async def run(field: Field, seconds: float) -> None:
        disk.fill(field.stack.data)
        try:
            await asyncio.sleep(seconds)
        finally:
            disk.free(field.stack.data)
        field.history.faults["disk full"] += 1
        await asyncio.sleep(1.0)

    return Act("disk", "disk:full", "disk", 2.0, run)


def needs_short_holds(point: str) -> bool:
    """Whether only a hold that ends before its sale leads there."""
    return ".CANCELLED" in point


def acts_for(
    points: Sequence[str],
    *,
    links: bool = False,
    short_holds: bool = False,
    small_disk: bool = False,
) -> list[Act]:
    """Everything that can be done to a mesh.

    Args:
        points: Crash points of its services.
        links: Whether its calls go through proxies.
        short_holds: Whether its holds end while a slow provider is asked.
        small_disk: Whether its data folder can be filled.
    """
    if small_disk:
        return [_full_disk(), *(_fault("store", one, one, "db_flap") for one in STORED)]
    found = [
        *(_kill(service) for service in SERVICES),
        *(_crash(point) for point in points if short_holds or not needs_short_holds(point)),
        *(_fault("store", service, service, "db_flap") for service in STORED),
        _fault("world", "mail_down", "notifications", "down"),
        _fault("world", "slow_provider", "payments", "latency", seconds=2.0, probability=0.5),
        _fault("world", "slow_payments", "payments", "latency", seconds=4.0, probability=0.3),
        _fault("world", "declines", "payments", "fail", probability=0.3),
        _fault("world", "inventory_errors", "inventory", "error", probability=0.7),
        _storm(),
    ]
    if sys.platform != "win32":
        found += [_freeze(service, 1.5) for service in SERVICES]
        found.append(_freeze("reservations", DEADLINE_S + 2.0))
    if links:
        found += [_link(name, kind) for name in links_of() for kind in KINDS]
    return found


def links_of() -> list[str]:
    """Names of all links."""
    from chaos.matrix.links import LINKS  # noqa: PLC0415 - reads YAML: only where there are links

    return [f"{caller}→{callee}" for caller, callee in LINKS]


@asynccontextmanager
async def drawn(field: Field, act: Act) -> AsyncIterator[None]:
    """A bar for the act, from here to the end of the block."""
    began_s = field.history.now()
    try:
        yield
    finally:
        field.history.bar(act.lane, act.name, began_s)
