"""The same seed is the same world: in another process, under another hash seed, before and after any other seed, alone.

Without that no seed that anybody writes down means anything. Digests are over every step, message, commit and fault.
"""

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import pytest

from tests.simulation.digests import digest

SEEDS = range(1, 21)
ALONE = (3, 11, 20)


@contextmanager
def elsewhere(seeds, hash_seed):
    """Digests by seed, computed meanwhile by a fresh process; asked for when called."""
    command = [sys.executable, "-m", "tests.simulation.digests", *map(str, seeds)]
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield lambda: parsed(process)
        finally:
            process.kill()


def parsed(process):
    told, _ = process.communicate()
    assert process.returncode == 0
    return {int(seed): found for seed, found in map(str.split, told.splitlines())}


@pytest.fixture(scope="module")
def known():
    """The digest of each seed, one after the other in this process."""
    return {seed: digest(seed) for seed in SEEDS}


def differing(known, found):
    """Seeds whose worlds are not what is known."""
    return [seed for seed in sorted(found) if found[seed] != known[seed]]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_seed_is_the_same_world_everywhere(known):
    with elsewhere(SEEDS, 1) as in_order, elsewhere(reversed(SEEDS), 2) as backwards:
        again = {seed: digest(seed) for seed in reversed(SEEDS)}
        assert differing(known, again) == []
        for other in (in_order(), backwards()):
            assert other.keys() == known.keys()
            assert differing(known, other) == []
    assert len(set(known.values())) == len(SEEDS), "different seeds are different worlds"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_seed_alone_is_what_it_is_among_others(known):
    with ExitStack() as stack:
        alone = [stack.enter_context(elsewhere([seed], 3)) for seed in ALONE]
        found = {seed: digest for one in alone for seed, digest in one().items()}
    assert found.keys() == set(ALONE)
    assert differing(known, found) == []
