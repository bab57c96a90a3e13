#!/usr/bin/env python3
"""How much `taquilla load` itself can send: against a server that does nothing but answer, on the same machine.

    python3 -m bench.ceiling [--seconds 5] [--workers 20] [--json]

A closed loop, as fast as it goes, with a journal, by one process and by two. The server is a process of its own, which
needs a core, too: on two cores two buying processes cannot be twice as fast. CPU per request is the buying processes'.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import uvloop

from bench.policies import as_text, machine
from chaos.journal import Journal
from chaos.load.plan import MAX_REQUESTS, Plan
from chaos.load.report import Report
from chaos.load.run import Flood
from chaos.mesh import Mesh
from resilience import Runtime

_BODY: Final = json.dumps(
    {
        "status": "confirmed",
        "reservation_id": "0123456789abcdef0123456789abcdef",
        "seats": ["A-01"],
        "total": {"amount_minor": 5000, "currency": "USD"},
    }
).encode()
_ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    b"x-request-id: 0123456789abcdef0123456789abcdef\r\ncontent-length: %d\r\n\r\n%b"
    % (len(_BODY), _BODY)
)


class Server(asyncio.Protocol):
    """Answers whatever comes, as cheaply as can be."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is a client."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, _data: bytes) -> None:
        """Answer: every request here comes in one piece."""
        self._transport.write(_ANSWER)


async def serve() -> None:
    """Say which port it is, and answer until terminated."""
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@dataclass(frozen=True)
class Ceiling:
    """One way to send.

    Attributes:
        processes: How many bought.
        per_s: Answers per second.
        cpu_us: CPU of a request, microseconds.
        p99_ms: Latency.
    """

    processes: int
    per_s: float
    cpu_us: float
    p99_ms: float


def measure(port: int, requests: int, workers: int, processes: int) -> Ceiling:
    """Send so many."""
    runtime = Runtime.real()
    plan = Plan("e", requests, workers, processes=processes, unique_users=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        with Journal.open(path, clock=runtime.clock, began_at=0.0) as journal:
            flood = Flood(plan, Mesh(port), journal, runtime, lambda _progress: None)
            report: Report = asyncio.run(flood.run())
    whole = report.whole
    assert whole.accepted.count == requests, dict(whole.outcomes)
    p99_s = whole.accepted.at(0.99) or 0.0
    return Ceiling(
        processes, requests / report.elapsed_s, whole.cpu_s / requests * 1e6, p99_s * 1e3
    )


def main() -> int:
    """Run as a program."""
    made = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    made.add_argument("--json", action="store_true", help="machine-readable")
    made.add_argument("--seconds", type=float, default=5.0, help="about how long each")
    made.add_argument("--workers", type=int, default=20)
    made.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = made.parse_args()
    if chosen.serve:
        uvloop.run(serve())
    command = [sys.executable, "-m", "bench.ceiling", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            first = measure(port, 5000, chosen.workers, 1)
            requests = min(MAX_REQUESTS, round(first.per_s * chosen.seconds))
            found = [measure(port, requests, chosen.workers, number) for number in (1, 2)]
        finally:
            server.terminate()
    if chosen.json:
        print(json.dumps({"machine": machine(), "ceilings": [vars(one) for one in found]}))
        return 0
    heads = (
        "procesos / processes",
        "por segundo / per second",
        "CPU por petición, µs / CPU per request, µs",
        "p99, ms",
    )
    rows = [
        [str(one.processes), f"{one.per_s:.0f}", f"{one.cpu_us:.0f}", f"{one.p99_ms:.1f}"]
        for one in found
    ]
    print(machine(), as_text(heads, rows), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
