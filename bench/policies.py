#!/usr/bin/env python3
"""What a policy costs per successful call: ours and those of ten other libraries, in one run.

    python3 -m bench.policies [--json] [--write] [--check] [--seconds S]

Installs the peers into a venv of its own under var/ (requirements-bench.lock), where it then goes on;
`resilience` comes from the checkout. Samples of all variants are interleaved in random order, so that a
slow moment of the machine hits all of them; the figure is the median of CPU time, not of wall time. A
peer that cannot be installed, breaks or does not do its work is a row that says so.

A sample is a loop of awaited calls that gives way to the event loop every 64 calls, so that timers
that a variant cancelled are swept at its own expense; the same loop without calls is subtracted. The
garbage collector stays on: who makes cycles pays for them.

Not here: what the policies do when things go wrong (`gauntlet.py`).
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.peers import ROOT, SOURCES, Make, Work, in_peers_venv, not_installed, settle

DOCS = ROOT / "docs" / "benchmarks.md"
REPETITIONS, CHUNK = 15, 64
STACK_TARGET_US, RETRY_TARGET_US = 10.0, 0.5
OURS, MIXED = "resilience", "(mixed)"
OUR_RETRY, OUR_STACK = "resilience Retry + Quota", "resilience D+R+Q+CB+L+T"


@dataclass
class Variant:
    """One way to make a call.

    Attributes:
        package: Distribution it comes from.
        group: What it is compared with.
        name: Library and spelling.
        make: Puts it around a coroutine function.
        samples_us: CPU time per call, µs.
        why_not: Why there are no samples.
    """

    package: str
    group: str
    name: str
    make: Make
    samples_us: list[float] = field(default_factory=list)
    why_not: str = ""

    @property
    def median_us(self) -> float:
        """Median CPU time per call, µs."""
        return statistics.median(self.samples_us)


async def work() -> int:
    """What is called: nothing, so that only the policies cost."""
    return 1


async def collect() -> list[Variant]:
    """All variants, those that do not work with the reason why."""

    async def listed(package: str) -> list[Variant]:
        if why := not_installed(package):
            raise ModuleNotFoundError(why)
        return [Variant(package, *one) for one in SOURCES[package]()]

    variants = []
    for package in SOURCES:
        found = await settle(listed(package))
        if isinstance(found, BaseException):
            broken = Variant(package, "stack", package, lambda fn: fn, why_not=in_words(found))
            variants.append(broken)
            continue
        for variant in found:
            flaw = await settle(flaw_of(variant))
            variant.why_not = in_words(flaw) if isinstance(flaw, BaseException) else flaw
        variants += found
    return variants


def in_words(exc: BaseException) -> str:
    """One line about an exception."""
    return f"{type(exc).__name__}: {exc}".splitlines()[0][:90]


async def flaw_of(variant: Variant) -> str:
    """What the variant fails to do; empty if it retries what fails once and trips on what always does."""
    seen = 0

    async def failing() -> int:
        nonlocal seen
        seen += 1
        if variant.group == "breaker" or seen == 1:
            raise OSError
        return seen

    if await variant.make(work)() != 1:
        return "loses the result"
    call = variant.make(failing)
    if variant.group in ("retry", "stack"):
        return "" if await call() == 2 else "does not retry"
    if variant.group == "breaker":
        await asyncio.gather(*(call() for _ in range(200)), return_exceptions=True)
        return "" if seen < 200 else "does not trip"
    return ""


async def sample_us(call: Work, rounds: int) -> float:
    """CPU time of one awaited call, µs."""
    clock, sleep = time.thread_time_ns, asyncio.sleep
    began = clock()
    for _ in range(rounds):
        for _ in range(CHUNK):
            pass
        await sleep(0)
    between = clock()
    for _ in range(rounds):
        for _ in range(CHUNK):
            await call()
        await sleep(0)
    return ((clock() - between) - (between - began)) / (rounds * CHUNK * 1e3)


async def measure(variants: Sequence[Variant], budget_s: float) -> None:
    """Fill in the samples: every variant in turn, every turn in another order."""
    runs: list[tuple[Variant, Work, int]] = []
    working = [variant for variant in variants if not variant.why_not]
    share_us = budget_s * 1e6 / REPETITIONS / max(1, len(working))
    for variant in working:
        call = variant.make(work)
        await sample_us(call, 8)
        cost_us = max(0.05, await sample_us(call, 32))
        runs.append((variant, call, max(8, min(800, int(share_us / cost_us / CHUNK)))))
    gc.collect()
    gc.freeze()
    shuffle = random.Random(7).shuffle
    for _ in range(REPETITIONS):
        shuffle(runs)
        for variant, call, rounds in runs:
            gc.collect()
            variant.samples_us.append(await sample_us(call, rounds))


# --------------------------------------------------------------------------- telling
HEADINGS = ("grupo / group", "variante / variant", "µs", "× bare", "min … max µs")
LEGEND = (
    "D deadline · R retry · Q quota · CB breaker · L limit · T timeout per attempt. "
    f"CPU time per successful call, median of {REPETITIONS} interleaved samples."
)


def rows(variants: Sequence[Variant]) -> list[list[str]]:
    """The table, cheapest first within each group, then what was not run."""
    bare_us = variants[0].median_us
    groups = list(dict.fromkeys(variant.group for variant in variants))
    measured = sorted(
        (variant for variant in variants if variant.samples_us),
        key=lambda variant: (groups.index(variant.group), variant.median_us),
    )
    return [
        [
            variant.group,
            f"**{variant.name}**" if variant.package == OURS else variant.name,
            f"{variant.median_us:.2f}",
            f"{variant.median_us / bare_us:.1f}",
            f"{min(variant.samples_us):.2f} … {max(variant.samples_us):.2f}",
        ]
        for variant in measured
    ] + [
        [variant.group, variant.name, f"not run: {variant.why_not}", "–", "–"]
        for variant in variants
        if not variant.samples_us
    ]


def verdict(variants: Sequence[Variant]) -> tuple[bool, list[str]]:
    """Whether our figures hold, and what to say about them."""
    us = {(v.group, v.name): v.median_us for v in variants if v.samples_us}
    stacks = [v for v in variants if v.samples_us and v.group == "stack" and v.package != OURS]
    libraries = [v for v in stacks if v.package != MIXED]
    stack_us, retry_us = us.get(("stack", OUR_STACK)), us.get(("retry", OUR_RETRY))
    if stack_us is None or retry_us is None or not libraries:
        return False, ["nothing to judge: our stack, our retry or every peer is missing"]
    library = min(libraries, key=lambda variant: variant.median_us)
    closest = min(stacks, key=lambda variant: variant.median_us)
    claims = [
        (stack_us < STACK_TARGET_US, f"full stack {stack_us:.2f} µs, wanted < {STACK_TARGET_US:g}"),
        (stack_us < library.median_us, f"cheaper than the closest library, {_price(library)}"),
        (stack_us < closest.median_us, f"cheaper than every stack; the closest, {_price(closest)}"),
        (
            retry_us < RETRY_TARGET_US,
            f"retry alone {retry_us:.2f} µs, wanted < {RETRY_TARGET_US:g}",
        ),
    ]
    lines = [f"{'yes' if holds else 'NO'}: {claim}" for holds, claim in claims]
    return all(holds for holds, _ in claims), lines


def _price(variant: Variant) -> str:
    return f"{variant.name}: {variant.median_us:.2f} µs"


def machine() -> str:
    """The line that stands over every table."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = found[0].split(":")[1].strip() if found else cpu
    memory = ""
    if hasattr(os, "sysconf"):
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+"]
    commit = subprocess.run(git, check=False, capture_output=True, text=True).stdout.strip()
    busy = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    facts = [
        f"{cpu}, {os.cpu_count()} cores{memory}",
        f"{platform.system()} {platform.release()}",
        f"Python {platform.python_version()}",
        commit or "no commit",
        f"{datetime.now(UTC):%Y-%m-%d}",
        busy,
    ]
    return "Machine: " + " · ".join(facts)


def as_text(headings: Sequence[str], table: Sequence[Sequence[str]]) -> str:
    """Aligned columns for a terminal; "es / en" headings take two lines."""
    spanish, english = ([name.split(" / ")[at] for name in headings] for at in (0, -1))
    plain = [[cell.replace("**", "") for cell in row] for row in [spanish, english, *table]]
    widths = [max(len(row[column]) for row in plain) for column in range(len(headings))]
    lines = ["  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) for row in plain]
    return "\n".join(line.rstrip() for line in lines)


def as_markdown(headings: Sequence[str], table: Sequence[Sequence[str]]) -> str:
    """A table for the documents."""
    ruled = [headings, ["---"] * len(headings), *table]
    return "\n".join("| " + " | ".join(row) + " |" for row in ruled)


def write(name: str, here: str, parts: Sequence[str]) -> None:
    """Replace what stands between the markers of `name` in docs/benchmarks.md."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, found, rest = DOCS.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        sys.exit(f"docs/benchmarks.md has no markers for {name}")
    text = "\n\n".join([f"> {here} · `python3 -m bench.{name}`", *parts])
    DOCS.write_text(f"{before}{begin}\n{text}\n\n{end}{after}", encoding="utf-8")


def parser(what: str | None) -> argparse.ArgumentParser:
    """Arguments that every benchmark here has."""
    made = argparse.ArgumentParser(description=(what or "").split("\n")[0])
    made.add_argument("--json", action="store_true", help="machine-readable")
    made.add_argument("--write", action="store_true", help="into docs/benchmarks.md, too")
    made.add_argument("--check", action="store_true", help="exit with 1 where ours falls short")
    return made


def main() -> int:
    """Measure and tell."""
    arguments_of = parser(__doc__)
    arguments_of.add_argument("--seconds", type=float, default=45.0, help="to measure for")
    arguments = arguments_of.parse_args()
    in_peers_venv("bench.policies")
    logging.disable(logging.CRITICAL)
    here = machine()

    async def run() -> list[Variant]:
        variants = await collect()
        await measure(variants, arguments.seconds)
        return variants

    variants = asyncio.run(run())
    holds, claims = verdict(variants)
    if arguments.json:
        print(json.dumps(as_data(here, variants, holds), ensure_ascii=False, indent=1))
    else:
        print(here, as_text(HEADINGS, rows(variants)), LEGEND, "\n".join(claims), sep="\n\n")
    if arguments.write:
        said = "\n".join(f"- {claim}" for claim in claims)
        write("policies", here, [as_markdown(HEADINGS, rows(variants)), LEGEND, said])
    return 1 if arguments.check and not holds else 0


def as_data(here: str, variants: Sequence[Variant], holds: bool) -> dict[str, Any]:
    """Everything, with the single samples."""
    fields = ("package", "group", "name", "samples_us", "why_not")
    return {
        "machine": here,
        "holds": holds,
        "variants": [
            {name: getattr(variant, name) for name in fields}
            | {"median_us": variant.median_us if variant.samples_us else None}
            for variant in variants
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
