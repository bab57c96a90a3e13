"""The kill matrix, short: buyers buy while services die and worse; nothing is lost, and the auditor says so."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="function")

ROOT = Path(__file__).resolve().parents[2]
SEED = 20


async def matrix(*arguments):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chaos", "matrix", "--json", "--seed", str(SEED), *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, words = await process.communicate()
    finally:
        if process.returncode is None:  # the test was cut off: nothing of it may go on
            process.kill()
    assert process.returncode in (0, 1), words.decode()
    return process.returncode, json.loads(output), words.decode()


async def test_a_short_matrix_loses_nothing(tmp_path):
    page = tmp_path / "matrix.html"
    code, report, words = await matrix(
        *("--budget", "32s", "--data", str(tmp_path / "mesh"), "--html", str(page))
    )
    told = {name: report[name] for name in ("figures", "kills", "faults", "breaches")}
    for stage in report["stages"]:
        told[stage["name"]] = {key: stage[key] for key in ("open_in_the_end", "audit_ok", "audit")}
    assert code == 0, (told, words)
    figures = report["figures"]
    assert figures["acknowledged"] > 100, told
    assert report["kills"]["total"] >= 3, told
    for name in ("lost", "oversold", "charged_without_seat", "seat_without_charge"):
        assert figures[name] == 0, told
    for stage in report["stages"]:
        assert stage["skipped"] or (stage["rest_after_s"] is not None and stage["audit_ok"]), told
    text = page.read_text(encoding="utf-8")
    assert "<svg" in text
    assert "http://" not in text
    assert "https://" not in text


async def test_a_frozen_orchestrator_makes_the_gateway_say_202_and_never_504(tmp_path):
    """Requests wait in its backlog for longer than the deadline: what became of them is unknown, not refused."""
    _, report, words = await matrix(
        *("--budget", "9s", "--only", "freeze:reservations_past", "--data", str(tmp_path / "mesh"))
    )
    assert report["ok"], (report, words)
    assert report["faults"]["freeze"] >= 1
    assert report["answers"]["pending"] > 0
    assert report["breaches"] == {}
