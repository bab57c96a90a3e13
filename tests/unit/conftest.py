"""Unit tests run on virtual time, except those of the runner, which starts real processes."""

from resilience.testing import VirtualTimeLoop


def pytest_asyncio_loop_factories(config, item):
    if item.path.parent.name == "chaos":
        return None
    return {"virtual": VirtualTimeLoop}
