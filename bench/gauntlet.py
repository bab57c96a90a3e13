#!/usr/bin/env python3
"""What breakers and bulkheads do when callers are many, or go away: ours and other libraries'.

    python3 -m bench.gauntlet [--json] [--write] [--check]

Real time, because the peers read real clocks. Which ones a breaker reads is seen by wrapping all
clocks before anything is imported. Every scenario has a time limit; a peer that cannot be installed
or breaks is a row that says so.

Not here: what it costs (`policies.py`). Our own policies run the same scenarios on virtual time in
tests/unit/resilience.
"""

import asyncio
import inspect
import json
import logging
import random
import sys
import warnings
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from bench.guards import (
    BREAKERS,
    BULKHEADS,
    OPEN_S,
    Clocks,
    CountedFailure,
    Guard,
    IgnoredFailure,
)
from bench.peers import Work, in_peers_venv, not_installed, settle
from bench.policies import as_markdown, as_text, in_words, machine, parser, write

CALLERS, STALE_CALLERS, SLOTS = 50, 5, 2
ROUNDS, BATCH = 20, 50  # 1,000 random cancellations

Make = Callable[[], Guard]


# --------------------------------------------------------------------------- what is done to breakers
async def good() -> str:
    """A healthy callee."""
    return "good"


async def bad() -> None:
    """A failing callee."""
    raise CountedFailure


async def hang() -> None:
    """A callee that never answers."""
    await asyncio.Event().wait()


async def outcome(call: Guard, fn: Work) -> Any:
    """Result or exception of one call."""
    return await settle(_call(call, fn))


async def _call(call: Guard, fn: Work) -> Any:
    return await call(fn)


async def trip(call: Guard) -> None:
    """Open the breaker."""
    for _ in range(2):
        await outcome(call, bad)
    if await outcome(call, good) == "good":
        raise AssertionError("does not trip")


async def until_probe() -> None:
    """Wait until the open time is over."""
    await asyncio.sleep(OPEN_S * 1.3)


async def probes_at_once(make: Make) -> str:
    """How many of 50 callers get through together when the open time ends, and how many are kept."""
    call, begun = make(), 0
    await trip(call)
    await until_probe()

    async def slow() -> None:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0.05)

    callers = [asyncio.create_task(_call(call, slow)) for _ in range(CALLERS)]
    await asyncio.sleep(0.03)
    through, waiting = begun, sum(not caller.done() for caller in callers) - begun
    await asyncio.gather(*callers, return_exceptions=True)
    return f"{through} ({waiting} wait)" if waiting else str(through)


async def recovers(call: Guard) -> str:
    """Whether calls to a callee that is healthy again get through within three open times."""
    for _ in range(3):
        await until_probe()
        if [await outcome(call, good) for _ in range(2)] == ["good", "good"]:
            return "✓"
    return "✗"


async def after_cancelled_probe(make: Make) -> str:
    """Whether it recovers when the caller of the probe goes away."""
    call = make()
    await trip(call)
    await until_probe()
    probe = asyncio.create_task(_call(call, hang))
    await asyncio.sleep(0.02)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    return await recovers(call)


async def after_ignored_probe(make: Make) -> str:
    """Whether it recovers when the probe says nothing about the callee."""

    async def ignored() -> None:
        raise IgnoredFailure

    call = make()
    await trip(call)
    await until_probe()
    await outcome(call, ignored)
    return await recovers(call)


async def let_in_by_stale_success(make: Make) -> str:
    """How many get in because a call from before the trip succeeds while the probe is still out."""
    call, before, probing, inside = make(), asyncio.Event(), asyncio.Event(), 0
    straggler = asyncio.create_task(_call(call, before.wait))
    await asyncio.sleep(0)
    await trip(call)
    await until_probe()

    async def failing_probe() -> None:
        await probing.wait()
        raise CountedFailure

    async def count() -> None:
        nonlocal inside
        inside += 1

    probe = asyncio.create_task(_call(call, failing_probe))
    await asyncio.sleep(0.01)
    before.set()
    await straggler
    callers = [asyncio.create_task(_call(call, count)) for _ in range(STALE_CALLERS)]
    await asyncio.sleep(0.02)
    let_in = inside
    probing.set()
    for caller in callers:
        caller.cancel()
    await asyncio.gather(probe, *callers, return_exceptions=True)
    return str(let_in)


BREAKER_HEADINGS = (
    "cortacircuitos / breaker",
    "sondas a la vez, de 50 / probes at once, of 50",
    "se recupera: sonda cancelada / recovers: cancelled probe",
    "error ignorado / ignored error",
    "entran por éxito tardío, de 5 / let in by a stale success, of 5",
    "reloj / clock",
)
BREAKER_TESTS = (
    probes_at_once,
    after_cancelled_probe,
    after_ignored_probe,
    let_in_by_stale_success,
)
BREAKER_WANTED = ["1", "✓", "✓", "0", "monotonic, injected"]


async def breaker_row(package: str, clocks: Clocks) -> list[str]:
    """One breaker through all scenarios."""
    maker = BREAKERS[package]
    takes_clock, _ = maker()
    cells = [await found(test(lambda: maker()[1])) for test in BREAKER_TESTS]
    injected = any("clock" in name for name in inspect.signature(takes_clock).parameters)
    clock = clocks.read_by(takes_clock.__module__.partition(".")[0])
    return [*cells, f"{clock}, injected" if injected else clock]


async def found(scenario: Coroutine[Any, Any, str]) -> str:
    """What the scenario says, or what broke it."""
    said = await settle(scenario)
    return f"broke: {in_words(said)}" if isinstance(said, BaseException) else str(said)


# --------------------------------------------------------------------------- what is done to bulkheads
BULKHEAD_HEADINGS = (
    "mamparo de 2 / bulkhead of 2",
    "huecos tras 2 cancelaciones / slots after 2 cancelled calls",
    "tras 1.000 al azar / after 1,000 random ones",
)
BULKHEAD_WANTED = [str(SLOTS), str(SLOTS)]


async def usable(call: Guard) -> str:
    """How many slots can be held together."""
    held, enough = 0, asyncio.Event()

    async def hold() -> None:
        nonlocal held
        held += 1
        await enough.wait()

    holders = [asyncio.create_task(_call(call, hold)) for _ in range(SLOTS)]
    await asyncio.sleep(0.05)
    enough.set()
    for holder in holders:
        holder.cancel()
    await asyncio.gather(*holders, return_exceptions=True)
    return str(held)


async def after_two_cancelled(call: Guard) -> str:
    """Slots left when both holders go away."""
    holders = [asyncio.create_task(_call(call, hang)) for _ in range(SLOTS)]
    await asyncio.sleep(0.01)
    for holder in holders:
        holder.cancel()
    await asyncio.gather(*holders, return_exceptions=True)
    return await usable(call)


async def after_many_cancelled(call: Guard) -> str:
    """Slots left when holders and those who wait go away at any moment, the last one included."""
    chance = random.Random(1)

    async def brief() -> None:
        await asyncio.sleep(chance.random() * 0.004)

    for _ in range(ROUNDS):
        callers = [asyncio.create_task(_call(call, brief)) for _ in range(BATCH)]
        chance.shuffle(callers)
        for number, caller in enumerate(callers):
            if number % 5 == 0:
                await asyncio.sleep(chance.random() * 0.002)
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
    return await usable(call)


async def bulkhead_row(make: Make) -> list[str]:
    """One bulkhead through both scenarios."""
    return [await found(after_two_cancelled(make())), await found(after_many_cancelled(make()))]


# --------------------------------------------------------------------------- telling
async def row(name: str, package: str, cells: Coroutine[Any, Any, list[str]], n: int) -> list[str]:
    """A row of the table, `n` cells wide after its name."""
    why = not_installed(package)
    if why:
        cells.close()
    said = ModuleNotFoundError(why) if why else await settle(cells, limit_s=60.0)
    if isinstance(said, BaseException):
        return [name, f"not run: {in_words(said)}", *["–"] * (n - 1)]
    return [f"**{name}**" if package == "resilience" else name, *said]


async def run(clocks: Clocks) -> tuple[list[list[str]], list[list[str]]]:
    """Both tables."""
    width = len(BREAKER_HEADINGS) - 1
    breakers = [await row(name, name, breaker_row(name, clocks), width) for name in BREAKERS]
    width = len(BULKHEAD_HEADINGS) - 1
    bulkheads = [
        await row(name, package, bulkhead_row(make), width)
        for name, (package, make) in BULKHEADS.items()
    ]
    return breakers, bulkheads


def holds(breakers: Sequence[list[str]], bulkheads: Sequence[list[str]]) -> bool:
    """Whether all of ours say what is wanted."""
    wanted = ((breakers, BREAKER_WANTED), (bulkheads, BULKHEAD_WANTED))
    return all(
        cells[1:] == cells_wanted
        for table, cells_wanted in wanted
        for cells in table
        if "resilience" in cells[0] and "aio" not in cells[0]
    )


def main() -> int:
    """Run and tell."""
    arguments = parser(__doc__).parse_args()
    in_peers_venv("bench.gauntlet")
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")  # clocks of Python that peers still read and it deprecates
    here = machine()
    breakers, bulkheads = asyncio.run(run(Clocks()))
    tables = ((BREAKER_HEADINGS, breakers), (BULKHEAD_HEADINGS, bulkheads))
    if arguments.json:
        data = [dict(zip(names, cells, strict=True)) for names, table in tables for cells in table]
        print(json.dumps({"machine": here, "rows": data}, ensure_ascii=False, indent=1))
    else:
        print(here, *(as_text(*table) for table in tables), sep="\n\n")
    if arguments.write:
        write("gauntlet", here, [as_markdown(*table) for table in tables])
    return 1 if arguments.check and not holds(breakers, bulkheads) else 0


if __name__ == "__main__":
    sys.exit(main())
