"""Unit tests run on virtual time, except those that start real processes or open real sockets."""

import asyncio

from resilience.testing import VirtualTimeLoop

REAL = {"chaos"}


def pytest_asyncio_loop_factories(config, item):
    if item.path.parent.name in REAL:
        return {"real": asyncio.SelectorEventLoop}
    return {"virtual": VirtualTimeLoop}
