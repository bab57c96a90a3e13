"""Attacks on real processes, real sockets, real databases."""

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "security":
            item.add_marker(pytest.mark.system)
            item.add_marker(pytest.mark.timeout(120))
