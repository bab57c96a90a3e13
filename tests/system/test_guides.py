"""Every command of the guides, typed into a shell in front of a real mesh, and every answer that the guides promise.

One shell per guide, as a student has one terminal. `python3` is this interpreter, and `dev.py` and the scripts, which
would prepare an environment first and are tried by test_scenarios, lead straight to the command line.
"""

import asyncio
import json
import os
import re
import stat
import sys

import httpx
import pytest
import pytest_asyncio

from tests.guides.story import ROOT, member, scenarios, unmatched

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHIM = """#!/bin/sh
case "$1" in
*dev.py) shift; case "$1" in run) shift; exec {python} -m chaos "$@" ;; esac; exit 99 ;;
*load_gateway.py) shift; exec {python} -m chaos load "$@" ;;
*race_condition.py) shift; exec {python} -m chaos race "$@" ;;
esac
exec {python} "$@"
"""
END = "@@ ended with "


class Shell:
    """One terminal of a student's."""

    def __init__(self, process, base_port):
        self._process, self._base_port = process, base_port

    async def type(self, command):
        """Exit code and output of a command."""
        moved = re.sub(
            r"127\.0\.0\.1:500([0-4])",
            lambda port: f"127.0.0.1:{self._base_port + int(port[1])}",
            command,
        )
        self._process.stdin.write(f"{moved}\necho; echo '{END}'$?\n".encode())
        await self._process.stdin.drain()
        lines = []
        while not (line := (await self._process.stdout.readline()).decode()).startswith(END):
            assert line, f"the shell is gone: {''.join(lines)}"
            lines.append(line)
        return int(line.removeprefix(END)), "".join(lines)


@pytest_asyncio.fixture(loop_scope="module")
async def shell(stack, tmp_path):
    shim = tmp_path / "python3"
    shim.write_text(SHIM.format(python=sys.executable))
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    process = await asyncio.create_subprocess_exec(
        "sh",
        cwd=ROOT,
        env={
            **os.environ,
            "BASE_PORT": str(stack.base_port),
            "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            "PYTHON": str(shim),
            "COLUMNS": "100",
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    yield Shell(process, stack.base_port)
    process.stdin.close()
    await process.wait()


def wrong_in(step, code, output, took_s):
    """What is not as the guide says, one line each."""
    found = [] if code == step.exit else [f"exit {code}"]
    found += [f"prints no {one}" for one in unmatched(step, output)]
    if step.within_s is not None and took_s > step.within_s:
        found.append(f"took {took_s:.2f} s")
    if step.status is None:
        return found
    head, _, body = output.replace("\r", "").partition("\n\n")
    told = re.findall(r"^HTTP/1\.1 (\d+)", head, re.MULTILINE)
    if told != [str(step.status)]:
        return [*found, f"status {told}"]
    answer = json.loads(body[body.index("{") :])
    if step.code not in (None, answer.get("code", answer.get("status"))):
        found.append(f"code {answer.get('code', answer.get('status'))}")
    for path, wanted in step.has.items():
        try:
            value = member(answer, path)
        except LookupError:
            value = "missing"
        if value != wanted:
            found.append(f"{path} is {value!r}")
    return found


async def play(shell, step):
    """Type a step, again while it may be repeated; what is wrong with it in the end."""
    clock = asyncio.get_running_loop().time
    end_s = clock() + step.repeat_s
    while True:
        began_s = clock()
        code, output = await shell.type(step.run)
        found = wrong_in(step, code, output, clock() - began_s)
        if not found or clock() >= end_s:
            return found, output


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda one: one.name)
async def test_every_command_of_a_guide_is_answered_as_the_guide_says(scenario, shell):
    for step in scenario.steps.values():
        found, output = await play(shell, step)
        assert found == [], f"{step.id}: {step.run}\n{output}"


async def test_the_stream_of_the_api_page_begins_with_a_snapshot(stack):
    async with (
        httpx.AsyncClient(timeout=10) as http,
        http.stream("GET", stack.url("gateway", "/api/live")) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        kinds = [line async for line in first(answer.aiter_lines(), "event:")]
        assert kinds == ["event: snapshot"]


async def first(lines, prefix):
    """The first line with a prefix."""
    async for line in lines:
        if line.startswith(prefix):
            yield line
            return
