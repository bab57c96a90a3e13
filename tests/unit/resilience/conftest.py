"""Every test of this folder runs on virtual time: a loop whose waits take none."""

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
