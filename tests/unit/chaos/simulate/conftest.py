"""One whole run to tell and to draw."""

import pytest

from chaos.simulate.run import run_seed
from chaos.simulate.trace import Trace


@pytest.fixture(scope="package")
def run():
    """Events of a whole run with a death, bad disks and broken links."""
    trace = Trace(keep=True)
    run_seed(5, trace=trace)
    return trace.events
