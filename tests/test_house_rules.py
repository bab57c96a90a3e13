"""The rules of the house that no linter knows: sizes, names, what a service folder may hold, what a lock file may say.

Read from the tree itself: no network, no import of the code, no file written.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
SERVICES = tuple(yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"])

FILE_LINES, FUNCTION_LINES = 400, 70
"""Hard limits; aim at 300 and 50."""

MODULES = {
    "settings",
    "errors",
    "domain",
    "schemas",
    "store",
    "clients",
    "usecases",
    "api",
    "loops",
    "app",
}
MAY_BE_PACKAGES = {"store", "clients", "api", "schemas"}

BANNED_WORDS = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "misc",
    "manager",
    "processor",
    "impl",
}
CATCH_ALL = re.compile(r"# noqa: BLE001(?P<reason>.*)")
"""A handler of every Exception; its reason follows on the same line."""

MAY_CATCH_ALL = re.compile(
    r"chassis/(problems|loops|sqlite|runtime)\.py"
    r"|reservations/saga\.py"
    r"|[a-z]+/loops\.py"
    r"|chaos/faults/\w+\.py"
    r"|chaos/simulate/(host|server)\.py"  # what a supervisor and uvicorn do
    r"|resilience/events\.py"  # a broken listener must not fail the call that it watches
)

# Written in pieces: this file is one of those that must not name them.
MACHINE_PATHS = ("/" + "work/", "/" + "root/", "/" + "home/")


def _files(*suffixes: str) -> Iterator[Path]:
    """Files of the project with one of `suffixes`; environments, caches and data are not of it."""
    for top in sorted(ROOT.iterdir()):
        if top.name.startswith(".") or top.name in ("var", "dist", "build"):
            continue
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.suffix in suffixes and "__pycache__" not in path.parts and path.is_file():
                yield path


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Every node of a file, the module first."""
    return tuple(ast.walk(ast.parse(read(path))))


ALL_PYTHON = list(_files(".py"))
SHIPPED = [path for path in ALL_PYTHON if not name_of(path).startswith("tests/")]


def test_there_is_something_to_judge():
    assert {name_of(path).split("/")[0] for path in SHIPPED} >= {
        *SERVICES,
        "chassis",
        "chaos",
        "resilience",
        "dev.py",
    }


def test_no_file_is_longer_than_the_limit():
    written = [*ALL_PYTHON, *_files(".js", ".css", ".html", ".sh")]
    long = {
        name_of(path): lines
        for path in written
        if (lines := len(read(path).splitlines())) > FILE_LINES
    }
    assert long == {}


def test_no_shipped_function_is_longer_than_the_limit():
    long = {
        f"{name_of(path)}:{node.name}": lines
        for path in SHIPPED
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
    }
    assert long == {}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_folder_holds_the_allowed_files_only(service):
    """A newcomer knows every service after the first one."""
    allowed = MODULES | ({"saga"} if service == "reservations" else set())
    strange = []
    for entry in (ROOT / service).iterdir():
        is_module = entry.suffix == ".py" and entry.stem in {*allowed, "__init__"}
        is_package = (
            entry.is_dir() and entry.name in MAY_BE_PACKAGES and (entry / "__init__.py").is_file()
        )
        is_web = service == "gateway" and entry.name == "web" and entry.is_dir()
        if not (is_module or is_package or is_web or entry.name == "__pycache__"):
            strange.append(entry.name)
    assert strange == []
    assert ast.get_docstring(nodes(ROOT / service / "__init__.py")[0]), (
        "says what it owns, its invariants, whom it calls"
    )


@pytest.mark.parametrize("service", SERVICES)
def test_a_module_and_a_package_of_one_name_do_not_stand_side_by_side(service):
    both = [
        name
        for name in MAY_BE_PACKAGES
        if (ROOT / service / f"{name}.py").exists() and (ROOT / service / name).is_dir()
    ]
    assert both == []


def test_the_web_folder_needs_no_build():
    kinds = {path.suffix for path in (ROOT / "gateway" / "web").rglob("*") if path.is_file()}
    assert kinds <= {".html", ".js", ".css", ".svg"}


def test_nothing_has_a_name_that_says_nothing():
    banned = [
        name_of(path)
        for path in _files(".py", ".js", ".css", ".html", ".sh", ".md", ".yaml")
        for part in (*path.relative_to(ROOT).parts[:-1], path.stem)
        if BANNED_WORDS & set(re.split(r"[-_.]", part.lower()))
        or (part == "base" and path.parent.name != "faults")
    ]
    assert banned == []


def test_no_class_has_a_name_that_says_nothing():
    words = re.compile(r"(Utils?|Helpers?|Common|Misc|Manager|Processor|Impl)$")
    banned = [
        f"{name_of(path)}:{node.name}"
        for path in ALL_PYTHON
        for node in nodes(path)
        if isinstance(node, ast.ClassDef) and words.search(node.name)
    ]
    assert banned == []


def test_only_few_places_catch_every_exception_and_each_says_why():
    for path in SHIPPED:
        for number, line in enumerate(read(path).splitlines(), start=1):
            found = CATCH_ALL.search(line)
            if found:
                where = f"{name_of(path)}:{number}"
                assert MAY_CATCH_ALL.fullmatch(name_of(path)), where
                assert len(found["reason"].strip(" -")) > 10, f"{where}: why?"


def test_annotations_are_real_objects():
    """FastAPI and pydantic read them when the program runs."""
    late = [
        name_of(path)
        for path in ALL_PYTHON
        for node in nodes(path)
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
    ]
    assert late == []


def test_tests_use_no_mocks_and_do_not_sleep():
    broken = []
    for path in ALL_PYTHON:
        if not name_of(path).startswith("tests/"):
            continue
        for node in nodes(path):
            imported = (
                [one.name for one in node.names]
                if isinstance(node, ast.Import | ast.ImportFrom)
                else []
            )
            module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            is_mock = any(
                name.startswith("unittest.mock")
                for name in (*imported, f"{module}.{''.join(imported[:1])}")
            )
            is_sleep = isinstance(node, ast.Call) and ast.unparse(node.func) == "time.sleep"
            if is_mock or is_sleep:
                broken.append(f"{name_of(path)}:{node.lineno}")
    assert broken == []


@pytest.mark.parametrize("lock", sorted(path.name for path in ROOT.glob("requirements*.lock")))
def test_a_lock_file_holds_names_versions_and_sums_only(lock):
    for line in read(ROOT / lock).splitlines():
        assert "://" not in line, line
        assert "file:" not in line, line
        assert re.fullmatch(
            r"[a-z0-9][a-z0-9._-]*==[A-Za-z0-9.+!]+( ; .+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?",
            line,
        ), line


def test_no_file_names_a_path_of_one_machine():
    named = {
        name_of(path): words
        for path in _files(".py", ".js", ".css", ".html", ".sh", ".yaml", ".toml", ".lock")
        if (words := [word for word in MACHINE_PATHS if word in read(path)])
    }
    assert named == {}


def test_no_file_holds_work_left_for_later():
    marker = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    assert [
        name_of(path)
        for path in _files(".py", ".js", ".css", ".sh", ".yaml")
        if marker.search(read(path))
    ] == []
