"""The five services as the page and the lab see them: what they say of themselves, faults, API documents.

Every call here is a question that changes nothing, or a fault switch; one attempt each, short, so that a broken
service never delays the picture of the others.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import httpx

from chassis.clients import Edge, InDoubt, NotSent, Upstream
from chassis.errors import BadUpstream, NotFound
from gateway.errors import UNREACHABLE, MeshBusy
from resilience import Limit, Policy

SERVICES: Final = ("gateway", "reservations", "inventory", "payments", "notifications")
"""The mesh, in the order of its ports."""

PROBE: Final = Policy(attempt_s=0.4)
SWITCH: Final = Policy(attempt_s=2.0)
RELAY: Final = Policy(attempt_s=30.0, limit=Limit(fixed=16))

Own = Callable[[], Awaitable[dict[str, Any]]]


class Mesh:
    """Questions to all services at once.

    Args:
        upstreams: By service name; the gateway itself only in lab mode.
        own: This gateway's readiness, as its `/readyz?verbose=1` would say it.
        token: Bearer token of the fault switches, if there is one.
    """

    def __init__(self, upstreams: Mapping[str, Upstream], own: Own, token: str | None) -> None:
        def looking(name: str, policy: Policy) -> dict[str, Edge]:
            return {to: up.edge(name, policy, works=False) for to, up in upstreams.items()}

        self._probes = looking("probe", PROBE)
        self._switches = looking("switch", SWITCH)
        self._relays = looking("relay", RELAY)
        self._own = own
        self._auth = {"authorization": f"Bearer {token}"} if token else {}
        # Last API document of each service, for when it is down. Written by `document` only.
        self._documents: dict[str, dict[str, Any]] = {}

    async def reports(self) -> dict[str, dict[str, Any] | None]:
        """What the readiness of all five says, by service; None of one that does not answer."""
        found = await asyncio.gather(*(self._report(name) for name in SERVICES))
        return dict(zip(SERVICES, found, strict=True))

    async def events(self) -> list[Any] | None:
        """Inventory's events right now, None when it does not say."""
        answer = await self._ask(self._probes["inventory"], "/events")
        found = None if answer is None else _object(answer).get("events")
        return found if isinstance(found, list) else None

    async def faults(self) -> list[dict[str, Any]]:
        """`{"service", "reachable", "faults"}` of every service that has an upstream."""
        return list(
            await asyncio.gather(
                *(self._faults(name, "GET", self._probes) for name in self._probes)
            )
        )

    async def all_off(self) -> list[dict[str, Any]]:
        """Switch every fault off; services that could not be told are `reachable: false`."""
        return list(
            await asyncio.gather(
                *(self._faults(name, "DELETE", self._switches) for name in self._switches)
            )
        )

    async def switch(self, service: str, fault: str, order: Mapping[str, Any]) -> httpx.Response:
        """Switch one fault; the service's own answer.

        Raises:
            NotFound: No such service.
            Unreachable: It does not answer.
        """
        edge = self._known(self._switches, service)
        return await self._or_unreachable(
            service, edge.send("POST", f"/chaos/{fault}", json=order, headers=self._auth)
        )

    async def document(self, service: str) -> dict[str, Any]:
        """The service's OpenAPI document, the last one known when it is down.

        Raises:
            NotFound: No such service.
            Unreachable: It is down and was never seen.
        """
        answer = await self._ask(self._known(self._probes, service), "/openapi.json")
        found = {} if answer is None else _object(answer)
        if "paths" in found:
            self._documents[service] = found
        elif service not in self._documents:
            raise UNREACHABLE.get(service, BadUpstream)
        return self._documents[service]

    async def relay(
        self, service: str, request: tuple[str, str, bytes], headers: Mapping[str, str]
    ) -> httpx.Response:
        """Pass a (method, path with query, body) on to a service and return its answer.

        Raises:
            NotFound: No such service.
            Unreachable: It does not answer.
        """
        method, path, body = request
        edge = self._known(self._relays, service)
        return await self._or_unreachable(
            service, edge.send(method, path, content=body, headers=headers)
        )

    async def _report(self, service: str) -> dict[str, Any] | None:
        if service == "gateway":
            return await self._own()
        answer = await self._ask(self._probes[service], "/readyz?verbose=1")
        return None if answer is None else _object(answer)

    async def _faults(self, service: str, method: str, edges: Mapping[str, Edge]) -> dict[str, Any]:
        answer = await self._ask(edges[service], "/chaos", method)
        found = None if answer is None else _object(answer).get("faults")
        known = isinstance(found, list)
        return {"service": service, "reachable": known, "faults": found if known else []}

    async def _ask(self, edge: Edge, path: str, method: str = "GET") -> httpx.Response | None:
        headers = self._auth if path == "/chaos" else {}
        try:
            return await edge.send(method, path, headers=headers)
        except (NotSent, InDoubt):
            return None

    @staticmethod
    def _known(edges: Mapping[str, Edge], service: str) -> Edge:
        if service not in edges:
            raise NotFound
        return edges[service]

    @staticmethod
    async def _or_unreachable(service: str, call: Awaitable[httpx.Response]) -> httpx.Response:
        try:
            return await call
        except (NotSent, InDoubt):
            raise UNREACHABLE.get(service, MeshBusy) from None


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = json.loads(answer.content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
