"""A crowd that comes whatever happens: Poisson arrivals over many kept connections, latency from the intended start.

Arrivals do not wait for answers, so a server that is slow gets no rest, and what a buyer would have waited before the
generator got round to them counts (no coordinated omission). Whoever has no answer after `PATIENCE_S` hangs up. Next to
a connection that is free, the one that was free the longest is used; if none is, a new one is opened.

One process on one core; `own_core` and `late_ms` say whether it was fast enough to be believed.

Not here: callers who wait for each other (`loadgen.py`); what is flooded (`flood.py`).
"""

import asyncio
import contextlib
import math
import random
import resource
import socket
import struct
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final, cast

import httptools

PATIENCE_S: Final = 1.0
"""How long a buyer waits for an answer, seconds."""

SLO_S: Final = 0.25
"""What counts as a good answer, seconds."""

CONNECTIONS: Final = 1200
"""How many are open before the first arrival."""

PATH: Final = "/api/reserve"

_BODY: Final = b'{"user_id":"ana","event_id":"festival-01","quantity":1}'
_MOST_CONNECTIONS: Final = 8000
_OPENED_AT_ONCE: Final = 100
_REFUSALS: Final = (429, 503)
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: no port is left waiting

_clock: Final = time.perf_counter


@dataclass(slots=True)
class Crowd:
    """What one crowd came to; all counts are of those who were due within the stretch.

    Attributes:
        seconds: Length of the stretch.
        offered: How many came.
        good: Answers 200 within `SLO_S`.
        ok_s: Latencies of all answers 200, sorted.
        refused_s: Latencies of all answers 429 and 503, sorted.
        others: Everything else, by what it was: a status, or why there was none.
        late_s: How long after their time the requests were sent, sorted.
        own_core: Share of a core that the generator took.
    """

    seconds: float = 0.0
    offered: int = 0
    good: int = 0
    ok_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    late_s: list[float] = field(default_factory=list)
    own_core: float = 0.0

    @property
    def is_doubtful(self) -> bool:
        """Whether the generator itself may have been what was slow."""
        return self.own_core > 0.85 or at_ms(self.late_s, 0.99) > 50


def at_ms(sorted_s: list[float], share: float) -> float:
    """Latency that this share does not exceed, nearest rank, ms; NaN of none."""
    if not sorted_s:
        return math.nan
    return sorted_s[max(0, math.ceil(share * len(sorted_s)) - 1)] * 1e3


async def flood(port: int, rate_per_s: float, seconds: float, warm_up_s: float) -> Crowd:
    """Let a crowd come to a server on this machine.

    Args:
        port: The server's.
        rate_per_s: Mean of the arrivals.
        seconds: Length of the stretch that counts.
        warm_up_s: Seconds of the same crowd before it.
    """
    _raise_open_files()
    return await _Run(port, rate_per_s).run(seconds, warm_up_s)


class _Run:
    """The arrivals and their connections. Touched from the event loop's callbacks only."""

    def __init__(self, port: int, rate_per_s: float) -> None:
        self._port = port
        self._rate_per_s = rate_per_s
        self._random = random.Random(42)
        self._loop = asyncio.get_running_loop()
        self.request = (
            f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(_BODY)}\r\n\r\n"
        ).encode() + _BODY
        self._crowd = Crowd()
        self._window_s = (math.inf, math.inf)
        self._ends_s = math.inf
        self._next_s = 0.0
        self._idle: deque[_Buyer] = deque()
        # Those who wait for an answer, in the order in which they came.
        self._waiting: dict[_Buyer, float] = {}
        self._opening: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float, warm_up_s: float) -> Crowd:
        """Open the connections, let them come, wait for the last."""
        while len(self._idle) < CONNECTIONS:
            await asyncio.gather(*(self._connect(None) for _ in range(_OPENED_AT_ONCE)))
        begin_s = self._next_s = _clock()
        self._window_s = (begin_s + warm_up_s, begin_s + warm_up_s + seconds)
        self._ends_s = self._window_s[1]
        self._tick()
        await asyncio.sleep(warm_up_s)
        began_s, cpu_s = _clock(), time.process_time()
        await asyncio.sleep(seconds)
        crowd = self._crowd
        crowd.own_core = (time.process_time() - cpu_s) / (_clock() - began_s)
        crowd.seconds = seconds
        end_s = _clock() + PATIENCE_S + 0.2
        while (self._waiting or self._opening) and _clock() < end_s:
            await asyncio.sleep(0.02)
            self._lose_patience(_clock())
        for task in self._opening:
            task.cancel()
        for buyer in (*self._idle, *self._waiting):
            buyer.hang_up()
        for latencies_s in (crowd.ok_s, crowd.refused_s, crowd.late_s):
            latencies_s.sort()
        return crowd

    def answered(self, buyer: "_Buyer", status: int, *, keeps: bool) -> None:
        """Somebody has an answer."""
        due_s = self._waiting.pop(buyer)
        if keeps:
            self._idle.append(buyer)
        else:
            buyer.hang_up()
        if not self._counts(due_s):
            return
        latency_s, crowd = _clock() - due_s, self._crowd
        if status == 200:
            crowd.ok_s.append(latency_s)
            crowd.good += latency_s <= SLO_S
        elif status in _REFUSALS:
            crowd.refused_s.append(latency_s)
        else:
            crowd.others[str(status)] += 1

    def failed(self, buyer: "_Buyer", why: str) -> None:
        """A connection has ended; somebody may have waited on it."""
        due_s = self._waiting.pop(buyer, None)
        if due_s is not None:
            self._unanswered(due_s, why)

    def _tick(self) -> None:
        """Send off all who are due."""
        now = _clock()
        while self._next_s <= now and self._next_s < self._ends_s:
            self._arrive(self._next_s, now)
            self._next_s += self._random.expovariate(self._rate_per_s)
        self._lose_patience(now)
        if self._next_s < self._ends_s:
            self._loop.call_later(max(0.0, self._next_s - _clock()), self._tick)

    def _arrive(self, due_s: float, now: float) -> None:
        if self._counts(due_s):
            self._crowd.offered += 1
            self._crowd.late_s.append(now - due_s)
        while self._idle:
            buyer = self._idle.popleft()
            if buyer.is_open:
                self._waiting[buyer] = due_s
                buyer.ask()
                return
        if len(self._waiting) + len(self._opening) >= _MOST_CONNECTIONS:
            self._unanswered(due_s, "no connection free")
            return
        task = self._loop.create_task(self._connect(due_s))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, due_s: float | None) -> None:
        """A new connection; for somebody who is due, or to have it."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                _, buyer = await self._loop.create_connection(
                    lambda: _Buyer(self), "127.0.0.1", self._port
                )
        except OSError as error:  # TimeoutError is one
            if due_s is None:
                raise
            self._unanswered(due_s, f"connect: {type(error).__name__}")
            return
        if due_s is None:
            self._idle.append(buyer)
            return
        self._waiting[buyer] = due_s
        buyer.ask()

    def _lose_patience(self, now: float) -> None:
        # Who had to open a connection first is not quite in order; the next tick finds them.
        while self._waiting:
            buyer, due_s = next(iter(self._waiting.items()))
            if now - due_s < PATIENCE_S:
                return
            del self._waiting[buyer]
            self._unanswered(due_s, f"none in {PATIENCE_S:g} s")
            buyer.hang_up()

    def _unanswered(self, due_s: float, why: str) -> None:
        if self._counts(due_s):
            self._crowd.others[why] += 1

    def _counts(self, due_s: float) -> bool:
        return self._window_s[0] <= due_s < self._window_s[1]


class _Buyer(asyncio.Protocol):
    """One connection."""

    def __init__(self, run: _Run) -> None:
        self.is_open = False
        self._run = run
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._run.failed(self, f"malformed answer: {error}")
            self.hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._run.failed(self, "closed" if exc is None else type(exc).__name__)

    # Called by the parser, from within `feed_data`.
    def on_message_complete(self) -> None:
        """An answer."""
        if self.is_open:
            keeps = self._parser.should_keep_alive()
            self._run.answered(self, self._parser.get_status_code(), keeps=keeps)

    def ask(self) -> None:
        """Send the request."""
        assert self._transport is not None
        self._transport.write(self._run.request)

    def hang_up(self) -> None:
        """End the connection at once."""
        self.is_open = False
        if self._transport is None:
            return
        with contextlib.suppress(OSError):  # it may have ended already
            end = self._transport.get_extra_info("socket")
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()


def _raise_open_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
