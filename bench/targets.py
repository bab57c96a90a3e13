#!/usr/bin/env python3
"""What is wanted, what was measured, and whether it holds: one table for all benchmarks.

    python3 -m bench.targets [--write] [--check]

Every benchmark keeps its own claims when it ends; this one puts the last ones of all of them together. A benchmark that
was not run is a row that says so.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Final

from bench.peers import ROOT
from bench.policies import as_markdown, as_text, machine, parser, write

KEPT: Final = ROOT / "var" / "bench" / "targets"
BENCHMARKS: Final = ("mesh", "promises", "wire", "flood", "live", "telemetry", "growth")
HEADINGS: Final = ("objetivo / target", "medido / measured", "se cumple / holds")


@dataclass(frozen=True)
class Claim:
    """One target.

    Attributes:
        target: What is wanted, with its bound.
        measured: What came out, with its unit.
        holds: Whether that is enough.
    """

    target: str
    measured: str
    holds: bool

    def row(self) -> list[str]:
        """A row of the table."""
        return [self.target, self.measured, "sí / yes" if self.holds else "**NO**"]


def keep(name: str, claims: Iterable[Claim]) -> None:
    """Remember what the benchmark `name` came to, until it is run again."""
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = {"machine": machine(), "claims": [asdict(one) for one in claims]}
    (KEPT / f"{name}.json").write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")


def table(claims: Iterable[Claim]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Headings and rows."""
    return HEADINGS, [one.row() for one in claims]


def kept() -> Iterator[tuple[str, str, list[Claim]]]:
    """Benchmark, machine and claims; neither of one that was not run."""
    for name in BENCHMARKS:
        path = KEPT / f"{name}.json"
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            yield name, found["machine"], [Claim(**one) for one in found["claims"]]
        else:
            yield name, "", []


def main() -> int:
    """Put together and tell."""
    chosen = parser(__doc__).parse_args()
    rows, machines = [], []
    for name, where, claims in kept():
        rows += [one.row() for one in claims] or [[f"`bench.{name}`", "not run", "–"]]
        if where:
            machines.append(f"{name}: {where.removeprefix('Machine: ')}")
    if chosen.json:
        print(json.dumps({name: [asdict(c) for c in claims] for name, _, claims in kept()}))
    else:
        print(as_text(HEADINGS, rows), *machines, sep="\n")
    if chosen.write:
        said = "\n".join(f"- {line}" for line in machines)
        write("targets", machine(), [as_markdown(HEADINGS, rows), said])
    missed = any(row[2] != "sí / yes" for row in rows)
    return 1 if chosen.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
