"""Real sockets, so real time: every test runs on asyncio's loop and on uvloop's, with stock httpx and our own wire."""

import asyncio
import random
from contextlib import asynccontextmanager

import httpx
import pytest
import uvloop

from tests.unit.chassis.wire.far_end import KINDS, FarEnd


def pytest_asyncio_loop_factories(config, item):
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    """The transport under test."""
    return request.param


@pytest.fixture
def rng() -> random.Random:
    return random.Random(20)


@pytest.fixture
async def far():
    """A far end that does what its script says."""
    found = FarEnd()
    async with found.listening():
        yield found


@pytest.fixture
def open_wire(kind):
    """`async with open_wire(connections=2) as wire`: a transport of the kind under test."""

    @asynccontextmanager
    async def opener(**how: object):
        wire: httpx.AsyncBaseTransport = KINDS[kind](**how)
        try:
            yield wire
        finally:
            await wire.aclose()

    return opener
