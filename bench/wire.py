"""CPU per call of our own wire and of stock httpx's transport, in turns, against a server in a process of its own.

    .venv/bin/python bench/wire.py [--calls 4000] [--rounds 7]

One call is what an Edge does below its policy: build an `httpx.Request`, hand it to the transport, read the answer. CPU
is this process's own, so the server does not count; medians over the rounds, uvloop as in the services.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from typing import cast

import httpx
import uvloop

from chassis import runtime

ANSWER = b'{"hold_id":"0123456789abcdef0123456789abcdef","event_id":"concert","seats":2,"expires_in_s":60}'
BODY = b'{"event_id":"concert","seats":2,"reference":"0123456789abcdef"}'
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


async def measure(wire: httpx.AsyncBaseTransport, port: int, in_flight: int, calls: int) -> float:
    """Microseconds of CPU per call."""
    url = httpx.URL(f"http://127.0.0.1:{port}/holds")
    headers = {"host": url.netloc.decode(), **HEADERS}

    async def caller(times: int) -> None:
        for _ in range(times):
            request = httpx.Request(
                "POST", url, headers=headers, stream=httpx.ByteStream(BODY), extensions=EXTENSIONS
            )
            request.read()
            response = await wire.handle_async_request(request)
            await response.aread()
            assert response.content == ANSWER

    async def all_of(times: int) -> None:
        await asyncio.gather(*(caller(times // in_flight) for _ in range(in_flight)))

    await all_of(max(in_flight, calls // 10))  # opens the connections
    began_s = time.process_time()
    await all_of(calls)
    return (time.process_time() - began_s) / (calls // in_flight * in_flight) * 1e6


async def compare(port: int, calls: int, rounds: int) -> dict[str, dict[str, float]]:
    """Medians by what is in flight and whose transport it is."""
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        for in_flight in (1, 16, 32):
            for name in ("own", "httpx"):
                wire = runtime.real(wire="own" if name == "own" else "httpx").http("server")
                cost_us = await measure(wire, port, in_flight, calls)
                await wire.aclose()
                found.setdefault(f"{in_flight} in flight", {}).setdefault(name, []).append(cost_us)
    return {
        load: {name: round(statistics.median(costs), 1) for name, costs in by_name.items()}
        for load, by_name in found.items()
    }


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        uvloop.run(serve())
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            found = uvloop.run(compare(port, chosen.calls, chosen.rounds))
        finally:
            server.terminate()
    print(json.dumps({"unit": "us of CPU per call", **found}, indent=2))


if __name__ == "__main__":
    main()
