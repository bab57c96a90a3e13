"""The auditor, asked: a process of its own that reads the databases, because it shares no code with whom it judges.

What it says is the verdict of `taquilla audit`, with one difference: what holds at rest only is not judged while
something is under way. Not here: what the invariants are (`chaos.audit`, docs/audit.md).
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import structlog

from chassis.runtime import Runtime
from gateway.errors import AuditUnavailable
from gateway.schemas import AuditReport, Verdict

log = structlog.get_logger()

SETTLE_S: Final = 1
"""How long the distance to rest may stand still before the auditor judges all the same, unless it is said, seconds."""

MOST_PATIENT_S: Final = 20
"""The most that may be said: the audit must end within its limit."""

LIMIT_S: Final = 30.0
"""Longest audit, seconds."""

FINDINGS: Final = 5
"""So many of what breaks an invariant are told."""

_TRUE, _BROKEN = 0, 1  # exit codes of `taquilla audit` that come with a verdict


class Auditor:
    """Asks for audits: whoever comes meanwhile gets the answer of one that runs and is at least as patient.

    Args:
        data: Folder of the databases, if they are to be seen from here.
        runtime: Starts the process, and the clock.
    """

    def __init__(self, data: Path, runtime: Runtime) -> None:
        self._data = data
        self._runtime = runtime
        # By patience; set by `audit` and emptied by the end of each.
        self._running: dict[int, asyncio.Task[AuditReport]] = {}

    async def audit(self, settle_s: int = SETTLE_S) -> AuditReport:
        """A verdict on the books.

        Args:
            settle_s: How long the distance to rest may stand still before it is judged all the same, seconds.

        Raises:
            AuditUnavailable: There are no databases to be seen, or it took too long.
        """
        # Whoever runs already and waits at least as long speaks for this one too.
        patience_s = max((one for one in self._running if one >= settle_s), default=settle_s)
        if patience_s not in self._running:
            task = asyncio.create_task(self._audit(settle_s), name=f"audit-{settle_s}")
            self._running[settle_s] = task
            task.add_done_callback(lambda _done: self._running.pop(settle_s))
        return await asyncio.shield(self._running[patience_s])

    async def aclose(self) -> None:
        """End the audits that run, if any does."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def _audit(self, settle_s: int) -> AuditReport:
        began_s = self._runtime.mono()
        command = [sys.executable, "-m", "chaos", "audit", "--json"]
        command += ["--data", str(self._data), "--settle", str(settle_s)]
        try:
            code, said = await self._runtime.run_program(command, LIMIT_S)
        except (TimeoutError, OSError) as error:
            log.warning("audit_failed", error=repr(error))
            raise AuditUnavailable from error
        if code not in (_TRUE, _BROKEN):
            log.info("audit_unavailable", code=code)
            raise AuditUnavailable
        took_ms = round((self._runtime.mono() - began_s) * 1000)
        return _verdict(json.loads(said), self._runtime.now().isoformat(), took_ms)


def _verdict(report: Mapping[str, Any], at: str, took_ms: int) -> AuditReport:
    rests = report["open"] == 0
    invariants = [_invariant(one, rests=rests) for one in report["invariants"]]
    return AuditReport(
        ok=all(one.ok is not False for one in invariants),
        at=at,
        took_ms=took_ms,
        rest=rests,
        invariants=invariants,
    )


def _invariant(one: Mapping[str, Any], *, rests: bool) -> Verdict:
    is_under_way = one["when"] == "Q" and not one["ok"] and not rests
    judged = one["judged"] and not is_under_way
    return Verdict(
        number=one["number"],
        name=one["name"],
        title_es=one["es"],
        title_en=one["en"],
        ok=one["ok"] if judged else None,
        checked=one["checked"],
        findings=[f"{found['id']} {found['facts']}" for found in one["offending"][:FINDINGS]]
        if judged
        else [],
    )
