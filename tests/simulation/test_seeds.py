"""Seeds that once found something stay green, and so do so many new ones."""

import multiprocessing
from pathlib import Path

import pytest

from chaos.simulate.run import run_seed
from tests.simulation.digests import quiet

FIRST_NEW, NEW_SEEDS = 1_000_001, 300
PROCESSES = 2


def parsed(text):
    """What each kept seed was, by seed."""
    lines = [line.partition("#") for line in text.splitlines()]
    return {int(seed): what.strip() for seed, _, what in lines if seed.strip()}


KEPT = parsed(Path(__file__).with_name("seeds.txt").read_text("utf-8"))


def complaint(seed):
    """What is violated and how to see it; empty when nothing is."""
    violations = run_seed(seed).violations
    if not violations:
        return ""
    return "\n  ".join([f"seed {seed}: taquilla simulate --seed {seed} --trace", *violations])


def test_a_kept_seed_says_what_it_was():
    assert parsed("# head\n\n7  # lost money\n8 # twice sold # and again\n") == {
        7: "lost money",
        8: "twice sold # and again",
    }
    assert all(KEPT.values())


@pytest.mark.parametrize("seed", KEPT)
def test_a_kept_seed_is_green(seed):
    assert complaint(seed) == "", KEPT[seed]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_new_seeds_are_green():
    seeds = range(FIRST_NEW, FIRST_NEW + NEW_SEEDS)
    with multiprocessing.get_context("spawn").Pool(PROCESSES, quiet) as pool:
        found = [told for told in pool.imap_unordered(complaint, seeds, chunksize=10) if told]
    assert not found, "\n" + "\n".join(sorted(found))
