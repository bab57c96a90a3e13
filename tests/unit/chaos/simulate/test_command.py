"""`taquilla simulate`: what it prints, in which language, with which exit code."""

import json

from click.testing import CliRunner

from chaos.cli import build
from chaos.simulate import run as simulated
from chaos.simulate.shrink import shrink
from chaos.simulate.sweep import sweep
from chaos.simulate.trace import Trace
from chaos.texts import Say
from tests.simulation.mutants import MUTANTS, breaking

MUTANT = next(one for one in MUTANTS if one.rule == "seats are claimed only while free")


def taquilla(*arguments, lang="es"):
    found = CliRunner().invoke(build(Say(lang)), ["simulate", *arguments])
    return found.exit_code, found.stdout, found.stderr


def test_many_seeds_are_summed_up():
    code, told, progress = taquilla("--seeds", "3", "--from", "7", "--jobs", "1")
    assert code == 0
    assert "semillas 7 a 9:" in told
    assert "✓ todo cuadra" in told
    assert "3/3" in progress


def test_machines_get_one_document():
    code, told, _ = taquilla("--seeds", "2", "--jobs", "1", "--json")
    found = json.loads(told)
    assert code == 0
    assert (found["first"], found["seeds"], found["ok"], found["failures"]) == (1, 2, True, [])
    assert found["sums"]["runs"] == 2
    assert found["sums"]["sagas"] > 0


def test_a_failing_seed_is_named_with_what_plays_it_again():
    with breaking(MUTANT.broken):
        code, told, complaint = taquilla("--seeds", "1", "--jobs", "1", lang="en")
    assert code == 1
    assert "✗ 1" in told
    assert "taquilla simulate --seed 1 --shrink" in told
    assert "1 seeds fail" in complaint


def test_one_seed_is_told_shrunk_and_drawn(tmp_path):
    picture = tmp_path / "history.svg"
    with breaking(MUTANT.broken):
        before = simulated.run_seed(MUTANT.seed)
        code, told, _ = taquilla(
            "--seed", str(MUTANT.seed), "--shrink", "--svg", str(picture), lang="en"
        )
    assert code == 1
    assert f"from {len(before.struck)} faults, acts and buyers to" in told
    assert "✗ I" in told
    assert picture.read_text("utf-8").startswith("<svg")


def test_one_seed_as_a_document_has_its_digest():
    _, told, _ = taquilla("--seed", "3", "--json")
    trace = Trace()
    simulated.run_seed(3, trace=trace)
    assert json.loads(told)["digest"] == trace.digest()


def test_what_belongs_to_one_seed_needs_one():
    code, _, complaint = taquilla("--trace")
    assert code == 2
    assert "--seed" in complaint


def test_a_world_in_files_is_the_same_world():
    memory, files = Trace(), Trace()
    simulated.run_seed(5, trace=memory)
    simulated.run_seed(5, trace=files, wal=True)
    assert memory.digest() == files.digest()


def test_a_sweep_can_be_taken_up_where_it_was_left():
    whole = sweep(1, 2, jobs=1)
    parts = [sweep(1, 1, jobs=1), sweep(2, 1, jobs=1)]
    assert whole.tally.sums == parts[0].tally.sums + parts[1].tally.sums


def test_shrinking_leaves_a_world_that_fails_alike():
    with breaking(MUTANT.broken):
        found = shrink(MUTANT.seed)
    assert found is not None
    assert found.after.broken & found.before.broken
    assert len(found.after.struck) < len(found.before.struck)
    assert shrink(MUTANT.seed) is None, "with right code there is nothing to shrink"
