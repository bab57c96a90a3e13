"""The network between simulated hosts. Its unit is one HTTP exchange, its faults are the phases of one.

Faults are per direction and drawn from a stream per directed link, always in the same number, so that leaving out one
fault or one party's traffic changes nobody else's luck. What a caller sees is what httpx shows: refused
(`ConnectError`, never sent), broken (`ReadError`), closed without an answer (`RemoteProtocolError`), or silence until
its own patience ends.
"""

import asyncio
import random
import re
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import httpx

from chaos.simulate.loop import PROCESS, Process, SimulationLoop
from chaos.simulate.server import Server
from chaos.simulate.tally import Tally
from chaos.simulate.trace import Kind, Trace

_DRAWS: Final = 10
"""Draws per exchange, used or not."""

_TURNED_AWAY: Final = frozenset({b"x-shed", b"x-deadline-expired"})
"""Headers that say: not even looked at."""

_VARIABLE: Final = re.compile(r"/[^/]*\d[^/]*")


@dataclass(slots=True)
class LinkFaults:
    """How a link is. Probabilities per exchange.

    Attributes:
        latency_s: Mean one-way time.
        slow: Of the request, and of the answer, taking up to `slow_max_s` more.
        slow_max_s: Seconds.
        drop: Of a request that never arrives.
        reset: Of a connection that breaks before the request arrives.
        duplicate: Of a request that arrives once more, up to `duplicate_max_s` after its answer.
        duplicate_max_s: Seconds.
        lost_reply: Of an executed request whose answer never arrives.
        reset_reply: Of an executed request whose connection breaks instead.
        hang_up: Of a connection that breaks while the callee is at work, whose server then gives up on the request.
    """

    latency_s: float = 0.004
    slow: float = 0.0
    slow_max_s: float = 4.0
    drop: float = 0.0
    reset: float = 0.0
    duplicate: float = 0.0
    duplicate_max_s: float = 6.0
    lost_reply: float = 0.0
    reset_reply: float = 0.0
    hang_up: float = 0.0


FAULTS: Final = ("slow", "drop", "reset", "duplicate", "lost_reply", "reset_reply", "hang_up")
"""The kinds of link faults."""


@dataclass(slots=True, eq=False)
class Exchange:
    """One request on its way and back.

    Attributes:
        number: In order of sending, over all links; of a duplicate, that of its original.
        source: Host of the caller.
        target: Host of the callee.
        caller: Process of the caller; None for a buyer.
        request: As sent.
        body: Its content.
        path: Of the request.
        label: `caller → callee path`, ids left out.
        answer: What the caller waits for; None of a duplicate, for which nobody waits.
        back_s: How long the answer will take.
        fate: What becomes of the answer: "", "lost_reply", "reset_reply".
        again_in_s: When after its answer it arrives once more; never if None.
    """

    number: int
    source: str
    target: str
    caller: Process | None
    request: httpx.Request
    body: bytes
    path: str
    label: str
    answer: "asyncio.Future[httpx.Response] | None"
    back_s: float = 0.0
    fate: str = ""
    again_in_s: float | None = None


class Network:
    """All links.

    Args:
        loop: The run's.
        seed: Names every draw.
        tally: Counts what took effect.
        trace: Told of every message.
        muted: Single faults left out, by the names in `struck`: for shrinking.
        once: Callers whose requests are never duplicated: whatever a journal does not know of, it cannot judge.

    Attributes:
        faults: How links are that are not in `sick`.
        sick: Links that are worse for a while, by (from, to).
        cut: Directed links over which nothing passes.
        servers: Who listens where.
        kill_at_call: By caller's host: the how many-eth call from now kills it, before or after.
        struck: Names of the faults that struck single exchanges.
        reached: Told of every request that reaches a listening process.
        answered: Told of every answer, whether or not it will arrive.
        quiet_at_s: When the last request that is on its way arrives.
        servers_give_up: Whether a request is cancelled when its caller has gone, as some servers do.
    """

    def __init__(
        self,
        loop: SimulationLoop,
        *,
        seed: int,
        tally: Tally,
        trace: Trace | None = None,
        muted: frozenset[str] = frozenset(),
        once: frozenset[str] = frozenset(),
    ) -> None:
        self.faults = LinkFaults()
        self.sick: dict[tuple[str, str], LinkFaults] = {}
        self.cut: set[tuple[str, str]] = set()
        self.servers: dict[str, Server] = {}
        self.kill_at_call: dict[str, tuple[int, str]] = {}
        self.struck: list[str] = []
        self.reached: Callable[[Exchange], None] = lambda _exchange: None
        self.answered: Callable[[Exchange, int, bytes], None] = lambda _exchange, _status, _body: (
            None
        )
        self.quiet_at_s = 0.0
        self.servers_give_up = False
        self._loop = loop
        self._seed = seed
        self._tally = tally
        self._trace = trace
        self._muted = muted
        self._once = once
        self._links: dict[tuple[str, str], random.Random] = {}
        self._sent: dict[tuple[str, str], int] = {}
        self._number = 0
        self._outside = Context()

    def later(self, delay_s: float, do: Any, *args: Any) -> asyncio.TimerHandle:
        """Something that no process does."""
        return self._loop.call_later(delay_s, do, *args, context=self._outside)

    def send(self, source: str, request: httpx.Request, body: bytes) -> Any:
        """Put a request on its way; `answer` of what comes back is a future."""
        target, path = request.url.host, request.url.path
        self._number += 1
        exchange = Exchange(
            self._number,
            source,
            target,
            PROCESS.get(),
            request,
            body,
            path,
            f"{source} → {target} {_route(path)}",
            self._loop.create_future(),
        )
        self._tally.calls[exchange.label] += 1
        if self._trace is not None:
            self._note("send", exchange, f"{request.method} {path}", body.decode())
        if self._kills(exchange, "before"):
            return exchange
        if (limit_s := request.extensions.get("timeout", {}).get("read")) is not None:
            self.later(limit_s, self._break, exchange, httpx.ReadTimeout, "no answer in time")
        self._dispatch(exchange)
        return exchange

    def _dispatch(self, exchange: Exchange) -> None:
        link = (exchange.source, exchange.target)
        faults = self.sick.get(link, self.faults)
        chance = self._chance(link)
        out, back, spike_out, spike_back, first, last, copy, copy_at, cut, cut_at = (
            chance.random() for _ in range(_DRAWS)
        )
        self._sent[link] = count = self._sent.get(link, 0) + 1
        out_s = self._one_way_s(exchange, count, faults, out, spike_out)
        exchange.back_s = self._one_way_s(exchange, count, faults, back, spike_back)
        if link in self.cut:
            self._tally.faults["partition"] += 1
            self._note("lost", exchange, "partition")
            return
        if first < faults.drop and self._strikes("drop", exchange, count):
            return
        if faults.drop <= first < faults.drop + faults.reset and self._strikes(
            "reset", exchange, count
        ):
            self.later(out_s, self._break, exchange, httpx.ReadError, "connection reset")
            return
        if last < faults.lost_reply:
            exchange.fate = "lost_reply" if self._named("lost_reply", exchange, count) else ""
        elif last < faults.lost_reply + faults.reset_reply:
            exchange.fate = "reset_reply" if self._named("reset_reply", exchange, count) else ""
        if (
            copy < faults.duplicate
            and exchange.source not in self._once
            and self._named("duplicate", exchange, count)
        ):
            exchange.again_in_s = copy_at * faults.duplicate_max_s
        self._arrives(out_s, exchange)
        if cut < faults.hang_up and self._strikes("hang_up", exchange, count):
            self.later(out_s + cut_at**3, self._hang_up, exchange)

    def reply(
        self, exchange: Exchange, status: int, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> None:
        """The callee has answered."""
        if self._trace is not None:
            copy = " to the copy" if exchange.answer is None else ""
            self._note("reply", exchange, f"{status}{copy}", body.decode(errors="replace"))
        self.answered(exchange, status, body)
        if not any(name in _TURNED_AWAY for name, _ in headers):
            self._once_more(exchange)
        if exchange.answer is None:
            return
        if exchange.fate == "lost_reply" or (exchange.target, exchange.source) in self.cut:
            self._tally.faults[exchange.fate or "partition"] += 1
            self._note("lost", exchange, f"answer lost: {exchange.fate or 'partition'}")
            return
        if exchange.fate == "reset_reply":
            self._tally.faults["reset_reply"] += 1
            self.later(
                exchange.back_s,
                self._break,
                exchange,
                httpx.RemoteProtocolError,
                "closed without an answer",
            )
            return
        self.later(exchange.back_s, self._deliver, exchange, status, headers, body)

    def forget(self, exchange: Exchange) -> None:
        """The caller waits no longer; some servers give up on a request whose caller has gone."""
        self._note("broken", exchange, "the caller waits no longer")
        if self.servers_give_up:
            self.later(exchange.back_s, self._give_up, exchange)

    def _give_up(self, exchange: Exchange) -> None:
        server = self.servers.get(exchange.target)
        if server is not None:
            server.give_up(exchange)

    def _hang_up(self, exchange: Exchange) -> None:
        self._break(exchange, httpx.ReadError, "connection reset")
        self._give_up(exchange)

    def dies(self, exchange: Exchange) -> None:
        """The callee's process has died: its kernel closes the connection, as far as that can be heard."""
        self._once_more(exchange)
        if exchange.fate == "" and (exchange.target, exchange.source) not in self.cut:
            self.later(exchange.back_s, self._break, exchange, httpx.ReadError, "callee died")

    def _arrives(self, after_s: float, exchange: Exchange) -> asyncio.TimerHandle:
        self.quiet_at_s = max(self.quiet_at_s, self._loop.now_s + after_s)
        return self.later(after_s, self._arrive, exchange)

    def _arrive(self, exchange: Exchange) -> None:
        if (exchange.source, exchange.target) in self.cut:
            self._note("lost", exchange, "partition")
            return
        server = self.servers.get(exchange.target)
        if server is None or not server.listening:
            self._note("refused", exchange, "nobody listens")
            self._tally.faults["connection refused"] += 1
            self.later(exchange.back_s, self._break, exchange, httpx.ConnectError, "refused")
            return
        if exchange.answer is None:
            self._tally.faults["duplicate"] += 1
        self._note("arrive", exchange, "once more" if exchange.answer is None else "")
        self.reached(exchange)
        server.serve(exchange, self)

    def _once_more(self, exchange: Exchange) -> None:
        """Who sends a copy has seen no answer: it comes after that, and not if nobody looked at the first."""
        if exchange.again_in_s is not None:
            copy = replace(exchange, answer=None, again_in_s=None)
            self._arrives(exchange.again_in_s, copy)

    def _deliver(
        self, exchange: Exchange, status: int, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> None:
        answer = exchange.answer
        if answer is None or answer.done() or self._kills(exchange, "after"):
            return
        self._note("answer", exchange, str(status))
        answer.set_result(
            httpx.Response(status, headers=headers, content=body, request=exchange.request)
        )

    def _break(self, exchange: Exchange, error: type[httpx.RequestError], why: str) -> None:
        if exchange.answer is not None and not exchange.answer.done():
            self._note("broken", exchange, f"{error.__name__}: {why}")
            exchange.answer.set_exception(error(f"{why} (simulated)", request=exchange.request))

    def _kills(self, exchange: Exchange, moment: str) -> bool:
        waiting = self.kill_at_call.get(exchange.source)
        if waiting is None or waiting[1] != moment or exchange.caller is None:
            return False
        left = waiting[0] - 1
        if left > 0:
            self.kill_at_call[exchange.source] = (left, moment)
            return False
        del self.kill_at_call[exchange.source]
        self._tally.killed[f"{moment} {exchange.label}"] += 1
        exchange.caller.die(f"{moment} a call to {exchange.target}")
        return True

    def _one_way_s(
        self, exchange: Exchange, count: int, faults: LinkFaults, draw: float, spike: float
    ) -> float:
        took_s = faults.latency_s * (0.25 + 1.5 * draw)
        if spike < faults.slow and self._strikes("slow", exchange, count):
            took_s += spike / faults.slow * faults.slow_max_s
        return took_s

    def _strikes(self, kind: str, exchange: Exchange, count: int) -> bool:
        if not self._named(kind, exchange, count):
            return False
        self._tally.faults[kind] += 1
        if kind != "slow":
            self._note("lost" if kind == "drop" else "fault", exchange, kind)
        return True

    def _named(self, kind: str, exchange: Exchange, count: int) -> bool:
        name = f"{exchange.source}→{exchange.target} {count} {kind}"
        if name in self._muted or kind in self._muted:
            return False
        self.struck.append(name)
        return True

    def _chance(self, link: tuple[str, str]) -> random.Random:
        chance = self._links.get(link)
        if chance is None:
            name = f"link:{self._seed}:{link[0]}→{link[1]}"
            chance = self._links[link] = random.Random(name)
        return chance

    def _note(self, kind: Kind, exchange: Exchange, what: str, detail: str = "") -> None:
        if self._trace is not None:
            self._trace.note(
                self._loop.now_s,
                kind,
                exchange.source,
                what,
                whom=exchange.target,
                number=exchange.number,
                detail=detail,
            )


@cache
def _route(path: str) -> str:
    return _VARIABLE.sub("/*", path)


class Wire(httpx.AsyncBaseTransport):
    """What a service gets as its transport.

    Args:
        network: The links.
        source: Host of the caller.
    """

    def __init__(self, network: Network, source: str) -> None:
        self._network = network
        self._source = source

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As httpx's.

        Raises:
            httpx.TransportError: What became of it instead of an answer.
        """
        body = await request.aread()
        exchange = self._network.send(self._source, request, body)
        try:
            answer: httpx.Response = await exchange.answer
        except asyncio.CancelledError:
            self._network.forget(exchange)
            raise
        return answer
