"""Every test of this folder runs on virtual time: a loop whose waits take none."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

import httpx
import pytest

from resilience import Policy, ResilientTransport, Runtime
from resilience.testing import (
    CapturedEvents,
    Script,
    VirtualTimeLoop,
    capture_events,
    virtual_runtime,
)


class Replicas(httpx.AsyncBaseTransport):
    """Scripted callees a, b and c, at 10.0.0.1 to 10.0.0.3: `Replicas(a=200, b=After(0.1, 503))`."""

    def __init__(self, **steps: object) -> None:
        self._scripts = {name: Script(step) for name, step in steps.items()}
        self.seen: list[str] = []
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        name = "abc"[int(request.url.host[-1]) - 1]
        self.seen.append(name)
        self.requests.append(request)
        return await self._scripts[name].handle_async_request(request)

    def now_plays(self, name: str, *steps: object) -> None:
        self._scripts[name] = Script(*steps)
        self.seen.clear()


def pytest_asyncio_loop_factories(config, item):
    return {"virtual": VirtualTimeLoop}


@pytest.fixture
def runtime() -> Runtime:
    return virtual_runtime(seed=7)


@pytest.fixture
def events() -> CapturedEvents:
    return capture_events()


@pytest.fixture
def open_client(runtime, events):
    """A real client over a scripted callee: `async with open_client(policy, *steps)`."""

    @asynccontextmanager
    async def opener(policy: Policy, *steps: object):
        callee = Script(*steps)
        transport = ResilientTransport(policy, callee, runtime=runtime, on_event=[events])
        async with httpx.AsyncClient(transport=transport) as http:
            yield http, callee
        assert callee.closed

    return opener


@pytest.fixture
def replicas():
    return Replicas


@pytest.fixture
def open_mesh(runtime, events):
    """A client of "stock" with several addresses: `async with open_mesh(policy, replicas(…))`."""

    @asynccontextmanager
    async def opener(policy: Policy, callees: Replicas, hosts: str = "ab"):
        addresses = [f"http://10.0.0.{'abc'.index(name) + 1}:5002" for name in hosts]
        transport = ResilientTransport(
            policy, callees, name="stock", hosts=addresses, runtime=runtime, on_event=[events]
        )
        async with httpx.AsyncClient(transport=transport, base_url="http://stock") as http:
            yield http

    return opener


@pytest.fixture
def ask():
    """Asks some times and counts the outcomes, a status or the name of an error."""

    async def asker(http: httpx.AsyncClient, times: int = 1, every_s: float = 0.0) -> Counter:
        outcomes: Counter = Counter()
        for _ in range(times):
            try:
                outcomes[(await http.get("/seats")).status_code] += 1
            except httpx.TransportError as exc:
                outcomes[type(exc).__name__] += 1
            await asyncio.sleep(every_s)
        return outcomes

    return asker
