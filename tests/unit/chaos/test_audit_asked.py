"""The gateway's way to the auditor with nothing in between left out: a real process on real databases."""

import asyncio
import os
import sqlite3
import sys

import pytest

from chassis import runtime
from gateway.clients import Auditor
from gateway.errors import AuditUnavailable
from tests.support import until

SLEEPER = (
    "import os, pathlib, sys, time\n"
    "pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))\n"
    "time.sleep(60)"
)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_true_books_are_told_to_be_true(books):
    data, _ = books
    report = await Auditor(data, runtime.real()).audit()
    assert report.ok, report
    assert report.rest
    assert [one.number for one in report.invariants][:3] == ["I1", "I2", "I3"]
    assert all(one.checked > 0 for one in report.invariants if one.ok)


async def test_spoilt_books_are_told_to_be_false(books):
    data, _ = books
    with sqlite3.connect(data / "inventory.db") as db:
        db.execute("UPDATE seat SET hold_id = NULL WHERE seat = 'B-01'")
    db.close()
    report = await Auditor(data, runtime.real()).audit()
    assert not report.ok
    broken = {one.number: one.findings for one in report.invariants if one.ok is False}
    assert {"I1", "I4"} <= set(broken)
    assert any("B-01" in finding for finding in broken["I1"])


async def test_a_folder_without_books_is_no_verdict(tmp_path):
    with pytest.raises(AuditUnavailable):
        await Auditor(tmp_path, runtime.real()).audit()


@pytest.mark.parametrize("ends", ["by_time", "with_its_caller"])
async def test_a_program_does_not_outlive_who_wanted_it(tmp_path, ends):
    told = tmp_path / "pid"
    limit_s = 1.0 if ends == "by_time" else 60.0
    command = [sys.executable, "-c", SLEEPER, str(told)]
    running = asyncio.ensure_future(runtime.real().run_program(command, limit_s))
    await until(lambda: told.exists() and told.read_text() != "", 10)
    pid = int(told.read_text())
    if ends == "with_its_caller":
        running.cancel()
    with pytest.raises((TimeoutError, asyncio.CancelledError)):
        await running
    assert not lives(pid)


async def test_a_program_says_how_it_ended():
    command = [sys.executable, "-c", "print('hola'); raise SystemExit(3)"]
    assert await runtime.real().run_program(command, 10) == (3, f"hola{os.linesep}".encode())
