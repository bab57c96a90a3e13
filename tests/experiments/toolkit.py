"""The real Chaos Toolkit: its venv, and a run of it."""

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev import BIN, CHAOS_LOCK, ROOT, install, make_venv, python_of

LIMIT_S = 180.0
"""Longest run of one experiment, seconds."""


@dataclass(frozen=True)
class Ran:
    """What came of a run: the exit code, the journal, and all that it printed."""

    exit_code: int
    journal: dict[str, Any]
    output: str


def toolkit() -> Path:
    """The program, installed when it is not there or the lock has changed; takes some seconds then.

    Raises:
        SystemExit: It cannot be installed.
    """
    lock = ROOT / CHAOS_LOCK
    key = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    home = ROOT / "var" / "chaostoolkit" / key
    if not (home / "complete").exists():
        make_venv(home)
        count = sum("==" in line for line in lock.read_text(encoding="utf-8").splitlines())
        install(["--require-hashes", "-r", str(lock)], count, python_of(home))
        (home / "complete").touch()
    return home / BIN.name / ("chaos.exe" if os.name == "nt" else "chaos")


async def by_toolkit(file: Path, url: str, folder: Path) -> Ran:
    """Run a file with the Chaos Toolkit."""
    journal = folder / f"{file.stem}.json"
    command = [
        *(toolkit(), "--no-version-check", "--no-log-file", "--settings", folder / "none.yaml"),
        *("run", "--journal-path", journal, file),
    ]
    code, output = await _ended(command, {"TAQUILLA_URL": url, "CHAOS_TOKEN": ""}, folder)
    return Ran(code, json.loads(journal.read_text(encoding="utf-8")), output)


async def paths_by_toolkit(document: Any, paths: Sequence[str]) -> list[list[Any]]:
    """What the Chaos Toolkit's JSON path library finds in a document."""
    code = (
        "import json, sys; from jsonpath2.path import Path; document, paths = json.loads(sys.argv[1])\n"
        "print(json.dumps([[one.current_value for one in Path.parse_str(path).match(document)] for path in paths]))"
    )
    python = python_of(toolkit().parents[1])
    _, output = await _ended([python, "-c", code, json.dumps([document, paths])], {}, ROOT)
    found: list[list[Any]] = json.loads(output)
    return found


async def by_ours(file: Path, base_port: int, folder: Path) -> Ran:
    """Run a file with `taquilla chaos run --json`."""
    command = [sys.executable, "-m", "chaos", "chaos", "run", file, "--json", "--port", base_port]
    code, output = await _ended(command, {"PYTHONPATH": str(ROOT)}, folder)
    document, _, words = output.rpartition("\n}\n")
    return Ran(code, json.loads(document + "}"), words)


async def _ended(command: list[Any], more: dict[str, str], folder: Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=folder,
        env={**os.environ, **more},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            output, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, output.decode(errors="replace")
