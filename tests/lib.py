"""`make lib`: the tests of resilience on its wheel, in a venv with nothing but what the wheel declares.

Nothing of the checkout can be imported there. Versions and hashes are those of requirements-dev.lock, cut down to what
is needed; pip gets its index from wherever it always does.
"""

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dev import DEV_LOCK, PYTHON, ROOT, install, make_venv, python_of, run, say

TOOLS = ["pytest", "pytest-asyncio", "hypothesis"]
SETTINGS = """[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
addopts = --import-mode=importlib --strict-config --strict-markers -q
filterwarnings = error
"""
WHERE = """
import resilience, resilience.testing
from pathlib import Path
assert Path(resilience.__file__).with_name("py.typed").exists()
print(resilience.__file__)
"""


def main(more: list[str]) -> None:
    """Build, install, prove where it is imported from, run the tests. Leaves with the exit code of what failed."""
    began = time.monotonic()
    os.environ.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory(prefix="taquilla-lib-") as name:
        there = Path(name).resolve()
        wheel = build(there / "dist")
        venv = there / "venv"
        make_venv(venv)
        project = tomllib.loads((ROOT / "resilience" / "pyproject.toml").read_text("utf-8"))
        put_in(venv, there / "declared.txt", project["project"]["dependencies"])
        install(["--no-deps", "--no-index", str(wheel)], 1, python_of(venv))
        prove(venv)
        put_in(venv, there / "tools.txt", TOOLS)
        copy_tests(there)
        say(f"la rueda instalada sola en {time.monotonic() - began:.0f} s; sus pruebas:")
        run([python_of(venv), "-m", "pytest", "tests", *more], cwd=there)
        say(f"resilience sola: {time.monotonic() - began:.0f} s en total")


def build(folder: Path) -> Path:
    """The wheel. `-P` because this package has modules named like the standard library's."""
    source = ROOT / "resilience"
    command = [PYTHON, "-P", "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    run(command, cwd=source)
    (wheel,) = folder.glob("*.whl")
    say(f"{wheel.name} sha256 {hashlib.sha256(wheel.read_bytes()).hexdigest()[:12]}")
    return wheel


def put_in(venv: Path, file: Path, requirements: Iterable[str]) -> None:
    """Install these and what they need, as locked."""
    names = closure(requirements)
    blocks = re.split(r"^(?=\S)", (ROOT / DEV_LOCK).read_text("utf-8"), flags=re.MULTILINE)
    wanted = [block for block in blocks if canonicalize_name(block.split("==")[0]) in names]
    file.write_text("".join(wanted), encoding="utf-8")
    install(["--require-hashes", "-r", str(file)], len(wanted), python_of(venv))


def closure(requirements: Iterable[str]) -> set[str]:
    """Names of the requirements and of all that they require here, read from what is installed in .venv."""
    names: set[str] = set()
    todo = [Requirement(line) for line in requirements]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and name not in names:
            names.add(name)
            todo += map(Requirement, importlib.metadata.requires(name) or [])
    return names


def prove(venv: Path) -> None:
    """The import, with the wheel's dependencies alone, comes from the venv."""
    command = [python_of(venv), "-c", WHERE]
    found = subprocess.check_output(command, cwd=venv, text=True).strip()
    if not Path(found).is_relative_to(venv):
        sys.exit(f"resilience: {found}")


def copy_tests(there: Path) -> None:
    """Tests and the pages they run; nothing that measures with bench/, and no code of ours."""
    for folder in ("tests/unit/resilience", "tests/typing", "docs/policies"):
        shutil.copytree(ROOT / folder, there / folder, ignore=beyond_the_library)
    shutil.copy(ROOT / "resilience" / "README.md", there / "docs" / "README.md")
    (there / "pytest.ini").write_text(SETTINGS, encoding="utf-8")


def beyond_the_library(folder: str, names: list[str]) -> list[str]:
    """What of a folder is not copied."""
    python = [name for name in names if name.endswith(".py")]
    measuring = [name for name in python if "from bench" in Path(folder, name).read_text("utf-8")]
    return ["__pycache__", *measuring]


if __name__ == "__main__":
    main(sys.argv[1:])
