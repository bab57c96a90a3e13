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
        took_s: From asking to hearing, seconds.
    """

    status: int
    code: str
    retry_after_s: float | None
    took_s: float


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
        began_s = self._runtime.mono()
        try:
            with without_deadline():
                answer = await self._edge.send(
                    "POST", "/api/reserve", json=body, headers={"idempotency-key": key}
                )
        except (NotSent, InDoubt):
            return Heard(0, "no_answer", None, self._runtime.mono() - began_s)
        took_s = self._runtime.mono() - began_s
        try:
            found = answer.json()
        except ValueError:
            found = {}
        code = str(found.get("code") or found.get("status")) if isinstance(found, dict) else "?"
        wait = answer.headers.get("retry-after", "")
        return Heard(answer.status_code, code, float(wait) if wait.isdigit() else None, took_s)
