"""System tests: real processes, real sockets, real databases, one mesh per module."""

import pytest
import pytest_asyncio

from chaos.stack import Stack
from tests.support import free_base_port


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "system":
            item.add_marker(pytest.mark.system)
            item.add_marker(pytest.mark.timeout(120))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory):
    """A running mesh in lab mode."""
    async with Stack(base_port=free_base_port(), data=tmp_path_factory.mktemp("mesh")) as running:
        yield running
