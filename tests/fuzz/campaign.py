"""Fuzzing runs: schemathesis against real processes, a fresh mesh per service, faults off and on, an audit at the end.

Seeds decide everything that we send and which faults strike when; how far the mesh has come by then is real time's.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from chaos.stack import Stack
from tests.fuzz.hooks import INSTEAD, SERVICES
from tests.support import free_base_port, until

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

OWN_INVARIANTS = {
    "inventory": {"I1", "I2", "I3", "I5", "I18"},
    "payments": {"I11", "I13", "I18"},
    "notifications": {"I15", "I18"},
}
"""What must hold of a service that is fuzzed past those who call it: the other books know nothing of its rows."""

HEAVY = "^/api/(lab/(audit|race|load)|live)$"
"""Operations that take seconds each; left out where a run has to be short."""

SETTLE_S, OWN_SETTLE_S = 45, 3
AUDIT_LIMIT_S = 180


@dataclass
class Seen:
    """What came of the runs of one service with faults off or on."""

    service: str
    faults: bool
    operations: int = 0
    rounds: int = 0
    calls: Counter = field(default_factory=Counter)
    statuses: Counter = field(default_factory=Counter)
    codes: Counter = field(default_factory=Counter)
    struck: Counter = field(default_factory=Counter)
    lost: int = 0
    findings: list[str] = field(default_factory=list)

    def add(self, tally: dict) -> None:
        for name in ("calls", "statuses", "codes", "struck"):
            getattr(self, name).update(tally[name])
        self.lost += tally["lost"]
        self.findings += tally["failures"]

    @property
    def crashes(self) -> int:
        """Answers 500 that no fault gave."""
        return self.statuses["500"] - self.codes["service_failed"]

    @property
    def instead(self) -> int:
        """Answers that a fault gave in place of the service."""
        return sum(self.codes[code] for code in INSTEAD)


async def campaign(service: str, *, calls: Mapping[bool, int | None], seed: int, tell) -> tuple:
    """Fuzz one service: so many calls with faults off (False) and on (True); None is the shortest run there is.

    Returns:
        A `Seen` per kind, and what the audit found (empty: it is green).
    """
    with tempfile.TemporaryDirectory(prefix="taquilla-fuzz-") as folder:
        data, seen = Path(folder) / "mesh", []
        port = free_base_port()
        async with Stack(base_port=port, data=data, max_backoff_s=0.2) as stack:
            document = await _read(stack.url(service, "/openapi.json"))
            operations = sum(len(methods) for methods in document["paths"].values())
            for faults, wanted in calls.items():
                found = Seen(service, faults, operations)
                seen.append(found)
                while found.calls.total() < (wanted or 1) and len(found.findings) < 200:
                    number = 2 * seed + faults + 1000 * found.rounds
                    before = found.calls.total()
                    await _calm(stack)
                    code = await _round(found, Path(folder), port, number, wanted)
                    found.rounds += 1
                    tell(
                        f"{service} faults={'on' if faults else 'off'} seed={number}: "
                        f"{found.calls.total()}/{wanted or 1} calls, findings {len(found.findings)}"
                    )
                    if code not in (0, 1) or found.calls.total() == before:
                        found.findings.append(f"schemathesis ended with {code}")
                        break
                    if code == 1 and not found.findings:
                        found.findings.append("schemathesis met an error; see its log above")
                        break
            await _calm(stack)
            return seen, await _audit(service, data)


async def _round(found: Seen, folder: Path, port: int, seed: int, calls: int | None) -> int:
    """One run of schemathesis; its exit code."""
    tally = folder / "tally.json"
    tally.unlink(missing_ok=True)
    # A round makes some two calls per example and operation, the first one about thirty more per operation.
    left = max((calls or 0) - found.calls.total(), (calls or 0) // 10)
    examples = max(3, min(400, left // (2 * found.operations)))
    first = found.rounds == 0
    command = [
        *(sys.executable, "-m", "schemathesis.cli"),
        *("--config-file", str(HERE / "schemathesis.toml"), "run"),
        f"http://127.0.0.1:{port + SERVICES.index(found.service)}/openapi.json",
        *("--seed", str(seed), "--max-examples", str(examples)),
        *("--phases", "examples,coverage,fuzzing,stateful" if first else "fuzzing,stateful"),
        *(() if calls else ("--exclude-path-regex", HEAVY)),
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "FUZZ_SERVICE": found.service,
        "FUZZ_PORT": str(port),
        "FUZZ_FAULTS": str(int(found.faults)),
        "FUZZ_SEED": str(seed),
        "FUZZ_TALLY": str(tally),
    }
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        sys.stderr.write(said.decode(errors="replace"))
    if tally.exists():
        found.add(json.loads(tally.read_text(encoding="utf-8")))
    return process.returncode or 0


async def _read(url: str) -> dict:
    async with httpx.AsyncClient(timeout=10) as http:
        return (await http.get(url)).json()


async def _calm(stack: Stack) -> None:
    """Every fault off, and whoever was killed is back."""
    async with httpx.AsyncClient(timeout=10) as http:

        async def are_calm() -> bool:
            try:
                answers = [await http.delete(stack.url(one, "/chaos")) for one in SERVICES]
            except httpx.TransportError:
                return False
            return all(answer.is_success for answer in answers)

        await until(are_calm, 30)


async def _audit(service: str, data: Path) -> list[str]:
    """What the auditor found against the service, one line per invariant."""
    own = OWN_INVARIANTS.get(service)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chaos", "audit", "--json"),
        *("--data", str(data), "--settle", str(OWN_SETTLE_S if own else SETTLE_S)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL if own else None,
    )
    said, _ = await asyncio.wait_for(process.communicate(), AUDIT_LIMIT_S)
    return [
        f"{one['number']} {one['name']}: {one['offending'][:3]}"
        for one in json.loads(said)["invariants"]
        if one["judged"] and not one["ok"] and (own is None or one["number"] in own)
    ]
