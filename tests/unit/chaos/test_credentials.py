"""`taquilla credentials`: made once, rotated, explained in both languages, and no secret shown."""

import json

import pytest
from click.testing import CliRunner

from chaos.cli import build
from chaos.texts import Say

SERVICES = {"gateway", "reservations", "inventory", "payments", "notifications"}


def told(*arguments: str, lang: str = "es"):
    return CliRunner().invoke(build(Say(lang)), ["credentials", *arguments])


def test_each_service_gets_a_file_of_its_own_and_no_secret_is_shown(tmp_path):
    result = told(str(tmp_path), "--json")
    assert result.exit_code == 0, result.output
    files = json.loads(result.output)["files"]
    assert {path.split("/")[-2] for path in files} == SERVICES
    for path in files:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        assert set(found["calls"]) == SERVICES - {found["service"]}
        assert {one["not_after"] for one in found["callers"]} == {None}
        assert not any(token in result.output for token in found["calls"].values())


def test_rotation_changes_every_token_and_days_let_them_expire(tmp_path):
    path = tmp_path / "gateway" / "credentials.json"
    assert told(str(tmp_path)).exit_code == 0
    before = json.loads(path.read_text())
    result = told(str(tmp_path), "--rotate", "--overlap", "60", "--days", "90")
    assert result.exit_code == 0, result.output
    after = json.loads(path.read_text())
    assert set(before["calls"].values()).isdisjoint(after["calls"].values())
    assert len(after["callers"]) == 2 * len(before["callers"])
    assert all(one["not_after"] for one in after["callers"])


@pytest.mark.parametrize(
    ("lang", "there", "missing"),
    [("es", "Ya hay credenciales", "Falta"), ("en", "There are credentials", "is missing")],
)
def test_what_cannot_be_done_is_explained(tmp_path, lang, there, missing):
    assert told(str(tmp_path)).exit_code == 0
    again = told(str(tmp_path), lang=lang)
    assert (again.exit_code, there in again.output) == (2, True)
    nothing = told(str(tmp_path / "empty"), "--rotate", lang=lang)
    assert (nothing.exit_code, missing in nothing.output) == (2, True)
