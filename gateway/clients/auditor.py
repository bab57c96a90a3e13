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
"""How long the distance to rest may stand still before the auditor judges all the same, seconds."""

LIMIT_S: Final = 30.0
"""Longest audit, seconds."""

FINDINGS: Final = 5
"""So many of what breaks an invariant are told."""

_TRUE, _BROKEN = 0, 1  # exit codes of `taquilla audit` that come with a verdict


class Auditor:
    """Asks for audits, one at a time: whoever comes meanwhile gets the answer of the one that runs.

    Args:
        data: Folder of the databases, if they are to be seen from here.
        runtime: Starts the process, and the clock.
    """

    def __init__(self, data: Path, runtime: Runtime) -> None:
        self._data = data
        self._runtime = runtime
        # Set by `audit` and emptied by its own end.
        self._running: asyncio.Task[AuditReport] | None = None

    async def audit(self) -> AuditReport:
        """A verdict on the books.

        Raises:
            AuditUnavailable: There are no databases to be seen, or it took too long.
        """
        if self._running is None:
            self._running = asyncio.create_task(self._audit(), name="audit")
            self._running.add_done_callback(self._forget)
        return await asyncio.shield(self._running)

    async def aclose(self) -> None:
        """End the audit that runs, if one does."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    def _forget(self, _done: asyncio.Task[AuditReport]) -> None:
        self._running = None

    async def _audit(self) -> AuditReport:
        began_s = self._runtime.mono()
        command = [sys.executable, "-m", "chaos", "audit", "--json"]
        command += ["--data", str(self._data), "--settle", str(SETTLE_S)]
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
