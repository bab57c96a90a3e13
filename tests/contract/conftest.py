"""The mesh of test_api_page runs on virtual time; the rest on a real loop."""

import asyncio

from resilience.testing import VirtualTimeLoop


def pytest_asyncio_loop_factories(config, item):
    if item.path.stem == "test_api_page":
        return {"virtual": VirtualTimeLoop}
    return {"real": asyncio.SelectorEventLoop}
