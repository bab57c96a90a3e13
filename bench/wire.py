#!/usr/bin/env python3
"""What a call between services costs its caller, and whether it is ever sent twice.

    python3 -m bench.wire [--calls 2000] [--rounds 7] [--json] [--write] [--check]

CPU per call of stock httpx's transport, of our own wire, and of an Edge over our own wire, in turns, against a server
in a process of its own. One call is a small POST and its JSON answer. CPU is this process's own, so the server does not
count; medians over the rounds, uvloop as in the services. The bare wire gets a request that was built before; an
Edge builds its own, under reservations' policy for a hold, with a deadline and the metrics' listener.

Repeats are counted by a server that hangs up after it has read a POST. Not here: every other way to fail, and what it
has to mean (tests/unit/chassis/wire).
"""

import argparse
import asyncio
import dataclasses
import json
import logging
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import process_time
from typing import Final, cast

import httpx
import structlog
import uvloop

from bench.policies import as_markdown, as_text, machine, parser, write
from bench.targets import Claim, keep, table
from chassis import runtime
from chassis.clients import InDoubt, NotSent, Upstream
from chassis.telemetry import Metrics
from reservations.clients import HOLD
from resilience import deadline

ANSWER = b'{"hold_id":"0123456789abcdef0123456789abcdef","event_id":"concert","seats":2,"expires_in_s":60}'
ORDER = {"event_id": "concert", "seats": 2, "reference": "0123456789abcdef"}
BODY = json.dumps(ORDER, separators=(",", ":")).encode()
HEADERS = {
    "accept": "*/*",
    "accept-encoding": "gzip, deflate",
    "connection": "keep-alive",
    "user-agent": "bench",
    "x-request-id": "0123456789abcdef0123456789abcdef",
    "accept-language": "es",
    "idempotency-key": "0123456789abcdef",
    "content-type": "application/json",
    "content-length": str(len(BODY)),
}
EXTENSIONS = {"timeout": httpx.Timeout(None, pool=1.0).as_dict()}

IN_FLIGHT: Final = (1, 16, 32)
MOST_US: Final = 60.0
"""What resilience and chassis may cost per call above the bare wire, µs of CPU."""

STOCK, BUILT, BARE, EDGE = "stock httpx", "our wire, request built", "our wire, bare", "our Edge"
KINDS: Final = (STOCK, BUILT, BARE, EDGE)

Call = Callable[[], Awaitable[object]]


class Server(asyncio.Protocol):
    """Answers whatever ends in the body it waits for, as cheaply as can be."""

    _head = (
        b"HTTP/1.1 200 OK\r\ndate: Tue, 24 Nov 2026 15:00:00 GMT\r\ncontent-type: application/json\r\n"
        b"x-request-id: 0123456789abcdef0123456789abcdef\r\ncontent-length: %d\r\n\r\n"
        % len(ANSWER)
    )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is a client."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer, if this is the end of a request."""
        if data.endswith(BODY):
            self._transport.write(self._head + ANSWER)


async def serve() -> None:
    """Say which port it is, and answer until terminated."""
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# --------------------------------------------------------------------------- what a call costs
def way(kind: str, port: int) -> tuple[Call, Callable[[], Awaitable[None]]]:
    """One way to make the call, and what closes it."""
    effects = runtime.real(wire="httpx" if kind == STOCK else "own")
    address = f"http://127.0.0.1:{port}"
    if kind == EDGE:
        upstream = Upstream("inventory", address, effects, Metrics())
        edge = upstream.edge("hold", HOLD)

        async def through_edge() -> None:
            with deadline(5.0):
                await edge.post("/holds", ORDER, key="0123456789abcdef")

        return through_edge, upstream.aclose
    transport, url = effects.http("inventory"), httpx.URL(f"{address}/holds")
    headers = {"host": url.netloc.decode(), **HEADERS}

    def build() -> httpx.Request:
        body = httpx.ByteStream(BODY)
        request = httpx.Request("POST", url, headers=headers, stream=body, extensions=EXTENSIONS)
        request.read()
        return request

    prebuilt = build()

    async def straight() -> None:
        response = await transport.handle_async_request(prebuilt if kind == BARE else build())
        await response.aread()
        assert response.content == ANSWER

    return straight, transport.aclose


async def measure(call: Call, in_flight: int, calls: int) -> float:
    """Microseconds of CPU per call."""

    async def caller(times: int) -> None:
        for _ in range(times):
            await call()

    async def all_of(times: int) -> None:
        await asyncio.gather(*(caller(times // in_flight) for _ in range(in_flight)))

    await all_of(max(in_flight, calls // 10))  # opens the connections
    began_s = process_time()
    await all_of(calls)
    return (process_time() - began_s) / (calls // in_flight * in_flight) * 1e6


Costs = Mapping[int, Mapping[str, list[float]]]
"""Microseconds per call of every round, by calls in flight and way."""


async def compare(port: int, calls: int, rounds: int) -> Costs:
    """All ways in turn."""
    found: dict[int, dict[str, list[float]]] = {n: {kind: [] for kind in KINDS} for n in IN_FLIGHT}
    for _ in range(rounds):
        for in_flight, by_kind in found.items():
            for kind in KINDS:
                call, close = way(kind, port)
                by_kind[kind].append(await measure(call, in_flight, calls))
                await close()
    return found


def above_us(costs: Mapping[str, list[float]]) -> float:
    """What an Edge costs above the bare wire, µs: median of the differences within a round."""
    return statistics.median(a - b for a, b in zip(costs[EDGE], costs[BARE], strict=True))


# --------------------------------------------------------------------------- what is sent twice
async def repeats(calls: int, key: str | None) -> int:
    """POSTs that arrive more than once at a server which reads them and hangs up, over a wire that retries."""
    seen = 0

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(BODY))
            seen += 1
            if seen % 3 == 0:  # an answer that is cut short
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{")
            if seen % 3 == 1:
                writer.transport.abort()
        writer.close()

    server = await asyncio.start_server(rude, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    upstream = Upstream("inventory", f"http://127.0.0.1:{port}", runtime.real("own"), Metrics())
    assert HOLD.retry is not None
    tireless = dataclasses.replace(HOLD.retry, quota=None, base_s=0.001, cap_s=0.002)
    edge = upstream.edge("hold", dataclasses.replace(HOLD, breaker=None, retry=tireless))
    for _ in range(calls):
        with suppress(NotSent, InDoubt):
            await edge.post("/holds", ORDER, key=key)
    await upstream.aclose()
    server.close()
    await server.wait_closed()
    return seen - calls


# --------------------------------------------------------------------------- telling
HEADINGS: Final = (
    "llamadas a la vez / calls in flight",
    *(f"{kind}, µs" for kind in KINDS),
    "Edge − bare, µs",
)


def rows(costs: Costs) -> list[list[str]]:
    """The table."""
    return [
        [
            str(in_flight),
            *(f"{statistics.median(by_kind[kind]):.0f}" for kind in KINDS),
            f"{above_us(by_kind):.0f}",
        ]
        for in_flight, by_kind in costs.items()
    ]


def claims(costs: Costs, sent_again: Mapping[str, int], posts: int) -> list[Claim]:
    """What is wanted."""
    worst_us = max(above_us(by_kind) for in_flight, by_kind in costs.items() if in_flight > 1)
    alone_us = above_us(costs[1])
    return [
        Claim(
            f"CPU of resilience + chassis per internal call above the bare wire: ≤ {MOST_US:g} µs",
            f"{worst_us:.0f} µs under load, {alone_us:.0f} µs for a lone call",
            max(worst_us, alone_us) <= MOST_US,
        ),
        Claim(
            "POSTs repeated after the server may have processed them, without a key: 0",
            f"{sent_again['without']} of {posts} (with a key: {sent_again['with']})",
            sent_again["without"] == 0 < sent_again["with"],
        ),
    ]


def main() -> int:
    """Run as a program."""
    made = parser(__doc__)
    made.add_argument("--calls", type=int, default=2000)
    made.add_argument("--rounds", type=int, default=7)
    made.add_argument("--posts", type=int, default=300, help="to count the repeats of")
    made.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = made.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    if chosen.serve:
        uvloop.run(serve())
    command = [sys.executable, "-m", "bench.wire", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            costs = uvloop.run(compare(port, chosen.calls, chosen.rounds))
        finally:
            server.terminate()
    sent_again = {
        "without": asyncio.run(repeats(chosen.posts, None)),
        "with": asyncio.run(repeats(chosen.posts, "0123456789abcdef")),
    }
    said = claims(costs, sent_again, chosen.posts)
    here = machine()
    if chosen.json:
        found = {"machine": here, "us": costs, "claims": [dataclasses.asdict(one) for one in said]}
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        print(here, as_text(HEADINGS, rows(costs)), as_text(*table(said)), sep="\n\n")
    if chosen.write:
        write("wire", here, [as_markdown(HEADINGS, rows(costs)), as_markdown(*table(said))])
        keep("wire", said)
    return 1 if chosen.check and not all(one.holds for one in said) else 0


if __name__ == "__main__":
    sys.exit(main())
