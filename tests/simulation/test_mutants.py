"""Has the simulator teeth? Each broken rule is found in its seed; with right code the same seed is green."""

from pathlib import Path

import pytest

from chaos.simulate.run import run_seed
from tests.controls.controls import CONTROLS
from tests.simulation.mutants import MUTANTS, finds


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.rule)
def test_a_broken_rule_is_found_in_a_random_world(mutant):
    assert finds(mutant, mutant.seed)


@pytest.mark.parametrize("seed", sorted({mutant.seed for mutant in MUTANTS}))
def test_the_same_world_with_right_code_is_green(seed):
    assert run_seed(seed).violations == []


def test_the_table_of_the_documentation_is_this_one():
    page = Path("docs/simulation.md").read_text("utf-8")
    for mutant in MUTANTS:
        row = f"| {mutant.rule} | {mutant.seed} | {' '.join(sorted(mutant.found_as))} |"
        assert row in page


def test_every_control_is_a_mutant_too():
    assert {control.rule for control in CONTROLS} <= {mutant.rule for mutant in MUTANTS}
    assert len({mutant.rule for mutant in MUTANTS}) == len(MUTANTS)
