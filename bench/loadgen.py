"""A load generator that costs little: N callers in a closed loop, each on a connection of its own.

A caller is an `asyncio.Protocol` that writes its next request from the callback that ends the last answer: no task, no
future and no timer per request. Every request names a buyer and an idempotency key of its own. Latency counts from the
write of a request to the last byte of its answer. Whoever is refused, or gets no answer, asks again after 50 ms.

Closed loop: what is slow is asked less often, so these latencies are those of N callers who wait, not of a crowd that
comes whatever happens (for that: `taquilla load --rate`).

Not here: what is measured (`meshes.py`), in which order, and how it is told (`mesh.py`).
"""

import asyncio
import json
import math
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import httptools

ANSWER_LIMIT_S: Final = 15.0
"""Longest wait for the answers that are still out when the time is up, seconds."""

EVENT: Final = "festival-01"
PATH: Final = "/api/reserve"

_SPREAD: Final = (
    2_654_435_761  # odd, near 2**32 / golden ratio: no two buyers alike, and no order among them
)
_AGAIN_S: Final = 0.05  # a server that refuses must not be asked again in a tight loop
_MOST_OF_A_PROBLEM: Final = 4096  # bytes of a refusal that are read for its code

_clock: Final = time.perf_counter


@dataclass(slots=True)
class Load:
    """What a stretch of load came to.

    Attributes:
        flows: Answers 200 within the stretch.
        all_flows: Answers 200 from the first request to the last answer, warming up included.
        seconds: Length of the stretch.
        latencies_s: Of `flows`, sorted.
        errors: Everything but 200 from the first request to the last answer, by "status code"; status 0 is no answer.
        own_cpu_s: CPU time of the generator's process in the stretch, seconds.
    """

    flows: int = 0
    all_flows: int = 0
    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    own_cpu_s: float = 0.0

    @property
    def per_s(self) -> float:
        """Flows per second."""
        return self.flows / self.seconds

    def percentile_ms(self, share: float) -> float:
        """Latency of the flows, nearest rank, milliseconds; NaN of none."""
        if not self.latencies_s:
            return math.nan
        return self.latencies_s[max(0, math.ceil(share * len(self.latencies_s)) - 1)] * 1e3


class _Run:
    """What the callers of one stretch share. Touched from the event loop's callbacks only."""

    def __init__(self, port: int, events: Sequence[str] = (EVENT,), last: int = 0) -> None:
        self.load = Load()
        self.counting = False
        self.over = False
        # When the `last`-th 200 came in, which ends the run; 0.0 if that is not what ends it, or it never came.
        self.ended_s = 0.0
        self._last = last
        # Fixed width throughout, so that every request has the same length.
        run = secrets.token_hex(4)
        body = f'{{"user_id":"b-%08x-{run}","event_id":"%b","quantity":1}}'
        self._events = [event.encode() for event in events]
        length = len(body.encode() % (0, self._events[0]))
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: k-%08x-{run}\r\nContent-Length: {length}\r\n\r\n"
        )
        self._request = (head + body).encode()
        self._number = 0

    def next_request(self) -> bytes:
        """The next buyer's request."""
        self._number += 1
        event = self._events[self._number % len(self._events)]
        name = self._number * _SPREAD % 2**32
        return self._request % (name, name, event)

    def answered(self, status: int, latency_s: float, problem: bytes) -> None:
        """Count one answer."""
        load = self.load
        if status != 200:
            load.errors[f"{status} {_code(problem)}".strip()] += 1
            return
        load.all_flows += 1
        if load.all_flows == self._last:
            self.ended_s, self.over = _clock(), True
        if self.counting:
            load.flows += 1
            load.latencies_s.append(latency_s)

    def failed(self, why: str) -> None:
        """Count a request without an answer, or a connection that could not be made."""
        self.load.errors[f"0 {why}"] += 1


class _Caller(asyncio.Protocol):
    """One connection, one request at a time, until the run is over or the server hangs up."""

    def __init__(self, loop: asyncio.AbstractEventLoop, run: _Run) -> None:
        # Done when the connection has ended: whether a request was left without an answer.
        self.gone: asyncio.Future[bool] = loop.create_future()
        self._loop = loop
        self._run = run
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        # Of the request that is out; None between two.
        self._began_s: float | None = None
        self._problem = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._ask()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(f"malformed answer: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("" if exc is None else type(exc).__name__)

    # Called by the parser, from within `feed_data`.
    def on_body(self, body: bytes) -> None:
        """Keep what a refusal says."""
        if self._parser.get_status_code() != 200 and len(self._problem) < _MOST_OF_A_PROBLEM:
            self._problem += body

    def on_message_complete(self) -> None:
        """Count the answer and ask for the next."""
        status = self._parser.get_status_code()
        if status < 200 or self._began_s is None:  # 100 Continue is none
            return
        latency_s = _clock() - self._began_s
        self._began_s = None
        self._run.answered(status, latency_s, bytes(self._problem))
        self._problem.clear()
        if not self._parser.should_keep_alive():
            self._end("")
        elif status == 200:
            self._ask()
        else:
            self._loop.call_later(_AGAIN_S, self._ask)

    def _ask(self) -> None:
        assert self._transport is not None
        if self._run.over or self._transport.is_closing():
            self._end("")
            return
        self._began_s = _clock()
        self._transport.write(self._run.next_request())

    def _end(self, why: str) -> None:
        unanswered = self._began_s is not None
        if unanswered:
            self._began_s = None
            self._run.failed(why or "closed without an answer")
        if self._transport is not None:
            self._transport.abort()
        if not self.gone.done():
            self.gone.set_result(unanswered)


async def closed_loop(
    port: int, callers: int, seconds: float, warm_up_s: float, events: Sequence[str] = (EVENT,)
) -> Load:
    """Let `callers` reserve at a gateway on this machine, as fast as it answers them.

    Args:
        port: The gateway's.
        callers: How many at once.
        seconds: Length of the stretch that counts.
        warm_up_s: Seconds of the same load before it.
        events: What they want, in turn; ids of one length.
    """
    run = _Run(port, events)
    tasks = _callers(run, port, callers)
    await asyncio.sleep(warm_up_s)
    run.counting = True
    began_s, cpu_s = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    load = run.load
    load.seconds = time.perf_counter() - began_s
    load.own_cpu_s = time.process_time() - cpu_s
    run.counting, run.over = False, True
    return await _last_answers(run, tasks)


async def first_flows(port: int, callers: int, flows: int, event: str = EVENT) -> Load:
    """Let `callers` reserve until `flows` of them have succeeded; who was asking meanwhile still hears an answer.

    `Load.seconds` goes from the first request to the last of those successes; NaN if there were fewer.
    """
    run = _Run(port, (event,), flows)
    began_s = _clock()
    load = await _last_answers(run, _callers(run, port, callers))
    load.flows = load.all_flows
    load.seconds = run.ended_s - began_s if run.ended_s else math.nan
    return load


def _callers(run: _Run, port: int, callers: int) -> list[asyncio.Task[None]]:
    loop = asyncio.get_running_loop()
    return [asyncio.create_task(_keep_calling(loop, run, port)) for _ in range(callers)]


async def _last_answers(run: _Run, tasks: Sequence[asyncio.Task[None]]) -> Load:
    """Wait for the answers that are still out."""
    load = run.load
    _, late = await asyncio.wait(tasks, timeout=ANSWER_LIMIT_S)
    run.load, run.over = Load(), True  # what comes of hanging up on the late is nobody's figure
    if late:
        load.errors[f"0 no answer in {ANSWER_LIMIT_S:.0f} s"] += len(late)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    load.latencies_s.sort()
    return load


async def one_flow(port: int) -> bool:
    """A single reservation; whether it was answered 200."""
    loop, run = asyncio.get_running_loop(), _Run(port)
    transport, caller = await loop.create_connection(lambda: _Caller(loop, run), "127.0.0.1", port)
    run.over = True
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            await caller.gone
    finally:
        transport.abort()
    return run.load.all_flows == 1


async def _keep_calling(loop: asyncio.AbstractEventLoop, run: _Run, port: int) -> None:
    """A caller who comes back when a connection ends."""
    while not run.over:
        try:
            transport, caller = await loop.create_connection(
                lambda: _Caller(loop, run), "127.0.0.1", port
            )
        except OSError as error:
            run.failed(type(error).__name__)
            await asyncio.sleep(_AGAIN_S)
            continue
        try:
            unanswered = await caller.gone
        finally:
            transport.abort()
        if unanswered:
            await asyncio.sleep(_AGAIN_S)


def _code(problem: bytes) -> str:
    """`code` of a problem, or `status` of an answer that is still open."""
    try:
        said = json.loads(problem)
    except ValueError:
        return ""
    return str(said.get("code") or said.get("status") or "") if isinstance(said, dict) else ""
