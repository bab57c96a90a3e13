"""`python -m tests.simulation.digests SEED …`: a line `seed digest` for each, in that order."""

import logging
import sys

import structlog

from chaos.simulate.run import run_seed
from chaos.simulate.trace import Trace


def quiet() -> None:
    """For processes without a conftest: what simulated services complain about is nobody's concern."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def digest(seed: int) -> str:
    """Of everything that happens in a seed's world."""
    trace = Trace()
    run_seed(seed, trace=trace)
    return trace.digest()


if __name__ == "__main__":
    quiet()
    for seed in sys.argv[1:]:
        print(seed, digest(int(seed)))  # noqa: T201 - a command's answer
