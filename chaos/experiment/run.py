"""Running an experiment: steady state, method, steady state again, and the rollbacks whatever happened.

The order, what ends a run early, and the journal are those of the Chaos Toolkit with the rollback strategy `always`: a
step that gets no answer is noted and the method goes on; a steady state that does not hold to begin with ends the run
before anything is broken; tolerances count in the steady state alone, elsewhere they are only shown.

Source: chaoslib/run.py, chaoslib/activity.py and chaoslib/provider/http.py (chaostoolkit-lib 1.44).
"""

import asyncio
import platform
from collections.abc import Sequence
from typing import Any, Final, Protocol

import httpx

from chaos.experiment.journal import Journal, Run
from chaos.experiment.model import Activity, Experiment
from chaos.state import wall_clock
from resilience import Runtime

_JSON: Final = "application/json"


class Show(Protocol):
    """Is told what happens while it happens."""

    def phase(self, name: str) -> None:
        """`before`, `method`, `after` or `rollbacks` begins."""

    def done(self, activity: Activity, run: Run) -> None:
        """An activity is over."""


async def run(
    experiment: Experiment,
    show: Show,
    runtime: Runtime,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Journal:
    """Run it to its end. Cancelled, it stops where it is, rolls back, and returns a journal that says so.

    Args:
        experiment: What to do.
        show: Is told of every step.
        runtime: Clock and pauses.
        transport: Another one than the network, for tests.
    """
    async with httpx.AsyncClient(
        trust_env=False, follow_redirects=True, transport=transport
    ) as http:
        return await _Runner(experiment, show, runtime, http).run()


class _Runner:
    """One run. `run` is called once."""

    def __init__(
        self, experiment: Experiment, show: Show, runtime: Runtime, http: httpx.AsyncClient
    ) -> None:
        self._experiment = experiment
        self._show = show
        self._runtime = runtime
        self._http = http
        self._journal: Journal = {
            "chaoslib-version": None,
            "platform": platform.platform(),
            "node": platform.node(),
            "experiment": dict(experiment.raw),
            "start": wall_clock().isoformat(),
            "status": None,
            "deviated": False,
            "steady_states": {"before": None, "after": None, "during": []},
            "run": [],
            "rollbacks": [],
        }

    async def run(self) -> Journal:
        """All of it; see the module."""
        journal, began_s = self._journal, self._runtime.clock()
        try:
            if await self._steady("before"):
                self._show.phase("method")
                await self._play(self._experiment.method, journal["run"])
                journal["deviated"] = not await self._steady("after")
        except asyncio.CancelledError:
            # Who interrupts an experiment wants it ended, and ended means rolled back.
            journal["status"] = "interrupted"
        finally:
            await self._roll_back()
        journal["status"] = journal["status"] or "completed"
        journal["end"] = wall_clock().isoformat()
        journal["duration"] = self._runtime.clock() - began_s
        return journal

    async def _roll_back(self) -> None:
        self._show.phase("rollbacks")
        try:
            await self._play(self._experiment.rollbacks, self._journal["rollbacks"])
        except asyncio.CancelledError:
            self._journal["status"] = "interrupted"

    async def _steady(self, when: str) -> bool:
        """Probe after probe until one is out of tolerance."""
        self._show.phase(when)
        state: dict[str, Any] = {"steady_state_met": None, "probes": []}
        self._journal["steady_states"][when] = state
        for probe in self._experiment.probes:
            result = await self._perform(probe, state["probes"])
            if not result["tolerance_met"]:
                state["steady_state_met"] = False
                answered = result["status"] == "succeeded"
                self._journal["status"] = "completed" if answered else "failed"
                return False
        state["steady_state_met"] = True
        return True

    async def _play(self, activities: Sequence[Activity], into: list[Run]) -> None:
        for activity in activities:
            await self._perform(activity, into)

    async def _perform(self, activity: Activity, into: list[Run]) -> Run:
        await self._runtime.sleep(activity.before_s)
        result: Run = {
            "activity": dict(activity.raw),
            "output": None,
            "start": wall_clock().isoformat(),
        }
        into.append(result)
        began_s = self._runtime.clock()
        try:
            result["output"] = await _asked(self._http, activity)
            result["status"] = "succeeded"
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            result["status"] = "failed"
            result["exception"] = [f"{type(error).__name__}: {error}"]
        result["end"] = wall_clock().isoformat()
        result["duration"] = self._runtime.clock() - began_s
        if activity.tolerance is not None:
            answered = result["output"] is not None
            result["tolerance_met"] = answered and activity.tolerance.met_by(result["output"])
        self._show.done(activity, result)
        await self._runtime.sleep(activity.after_s)
        return result


async def _asked(http: httpx.AsyncClient, activity: Activity) -> dict[str, Any]:
    """One request as the Chaos Toolkit's HTTP provider makes it, and its output.

    Raises:
        httpx.HTTPError, httpx.InvalidURL: No answer.
        ValueError: It says that it is JSON, and is not.
    """
    how: dict[str, Any] = {}
    if activity.method == "GET":
        how["params"] = activity.arguments
    elif activity.headers.get("Content-Type") == _JSON:
        how["json"] = activity.arguments
    else:
        how["data"] = activity.arguments
    answer = await http.request(
        activity.method,
        activity.url,
        headers=dict(activity.headers),
        timeout=activity.timeout_s,
        **{key: value for key, value in how.items() if value is not None},
    )
    is_json = answer.headers.get("Content-Type") == _JSON
    return {
        "status": answer.status_code,
        "headers": dict(answer.headers),
        "body": answer.json() if is_json else answer.text,
    }
