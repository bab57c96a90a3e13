"""The audit as the page asks for it: a process of its own, one at a time, bounded, and what its verdict becomes."""

import asyncio
import dataclasses
import json
import sys
from pathlib import Path

import pytest

from chassis import runtime
from gateway.clients import Auditor
from gateway.clients.auditor import LIMIT_S
from gateway.errors import AuditUnavailable
from tests.unit.gateway.conftest import bench


def invariant(number: str, *, when: str = "A", ok: bool = True, judged: bool = True) -> dict:
    broken = [{"id": f"r{index}", "facts": "kept=0"} for index in range(20)]
    return {
        "number": number,
        "name": "seats-conserved",
        "when": when,
        "es": "Los asientos cuadran.",
        "en": "The seats add up.",
        "judged": judged,
        "ok": ok,
        "found": 0 if ok else 27,
        "checked": 12,
        "offending": [] if ok else broken,
    }


def auditor(*invariants: dict, code: int = 0, still_open: int = 0) -> tuple[Auditor, list]:
    """One in front of a program that takes two seconds to say this; and the commands that it was asked."""
    commands = []

    async def run_program(command, limit_s):
        commands.append((list(command), limit_s))
        await asyncio.sleep(2)  # virtual
        report = {"open": still_open, "ok": code == 0, "invariants": list(invariants)}
        return code, json.dumps(report).encode()

    effects = dataclasses.replace(runtime.simulated(1, {}), run_program=run_program)
    return Auditor(Path("some/where"), effects), commands


async def test_the_program_is_the_command_line_on_the_folder_of_the_databases():
    asked, commands = auditor(invariant("I1"))
    report = await asked.audit()
    (((program, *words), limit_s),) = commands
    assert program == sys.executable
    assert " ".join(words) == f"-m chaos audit --json --data {Path('some/where')} --settle 1"
    assert limit_s == LIMIT_S
    assert (report.ok, report.rest, report.took_ms) == (True, True, 2000)
    assert report.invariants[0].model_dump() == {
        "number": "I1",
        "name": "seats-conserved",
        "title_es": "Los asientos cuadran.",
        "title_en": "The seats add up.",
        "ok": True,
        "checked": 12,
        "findings": [],
    }


async def test_a_broken_promise_is_told_with_five_of_what_breaks_it():
    asked, _ = auditor(invariant("I1", ok=False), invariant("I2"), code=1)
    report = await asked.audit()
    assert not report.ok
    assert [one.ok for one in report.invariants] == [False, True]
    assert report.invariants[0].findings == [f"r{index} kept=0" for index in range(5)]


@pytest.mark.parametrize(("still_open", "ok", "verdict"), [(3, True, None), (0, False, False)])
async def test_what_holds_at_rest_only_is_not_judged_while_something_is_under_way(
    still_open, ok, verdict
):
    asked, _ = auditor(invariant("I6", when="Q", ok=False), code=1, still_open=still_open)
    report = await asked.audit()
    assert (report.ok, report.rest) == (ok, not still_open)
    assert report.invariants[0].ok is verdict
    assert bool(report.invariants[0].findings) is (verdict is False)


async def test_what_always_holds_is_judged_under_way_too():
    asked, _ = auditor(invariant("I1", ok=False), code=1, still_open=3)
    assert not (await asked.audit()).ok


async def test_what_needs_a_journal_is_not_judged_without_one():
    asked, _ = auditor(invariant("I7", judged=False))
    report = await asked.audit()
    assert report.ok
    assert report.invariants[0].ok is None


async def test_who_asks_meanwhile_gets_the_same_answer_and_who_asks_later_another():
    asked, commands = auditor(invariant("I1"))
    first = asyncio.ensure_future(asked.audit())
    await asyncio.sleep(1)  # virtual
    second = asyncio.ensure_future(asked.audit())
    assert await first is await second
    assert len(commands) == 1
    await asked.audit()
    assert len(commands) == 2


async def test_who_is_less_patient_takes_part_in_an_audit_and_who_is_more_patient_has_one_of_its_own():
    asked, commands = auditor(invariant("I1"))
    waiting = [asyncio.ensure_future(asked.audit(8))]
    await asyncio.sleep(1)  # virtual
    waiting += [asyncio.ensure_future(asked.audit(settle_s)) for settle_s in (1, 8, 12)]
    await asyncio.gather(*waiting)
    assert [command[-1] for command, _ in commands] == ["8", "12"]
    await asked.audit(1)
    assert len(commands) == 3, "those that ended are forgotten"


@pytest.mark.parametrize(
    ("settle_s", "status"), [("-1", 422), ("21", 422), ("x", 422), ("20", 503)]
)
async def test_patience_has_a_bound(settle_s, status):
    async with bench(lab=True) as desk:  # whose runtime starts no programs
        answer = await desk.http.get("/api/lab/audit", params={"settle_s": settle_s})
    assert answer.status_code == status


async def test_one_who_leaves_takes_nobody_s_answer_away():
    asked, commands = auditor(invariant("I1"))
    first, second = (asyncio.ensure_future(asked.audit()) for _ in range(2))
    await asyncio.sleep(1)  # virtual
    first.cancel()
    assert (await second).ok
    assert len(commands) == 1


@pytest.mark.parametrize("error", [TimeoutError(), FileNotFoundError("python")])
async def test_a_program_that_does_not_end_or_start_is_no_verdict(error):
    async def run_program(_command, _limit_s):
        raise error

    effects = dataclasses.replace(runtime.simulated(1, {}), run_program=run_program)
    with pytest.raises(AuditUnavailable):
        await Auditor(Path("x"), effects).audit()


async def test_without_databases_to_be_seen_there_is_a_refusal_that_says_where_they_may_be():
    asked, _ = auditor(code=3)
    with pytest.raises(AuditUnavailable):
        await asked.audit()
    async with bench(lab=True) as desk:  # whose runtime starts no programs
        answer = await desk.http.get("/api/lab/audit", headers={"Accept-Language": "en"})
    assert (answer.status_code, answer.json()["code"]) == (503, "audit_unavailable")
    assert "taquilla audit" in answer.json()["detail"]
    assert answer.headers["retry-after"] == "5"


async def test_stopping_ends_the_audit_that_runs():
    asked, _ = auditor(invariant("I1"))
    waiting = asyncio.ensure_future(asked.audit())
    await asyncio.sleep(1)  # virtual
    await asked.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asked.aclose()
