"""`python -m tests.fuzz`: fuzz the API documents of all five services; see docs/fuzzing.md."""

import argparse
import asyncio
import random
import sys

from tests.fuzz.campaign import campaign
from tests.fuzz.hooks import SERVICES

CALLS = 20_000
SHARE_WITH_FAULTS = 0.25  # those take longer


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 dev.py fuzz")
    parser.add_argument(
        "--calls",
        type=int,
        default=CALLS,
        help="per service, a quarter of them with faults on",
    )
    parser.add_argument("--seed", type=int, default=None, help="replays what a run printed")
    parser.add_argument("--services", default=",".join(SERVICES))
    parser.add_argument("--faults", choices=["off", "on", "both"], default="both")
    return parser.parse_args(arguments)


async def main(arguments: list[str]) -> int:
    """Run, print the table; 1 if anything was found."""
    options = _options(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10_000)
    with_faults = round(options.calls * SHARE_WITH_FAULTS)
    calls = {False: options.calls - with_faults, True: with_faults}
    if options.faults != "both":
        calls = {options.faults == "on": options.calls}
    print(f"seed {seed}", flush=True)
    rows, bad = [], []
    for service in options.services.split(","):
        seen, red = await campaign(
            service,
            calls=calls,
            seed=seed,
            tell=lambda line: print(f"  {line}", flush=True),
        )
        bad += [f"{service}: audit: {one}" for one in red]
        for one in seen:
            bad += [f"{service}: {count}x {what}" for what, count in _counted(one.findings)]
            rows.append(_row(one, red))
    _print_table(rows)
    for line in bad:
        print(f"FOUND {line}")
    print(f"{'red' if bad else 'green'}; replay: python3 dev.py fuzz --seed {seed}")
    return 1 if bad else 0


def _counted(findings: list[str]) -> list[tuple[str, int]]:
    return [(one, findings.count(one)) for one in dict.fromkeys(findings)]


def _row(one, red) -> tuple[str, ...]:
    statuses = " ".join(f"{status}:{count}" for status, count in sorted(one.statuses.items()))
    return (
        one.service,
        "on" if one.faults else "off",
        str(one.calls.total()),
        f"{len(one.calls)}/{one.operations}",
        str(len(one.findings)),
        str(one.crashes),
        f"{one.instead}+{one.lost}",
        str(one.struck.total()),
        "red" if red else "green",
        statuses,
    )


def _print_table(rows: list[tuple[str, ...]]) -> None:
    head = ("service", "faults", "calls", "operations", "findings", "crashes")
    head += ("lab+lost", "struck", "audit", "statuses")
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
