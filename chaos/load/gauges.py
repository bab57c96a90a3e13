"""What the services say of themselves while they are flooded (`/readyz?verbose=1`): limit, in flight, breakers."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from chaos.load.wire import Answer, Client
from chaos.ports import LOOPBACK

ASKED: Final = ("gateway", "reservations")
"""Services that call others, and so have breakers."""

_LIMIT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look.

    Attributes:
        at_s: Seconds after the beginning.
        limit: The gateway's in-flight limit; None if it did not say.
        in_flight: How much of it is taken.
        breakers: Phase of each breaker (closed, open, half_open), by "service→edge".
    """

    at_s: float
    limit: float | None
    in_flight: int | None
    breakers: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


class Gauges:
    """Looks at the services of a mesh; `close` it.

    Args:
        ports: Local port by service.
        clock: Monotonic seconds.
        token: The operator's, which a shop demands.
    """

    def __init__(
        self, ports: Mapping[str, int], clock: Callable[[], float], token: str | None
    ) -> None:
        lines = ["GET /readyz?verbose=1 HTTP/1.1", f"Host: {LOOPBACK}", "Content-Length: 0"]
        lines += [f"Authorization: Bearer {token}"] if token else []
        self._request = "\r\n".join([*lines, "", ""]).encode()
        self._clients = {
            service: Client(LOOPBACK, ports[service], clock, _LIMIT_S)
            for service in ASKED
            if service in ports
        }

    async def look(self, at_s: float) -> Sample:
        """Ask all of them at once; who does not answer in 2 s is left out."""
        found = await asyncio.gather(*(self._live(one) for one in self._clients.values()))
        live = dict(zip(self._clients, found, strict=True))
        shield = live.get("gateway", {}).get("shield", {})
        breakers = {
            f"{service}→{edge}": phase
            for service, values in live.items()
            for edge, phase in _phases(values.get("edges", {}))
        }
        return Sample(at_s, shield.get("limit"), shield.get("in_flight"), breakers)

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()

    async def _live(self, client: Client) -> dict[str, Any]:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        # Who looks may be gone before the answer comes.
        client.send(self._request, lambda told: None if answer.done() else answer.set_result(told))
        try:
            live = json.loads((await answer).body)["live"]
        except (ValueError, KeyError, TypeError):
            return {}
        return live if isinstance(live, dict) else {}


_WORST: Final = ("open", "half_open", "closed")


def _phases(edges: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each edge with a breaker, and the worst phase of its hosts."""
    for edge, hosts in edges.items():
        phases = {phase for host in hosts.values() for phase in _all_phases(host)}
        for phase in _WORST:
            if phase in phases:
                yield edge, phase
                break


def _all_phases(state: Mapping[str, Any]) -> Iterator[str]:
    if "breaker" in state:
        yield state["breaker"]["phase"]
    for host in state.get("hosts", {}).values():
        yield from _all_phases(host)
