#!/usr/bin/env python3
"""Prepare and run this project with nothing but Python: `python3 dev.py up`.

`make` calls it; Windows needs no make.

Makes .venv, installs the hash-locked packages when the lock changed, installs the project itself
editable, and goes on inside. Standard library only; the version check comes before anything that an
old Python could not run.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - that is the point
    sys.exit(
        f"Taquilla necesita Python 3.11 o posterior; este es {sys.version.split()[0]}.\n"
        "Taquilla needs Python 3.11 or later."
    )

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
STAMP = VENV / "taquilla-installed.json"
RUN_LOCK, DEV_LOCK = "requirements.lock", "requirements-dev.lock"
OTEL_LOCK = "requirements-otel.lock"  # the first one and the extra `otel`
BENCH_LOCK = "requirements-bench.lock"  # what ours is compared with, in a venv of its own
AUDIT_LOCK = "requirements-audit.lock"  # pip-audit, likewise
CHAOS_LOCK = "requirements-chaos.lock"  # the Chaos Toolkit, likewise
MESHES = ["tests/system", "tests/security", "tests/controls"]

HELP = """Uso: python3 dev.py ORDEN [argumentos]

  up [--port B] [--data DIR]   arranca los cinco servicios (prepara todo la primera vez)
  run ...                      la orden taquilla: run chaos on crash-inventory, run load, run --help
  test [argumentos de pytest]  todas las pruebas menos navegador y rendimiento
  unit                         solo las pruebas rápidas
  check                        ruff, formato, mypy, imports, documentación y reglas de la casa
  browser                      las pruebas con Chromium
  docs                         escribe de nuevo docs/api.md y las órdenes de las guías
  screenshots                  fotografía la página y /docs, en un minuto; a docs/pictures
  lib                          resilience sola: su rueda en un entorno vacío, y sus pruebas allí
  fuzz [--calls N] [--seed S]  lo que nadie enviaría, contra los cinco servicios; véase docs/fuzzing.md
  ci                           check + test + lib + browser + los experimentos con Chaos Toolkit; dos mitades a la vez
  control [palabras]           rompe una regla y enseña al auditor en rojo: control leaves a tombstone
  chaos                        la matriz de caos larga: chaos --budget 10m --seed 7 --html matriz.html; después, los
                               experimentos con taquilla y con Chaos Toolkit, también con reglas rotas
  bench                        mide políticas, malla y promesas junto a otras, en unos 10 minutos; a docs/benchmarks.md
  bench-all                    lo mismo, y la crecida (con Envoy y nginx) y lo que cuesta crecer
  audit [--offline-ok]         pregunta por vulnerabilidades conocidas de lo que fijan los requirements*.lock
  lock                         vuelve a calcular los ficheros requirements*.lock
"""


def say(text: str) -> None:
    """One line of progress, at once."""
    print(f"· {text}" if sys.stdout.encoding.lower().startswith("utf") else f"- {text}", flush=True)


def digest(*names: str) -> str:
    """Fingerprint of files of the project."""
    return hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in names)).hexdigest()


def stamp() -> dict[str, str]:
    """What is installed in .venv, as far as this script knows."""
    try:
        found = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def ensure(lock: str) -> None:
    """Bring .venv to what `lock` and pyproject.toml say; nothing to do takes milliseconds."""
    wanted = {lock: digest(lock), "project": digest("pyproject.toml")}
    have = stamp() if PYTHON.exists() else {}
    if all(have.get(name) == value for name, value in wanted.items()):
        return
    began = time.monotonic()
    make_venv()
    if have.get(lock) != wanted[lock]:
        count = sum("==" in line for line in (ROOT / lock).read_text(encoding="utf-8").splitlines())
        say(f"instalando {count} paquetes de {lock} en .venv (solo cuando cambia)")
        install(["--require-hashes", "-r", str(ROOT / lock)], count)
    install(["--no-deps", "--no-build-isolation", "-e", str(ROOT)], 1)
    if lock != RUN_LOCK:  # each contains those before it
        wanted[RUN_LOCK] = digest(RUN_LOCK)
    if lock == DEV_LOCK:
        wanted[OTEL_LOCK] = digest(OTEL_LOCK)
    STAMP.write_text(json.dumps({**have, **wanted}), encoding="utf-8")
    say(f"preparado en {time.monotonic() - began:.0f} s")


def python_of(venv: Path) -> Path:
    """The interpreter of a venv."""
    return venv / BIN.name / PYTHON.name


def make_venv(venv: Path = VENV) -> None:
    """Create a venv unless a working one is there."""
    python = python_of(venv)
    if python.exists() and subprocess.run([python, "-c", ""], check=False).returncode == 0:
        return
    say(f"creando {venv.name} con Python {sys.version_info.major}.{sys.version_info.minor}")
    uv = shutil.which("uv")
    if uv:
        run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(venv)])
        return
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        sys.exit(
            "Falta el módulo venv de Python. En Debian o Ubuntu: sudo apt install python3-venv\n"
            "Python's venv module is missing. On Debian or Ubuntu: sudo apt install python3-venv"
        )
    run([sys.executable, "-m", "venv", "--clear", str(venv)])


def install(arguments: Sequence[str], count: int, python: Path = PYTHON) -> None:
    """Install into a venv with uv where it is found, else with pip, showing how far it is."""
    uv = shutil.which("uv")
    if uv:
        run([uv, "pip", "install", "--quiet", "--python", str(python), *arguments])
        return
    if subprocess.run([python, "-c", "import pip"], check=False, capture_output=True).returncode:
        run([python, "-m", "ensurepip"])  # uv made this venv and is gone
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    pip = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert pip.stdout is not None
    seen, lines = 0, []
    for line in pip.stdout:
        lines.append(line)
        if line.startswith("Collecting "):
            seen += 1
            if sys.stdout.isatty():
                print(f"\r  {seen}/{count} {line.split()[1][:40]:<40}", end="", flush=True)
    if sys.stdout.isatty():
        print("\r" + " " * 60 + "\r", end="")
    if pip.wait() != 0:
        print("".join(lines[-30:]), file=sys.stderr)
        sys.exit("pip no pudo instalar los paquetes; arriba, sus últimas líneas. / pip failed.")


def run(command: Sequence[str | Path], cwd: Path = ROOT) -> None:
    """Run to the end or leave with its exit code."""
    code = subprocess.run(command, cwd=cwd, check=False).returncode
    if code:
        sys.exit(code)


def become(command: Sequence[str]) -> None:
    """Go on as another program, which gets the signals and gives the exit code."""
    if os.name != "nt":
        sys.stdout.flush()
        os.execv(command[0], list(command))
    child = subprocess.Popen(command)
    while True:
        try:
            sys.exit(child.wait())
        except KeyboardInterrupt:  # the child got the same Ctrl-C and is cleaning up
            continue


def tool(name: str, *arguments: str) -> list[str]:
    """A program of the venv."""
    return [str(BIN / (f"{name}.exe" if os.name == "nt" else name)), *arguments]


def _but(folders: Sequence[str]) -> list[str]:
    """Options of pytest for all tests but those in `folders`."""
    return [f"--ignore={folder}" for folder in folders]


def measures(*benchmarks: str) -> list[list[str]]:
    """The commands of benchmarks, each a module of bench/ with its options."""
    return [[str(PYTHON), "-m", *f"bench.{one}".split()] for one in benchmarks]


def steps(name: str) -> list[list[str]]:
    """The commands behind a task."""
    pytest = [str(PYTHON), "-m", "pytest"]
    rules = ["tests/test_docs.py", "tests/test_house_rules.py", "tests/guides"]
    rules.append("tests/contract/test_api_page.py::test_the_page_is_current")
    check = [
        tool("ruff", "check", "."),
        tool("ruff", "format", "--check", "."),
        tool("mypy"),
        tool("mypy", "tests/typing"),
        tool("basedpyright"),
        tool("lint-imports"),
        [*pytest, "-q", *rules],
    ]
    test = [[*pytest, "-m", "not browser and not bench"]]
    lib = [[str(PYTHON), "-m", "tests.lib"]]
    browser = [[*pytest, "-m", "browser"]]
    experiments = [[str(PYTHON), "-m", "tests.experiments"]]
    compile_lock = tool(
        "uv", "pip", "compile", "--universal", "--generate-hashes", "--no-header", "--no-annotate",
        "--python-version", "3.11", "-q",
    )  # fmt: skip
    project, extra = ["pyproject.toml", "--group", "build"], ["--extra", "otel"]
    short = (
        *("policies --write", "gauntlet --write", "limits --svg", "storms --svg"),
        *("mesh --write --svg", "promises --write", "wire --write"),
    )
    long = (*short, "live --write", "telemetry --write")
    long = (*long, "flood --peers --write --svg", "growth --write")
    return {
        "check": check,
        "test": test,
        "unit": [[*pytest, "-q", "tests/unit"]],
        "browser": browser,
        "bench": [*measures(*short, "targets --write"), [*pytest, "-m", "bench"]],
        "bench-all": [*measures(*long, "targets --write"), [*pytest, "-m", "bench"]],
        "screenshots": [[str(PYTHON), "-m", "tests.browser.screenshots"]],
        "docs": [
            [str(PYTHON), "-m", "tests.contract.api_page"],
            [str(PYTHON), "-m", "tests.guides.pages"],
            [str(PYTHON), "-m", "tests.contract.licences"],
        ],
        "fuzz": [
            [str(PYTHON), "-m", "tests.fuzz"],
            [
                *pytest,
                "-q",
                *("-p", "tests.support.machines", "--hypothesis-profile=fuzz"),
                *["--timeout=1800", "tests/unit", "-k", "props"],
            ],
        ],
        "lib": lib,
        "audit": [[str(PYTHON), "-m", "tests.advisories"]],
        "chaos": [[str(PYTHON), "-m", "chaos", "matrix", "--budget", "10m"], *experiments],
        # Two lanes: tests of whole meshes wait more than they compute, so everything else runs beside them.
        "ci": [*check, [*test[0], *_but(MESHES)], *lib, *browser, *experiments],
        "ci-meshes": [[*test[0], *MESHES]],
        "lock": [
            [*compile_lock, *project, "-o", RUN_LOCK],
            [*compile_lock, *project, *extra, "-c", RUN_LOCK, "-o", OTEL_LOCK],
            [*compile_lock, *project, *extra, "--group", "dev", "-c", OTEL_LOCK, "-o", DEV_LOCK],
            [*compile_lock, "bench/peers.txt", "-c", RUN_LOCK, "-o", BENCH_LOCK],
            [*compile_lock, "--group", "pyproject.toml:audit", "-o", AUDIT_LOCK],
            [*compile_lock, "tests/experiments/toolkit.txt", "-o", CHAOS_LOCK],
        ],
    }[name]


_TAKES_MORE = {
    "fuzz": "tests.fuzz",
    "lib": "tests.lib",
    "audit": "tests.advisories",
    "chaos": "matrix",
}
"""Which step further arguments go to, by a word of it; pytest of any other task."""


def work(name: str, more: Sequence[str]) -> int:
    """Run every step of a task, tell which failed, and give the exit code."""
    with ThreadPoolExecutor() as threads, tempfile.TemporaryFile("w+") as said:
        beside = threads.submit(attempt, "ci-meshes", more, said) if name == "ci" else None
        failed = attempt(name, more)
        if beside is not None:
            say(
                "lo que dijo mientras tanto la otra mitad:"
                if beside.done()
                else "falta la otra mitad"
            )
            failed += beside.result()
            said.seek(0)
            print(said.read(), flush=True)
    for one in failed:
        say(f"FALLÓ: {one}")
    return 1 if failed else 0


def attempt(name: str, more: Sequence[str], output: TextIO | None = None) -> list[str]:
    """Run every step of a task; what failed, and how. `output` takes what the steps say, else they say it here."""
    failed = []
    for command in steps(name):
        title = " ".join([Path(command[0]).stem, *command[1:5]])
        say(title)
        began = time.monotonic()
        extra = more if _TAKES_MORE.get(name, "pytest") in command else ()
        code = subprocess.run(
            [*command, *extra], cwd=ROOT, check=False, stdout=output, stderr=output
        ).returncode
        took_s = time.monotonic() - began
        if output is not None:
            say(f"{title}: {took_s:.0f} s")
        if "pytest" in command and name.startswith("bench") and code == 5:
            say("no hay pruebas de rendimiento en este árbol")
        elif code:
            failed.append(f"{title} ({code}, {took_s:.0f} s)")
    return failed


def main(arguments: Sequence[str]) -> int:
    """Dispatch a task; the exit code is the task's."""
    name, more = (arguments[0], arguments[1:]) if arguments else ("help", [])
    tasks = ("test", "unit", "check", "browser", "docs", "screenshots", "lib", "fuzz", "ci")
    upkeep = ("lock", "audit", "chaos", "bench", "bench-all")
    commands = {
        "up": ["chaos", "up"],
        "run": ["chaos"],
        "control": ["tests.controls"],
    }
    if name not in (*commands, *tasks, *upkeep):
        print(HELP, end="")
        return 0 if name in ("help", "-h", "--help") else 2
    lock = OTEL_LOCK if os.environ.get("TRACING", "off") != "off" else RUN_LOCK
    ensure(lock if name in (*commands, "chaos") else DEV_LOCK)
    if name in commands:
        become([str(PYTHON), "-m", *commands[name], *more])
    if Path(sys.prefix).resolve() != VENV.resolve():
        become([str(PYTHON), str(Path(__file__).resolve()), *arguments])
    return work(name, more)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
