#!/usr/bin/env python3
"""What is promised of our mesh besides its speed: a hot event, memory, start, and the answers while inventory is gone.

    python3 -m bench.promises [--rounds 5] [--json] [--write] [--check]

- Hot and cold: 64 buyers want an event of 500 seats, or one of 20,000, in turns; the rate of the first 500 sales.
- Memory: proportional set size of the five processes after those sales, and how long they took to be ready.
- Crash: the fault `crash` strikes inventory; the first answer that a buyer gets, and the answers once the breaker of
  reservations' calls is open.

Not here: throughput next to other meshes (`mesh.py`), a flood (`flood.py`).
"""

import asyncio
import http.client
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.loadgen import EVENT, PATH, first_flows
from bench.mesh import HOME, new_loop
from bench.meshes import Running, ours
from bench.policies import as_markdown, as_text, machine, parser, write
from bench.targets import Claim, keep, table
from chaos.mesh import Mesh
from chaos.ports import LOOPBACK

BUYERS: Final = 64
HOT_SEATS: Final = 500
PSS_LIMIT_MB: Final = 120.0
READY_LIMIT_S: Final = 2.0

_ANSWERS: Final = 10  # while the breaker is open, in its first half second
_OPEN_LIMIT_S: Final = 10.0
_BACK_TRIES, _BACK_EVERY_S = 60, 0.5
_PSS: Final = re.compile(r"^Pss: +(\d+) kB", re.MULTILINE)
_PARENT: Final = re.compile(r"^PPid:\s+(\d+)", re.MULTILINE)


@dataclass
class Found:
    """What came out.

    Attributes:
        hot_per_s: Sales per second of the hot event, by round.
        cold_per_s: The same of the cold one.
        oversold: Seats sold beyond what there was, or answers 200 without a seat sold, in all rounds.
        losers: What the others were told at the hot event.
        pss_mb: Of the five processes together, MB.
        parent_mb: Of the process that they were forked from, MB; 0 if there is none.
        ready_s: From start until all were ready, seconds.
        crash_s: First answer after the crash, seconds, by round.
        open_s: Answers while the breaker was open, seconds.
        said: What was answered then.
    """

    hot_per_s: list[float] = field(default_factory=list)
    cold_per_s: list[float] = field(default_factory=list)
    oversold: int = 0
    losers: Counter[str] = field(default_factory=Counter)
    pss_mb: float = 0.0
    parent_mb: float = 0.0
    ready_s: float = 0.0
    crash_s: list[float] = field(default_factory=list)
    open_s: list[float] = field(default_factory=list)
    said: Counter[str] = field(default_factory=Counter)


# --------------------------------------------------------------------------- hot and cold
async def sell(mesh: Running, found: Found, *, hot: bool) -> None:
    """The first 500 sales of one event."""
    await mesh.quiet()
    if hot:
        mesh.refill(HOT_SEATS)
    else:
        mesh.refill()
    before = counters(mesh)
    load = await first_flows(mesh.port, BUYERS, HOT_SEATS)
    await mesh.quiet()
    after = counters(mesh)
    (found.hot_per_s if hot else found.cold_per_s).append(HOT_SEATS / load.seconds)
    sold = after["sold"] - before["sold"]
    found.oversold += abs(sold - load.all_flows) + max(0, sold - before["available"])
    if hot:
        found.losers += load.errors


def counters(mesh: Running) -> dict[str, int]:
    """Seats of the event by state, as inventory tells."""
    _, body = lab(mesh).call("inventory", "GET", "/events")
    return next(one for one in body["events"] if one["event_id"] == EVENT)


def lab(mesh: Running) -> Mesh:
    """Its routes and switches."""
    assert mesh.base_port is not None
    return Mesh(mesh.base_port)


# --------------------------------------------------------------------------- memory
def pss_mb(pid: int) -> float:
    """Proportional set size of a process, MB: what it shares counts by its share."""
    (kib,) = _PSS.findall(Path(f"/proc/{pid}/smaps_rollup").read_text())
    return int(kib) * 1024 / 1e6


def memory(mesh: Running, found: Found) -> None:
    """What the five take now."""
    found.pss_mb = sum(pss_mb(pid) for pid in mesh.pids.values())
    parents = {
        _PARENT.findall(Path(f"/proc/{pid}/status").read_text())[0] for pid in mesh.pids.values()
    }
    found.parent_mb = sum(pss_mb(int(pid)) for pid in parents - {str(os.getpid()), "1"})


# --------------------------------------------------------------------------- crash
class Buyer:
    """One who asks over a kept connection, as a browser would."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(LOOPBACK, port, timeout=15)
        self._connection.connect()

    def buy(self) -> tuple[float, str]:
        """Seconds until the answer, and what it was."""
        order = json.dumps({"user_id": "promises", "event_id": EVENT, "quantity": 1})
        began_s = time.perf_counter()
        self._connection.request("POST", PATH, order, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        said: dict[str, Any] = json.loads(answer.read())
        took_s = time.perf_counter() - began_s
        return took_s, f"{answer.status} {said.get('code') or said.get('status')}"

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


async def crash(mesh: Running, found: Found) -> None:
    """Inventory is struck; ask until the breaker is open, then go on asking; wait until it sells again."""
    buyer = Buyer(mesh.port)
    try:
        buyer.buy()
        lab(mesh).call("inventory", "POST", "/chaos/crash", {"enabled": True})
        took_s, said = buyer.buy()
        found.crash_s.append(took_s)
        found.said[said] += 1
        end_s = time.perf_counter() + _OPEN_LIMIT_S
        while not is_open(mesh) and time.perf_counter() < end_s:
            buyer.buy()
        for _ in range(_ANSWERS):
            took_s, said = buyer.buy()
            found.open_s.append(took_s)
            found.said[said] += 1
        lab(mesh).call("inventory", "DELETE", "/chaos")
        for _ in range(_BACK_TRIES):
            await asyncio.sleep(_BACK_EVERY_S)
            if buyer.buy()[1].startswith("200"):
                break
    finally:
        buyer.close()


def is_open(mesh: Running) -> bool:
    """Whether reservations has stopped asking inventory for holds."""
    _, body = lab(mesh).call("reservations", "GET", "/readyz?verbose=1")
    (edge,) = body["live"]["edges"]["inventory.hold"].values()
    return bool(edge["breaker"]["phase"] == "open")


# --------------------------------------------------------------------------- telling
def claims(found: Found) -> list[Claim]:
    """What is wanted."""
    pairs = zip(found.hot_per_s, found.cold_per_s, strict=True)
    ratio = statistics.median(hot / cold for hot, cold in pairs)
    rates = f"{statistics.median(found.hot_per_s):.0f}/s against {statistics.median(found.cold_per_s):.0f}/s"
    sold_out = found.losers["409 sold_out"]
    losers = f"the others heard {dict(found.losers)}" if found.losers.total() - sold_out else ""
    parent = f" (and {found.parent_mb:.0f} MB of what they were forked from)"
    first_s, then_ms = max(found.crash_s), statistics.median(found.open_s) * 1e3
    answers = ", ".join(f"{n} × {what}" for what, n in found.said.most_common())
    return [
        Claim(
            f"{BUYERS} buyers, {HOT_SEATS} seats: oversold 0",
            f"{found.oversold} in {len(found.hot_per_s)} rounds; {sold_out} heard `sold_out` {losers}".strip(),
            found.oversold == 0 and not losers,
        ),
        Claim(
            "the rate of the hot event ÷ that of a cold one: ≥ 0.9",
            f"{ratio:.2f} ({rates})",
            ratio >= 0.9,
        ),
        Claim(
            f"memory of the five services, PSS: ≤ {PSS_LIMIT_MB:g} MB",
            f"{found.pss_mb:.0f} MB{parent if found.parent_mb else ''}",
            found.pss_mb <= PSS_LIMIT_MB,
        ),
        Claim(
            f"all ready in ≤ {READY_LIMIT_S:g} s",
            f"{found.ready_s:.1f} s",
            found.ready_s <= READY_LIMIT_S,
        ),
        Claim(
            "first answer after `crash` of inventory: < 1 s",
            f"{first_s:.2f} s, slowest of {len(found.crash_s)}",
            first_s < 1.0,
        ),
        Claim(
            "answer once the breaker is open: < 5 ms",
            f"{then_ms:.1f} ms, median; slowest {max(found.open_s) * 1e3:.1f}; {answers}",
            then_ms < 5.0,
        ),
    ]


async def run(data: Path, rounds: int) -> Found:
    """One mesh, everything in turn."""
    found = Found()
    async with ours(data, BUYERS) as mesh:
        found.ready_s = mesh.ready_s
        await first_flows(mesh.port, BUYERS, HOT_SEATS)  # pools, caches and pages
        for number in range(rounds):
            for hot in (True, False) if number % 2 else (False, True):
                await sell(mesh, found, hot=hot)
        memory(mesh, found)
        mesh.refill()
        for _ in range(3):
            await crash(mesh, found)
    return found


def main() -> int:
    """Measure and tell."""
    made = parser(__doc__)
    made.add_argument("--rounds", type=int, default=5)
    chosen = made.parse_args()
    if sys.platform != "linux":
        print("not run: memory and CPU time of another process are told by Linux only")
        return 0
    HOME.mkdir(parents=True, exist_ok=True)
    here = machine()
    with (
        tempfile.TemporaryDirectory(prefix="promises-", dir=HOME) as data,
        asyncio.Runner(loop_factory=new_loop) as runner,
    ):
        said = claims(runner.run(run(Path(data), chosen.rounds)))
    if chosen.json:
        found = {"machine": here, "claims": [asdict(one) for one in said]}
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        print(here, as_text(*table(said)), sep="\n\n")
    if chosen.write:
        write("promises", here, [as_markdown(*table(said))])
        keep("promises", said)
    return 1 if chosen.check and not all(one.holds for one in said) else 0


if __name__ == "__main__":
    sys.exit(main())
