"""`chaos run` at the command line: exit codes, words, the journal, and the way back after Ctrl-C."""

import asyncio
import json
import signal
import sys

import pytest
import yaml

from tests.support import free_base_port, until
from tests.unit.chaos.experiment.files import action, probe, small
from tests.unit.chaos.test_cli import FakeMesh, invoke, mesh

__all__ = ["mesh"]


@pytest.fixture
def file(tmp_path):
    def write(**changes):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(small(**changes)), encoding="utf-8")
        return str(path)

    return write


def test_a_run_that_holds_is_exit_code_0_and_is_told_in_both_languages(mesh, file):
    spanish = invoke("chaos", "run", file(), "--port", mesh)
    english = invoke("chaos", "run", file(), "--port", mesh, lang="en")
    assert spanish.exit_code == english.exit_code == 0, spanish.output
    for word in ("Pequeño", "todo bien", "Estado estable, antes", "✓ rompe", "se esperaba 200;"):
        assert word in spanish.output
    for word in ("Small", "all is well", "Steady state, after", "✓ mend", "expected 200; got 200"):
        assert word in english.output
    assert [told[1] for told in FakeMesh.told[:5]] == ["/healthz", "/ok", "/break", "/ok", "/mend"]


def test_json_is_the_journal_and_nothing_else(mesh, file):
    result = invoke("chaos", "run", file(), "--port", mesh, "--json")
    journal = json.loads(result.output)
    assert (journal["status"], journal["deviated"], journal["audit"]) == ("completed", False, None)


def test_a_steady_state_that_does_not_hold_is_exit_code_1(mesh, file):
    path = file(probes=[probe("p", "/p", 418)])
    result = invoke("chaos", "run", path, "--port", mesh)
    assert result.exit_code == 1
    assert "✗ p" in result.output
    assert "se esperaba 418; llegó 200" in result.output
    assert "no se rompió nada" in result.output
    assert [told[1] for told in FakeMesh.told] == ["/healthz", "/p", "/mend"]


def test_a_file_that_is_not_understood_is_exit_code_2_and_touches_nothing(mesh, file):
    result = invoke("chaos", "run", file(controls=[]), "--port", mesh)
    assert result.exit_code == 2
    assert "nada se ha tocado: experiment: not understood: controls" in result.output
    assert FakeMesh.told == []


def test_an_unknown_name_is_exit_code_2_and_names_its_neighbours(mesh):
    result = invoke("chaos", "run", "slow-paiments", "--port", mesh)
    assert result.exit_code == 2
    assert "slow-payments" in result.output
    assert FakeMesh.told == []


def test_no_mesh_is_exit_code_3(file):
    assert invoke("chaos", "run", file(), "--port", str(free_base_port())).exit_code == 3


def test_the_experiments_are_listed_with_a_line_each():
    spanish = invoke("chaos", "list", "--experiments").output.splitlines()
    english = invoke("chaos", "list", "--experiments", lang="en").output.splitlines()
    assert spanish[0].split(maxsplit=1) == ["crash-inventory", "El Inventario Fantasma"]
    assert english[0].split(maxsplit=1) == ["crash-inventory", "The ghost inventory"]
    assert len(spanish) == len(
        json.loads(invoke("chaos", "list", "--experiments", "--json").output)
    )


@pytest.mark.system
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_whoever_interrupts_a_run_leaves_nothing_broken(mesh, file, number):
    path = file(method=[action("rompe · break", "/break", pauses={"after": 60})])
    command = ["-m", "chaos", "chaos", "run", path, "--port", mesh, "--json"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # Shells start what runs in the background deaf to Ctrl-C, and so would be whatever these tests start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    await until(lambda: any(path == "/break" for _, path, _ in FakeMesh.told), 15)
    process.send_signal(number)
    output, _ = await process.communicate()
    assert process.returncode == 1
    assert json.loads(output)["status"] == "interrupted"
    assert FakeMesh.told[-1][1] == "/mend"
