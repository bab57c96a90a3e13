"""Simulated services complain all the time, with reason, and drawing a traceback takes longer than a world."""

import pytest
import structlog

from tests.simulation.digests import quiet


@pytest.fixture(autouse=True, scope="package")
def quiet_worlds(quiet_logs):
    before = structlog.get_config()
    quiet()
    yield
    structlog.configure(**before)
