"""`make audit`: whether anything that the lock files pin is known to be vulnerable.

pip-audit runs in a venv of its own under var/, pinned like everything else, and asks the advisory source of the package
index. Exit codes: 0 nothing is known, 1 something is, 3 the source could not be asked (0 with `--offline-ok`).
Source: github.com/pypa/pip-audit, README ("Security model", hashed requirements).
"""

import json
import subprocess
import sys
from collections.abc import Iterable
from typing import Any, Final

from dev import AUDIT_LOCK, DEV_LOCK, ROOT, RUN_LOCK, digest, install, make_venv, python_of, say

LIMIT_S: Final = 600
"""Longest time for all questions, seconds."""


def main(arguments: list[str]) -> int:
    """Ask for each lock file, tell, and give the exit code."""
    python = ready()
    found, unreachable = 0, False
    for lock in (RUN_LOCK, DEV_LOCK, AUDIT_LOCK):
        report = asked(python, lock)
        if report is None:
            unreachable = True
            continue
        lines, skipped = sorted(told(report)), unanswered(report)
        found += len(lines)
        unreachable = unreachable or bool(skipped)
        known = len(report["dependencies"]) - len(skipped)
        say(f"{lock}: {known} paquetes, {len(lines)} avisos; {len(skipped)} sin respuesta")
        for line in lines:
            say(f"  {line}")
    if found:
        return 1
    if unreachable:
        say(
            "la fuente de avisos no responde desde aquí / the advisory source is not reachable here"
        )
        return 0 if "--offline-ok" in arguments else 3
    return 0


def ready() -> Any:
    """The interpreter of the tool's venv, made when its lock file is new."""
    venv = ROOT / "var" / "audit" / digest(AUDIT_LOCK)[:12]
    python = python_of(venv)
    if not (venv / "complete").exists():
        make_venv(venv)
        count = (ROOT / AUDIT_LOCK).read_text(encoding="utf-8").count("==")
        install(["--require-hashes", "-r", str(ROOT / AUDIT_LOCK)], count, python)
        (venv / "complete").touch()
    return python


def asked(python: Any, lock: str) -> dict[str, Any] | None:
    """What pip-audit says of a lock file; None if it got no answer."""
    command = [python, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"]
    command += ["--require-hashes", "--disable-pip", "-r", str(ROOT / lock)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=LIMIT_S)
        report = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return None
    return report if isinstance(report, dict) else None


def unanswered(report: dict[str, Any]) -> list[str]:
    """Packages of which the source said nothing. To pip-audit that is no failure, but here all come from the index."""
    return [one["name"] for one in report["dependencies"] if "skip_reason" in one]


def told(report: dict[str, Any]) -> Iterable[str]:
    """One line for each advisory."""
    for package in report["dependencies"]:
        for advisory in package.get("vulns", ()):
            mended = ", ".join(advisory["fix_versions"]) or "–"
            yield f"{package['name']} {package['version']}: {advisory['id']} (→ {mended})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
