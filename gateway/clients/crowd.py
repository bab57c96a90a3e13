"""The lab's buyers: they come in by the gateway's own front door, so that what they meet is what everybody meets."""

from dataclasses import dataclass
from typing import Final

from chassis.clients import InDoubt, NotSent, Upstream
from chassis.runtime import Runtime
from resilience import Policy, without_deadline

BUYER: Final = Policy(attempt_s=15.0)
"""Three times the gateway's own total: a buyer sees every answer there is."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one buyer was told.

    Attributes:
        status: HTTP status; 0 when no answer came.
        code: `status` of a reservation, `code` of a problem, or `no_answer`.
        retry_after_s: Seconds, if the answer named any.
        began_s: When it asked, by the runtime's clock.
        ended_s: When it heard.
        came_s: When it asked for the first time, if it had been sent away before; else as `began_s`.
    """

    status: int
    code: str
    retry_after_s: float | None
    began_s: float
    ended_s: float
    came_s: float

    @property
    def took_s(self) -> float:
        """From asking to hearing, seconds."""
        return self.ended_s - self.began_s


class Crowd:
    """Buyers, each with an Idempotency-Key of its own.

    Args:
        upstream: This gateway, as callers outside reach it.
        runtime: Clock and ids.
    """

    def __init__(self, upstream: Upstream, runtime: Runtime) -> None:
        self._edge = upstream.edge("crowd", BUYER, works=False)
        self._runtime = runtime

    def new_key(self) -> str:
        """An Idempotency-Key."""
        return self._runtime.new_id()

    async def buy(self, user_id: str, event_id: str, key: str) -> Heard:
        """Try to buy one seat, once."""
        body = {"user_id": user_id, "event_id": event_id, "quantity": 1}
        mono = self._runtime.mono
        began_s = mono()
        try:
            with without_deadline():
                answer = await self._edge.send(
                    "POST", "/api/reserve", json=body, headers={"idempotency-key": key}
                )
        except (NotSent, InDoubt):
            return Heard(0, "no_answer", None, began_s, mono(), began_s)
        ended_s = mono()
        try:
            found = answer.json()
        except ValueError:
            found = {}
        code = str(found.get("code") or found.get("status")) if isinstance(found, dict) else "?"
        wait = answer.headers.get("retry-after", "")
        wait_s = float(wait) if wait.isdigit() else None
        return Heard(answer.status_code, code, wait_s, began_s, ended_s, began_s)
