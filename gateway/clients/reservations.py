"""Calls to reservations: who may repeat what, and what silence means.

A first send is repeated on a refused connection only, so that it reaches reservations at most once; what is in doubt
afterwards is asked again by `resend`, which reservations recognises by key and delivery.
"""

from collections.abc import Mapping
from typing import Any, Final

import httpx

from chassis.clients import InDoubt, NotSent, Refused, Upstream
from chassis.errors import DeadlineGone
from chassis.runtime import Runtime
from gateway.clients.refusals import is_public, relayed
from gateway.errors import RecordsUnavailable, ReservationsUnavailable
from resilience import Breaker, DeadlineExceeded, Limit, Policy, Retry

_STATUSES: Final = ("confirmed", "pending", "cancelled", "refunded")


def reserve_policy(deadline_s: float) -> Policy:
    """One attempt, plus one on a refused connection.

    The attempt ends just before the share of the deadline that a first send has, so that the breaker learns of hangs.
    A slow answer that decides something says nothing against reservations: payments may be what is slow.
    """
    return Policy(
        attempt_s=deadline_s - 1.1 if deadline_s > 2.2 else None,
        retry=Retry(2, base_s=0.05, on=lambda error: isinstance(error, httpx.ConnectError)),
        breaker=Breaker(slow_share=1.0, open_cap_s=5.0),
    )


RESEND: Final = Policy(attempt_s=1.5, retry=Retry(attempts=20, base_s=0.1, cap_s=0.5, quota=None))
READ: Final = Policy(
    attempt_s=0.8, retry=Retry(3), breaker=Breaker(open_cap_s=5.0), limit=Limit(fixed=16)
)
CANCEL: Final = Policy(
    attempt_s=1.5, retry=Retry(3, base_s=0.1), breaker=Breaker(slow_share=1.0, open_cap_s=5.0)
)


class Reservations:
    """Typed calls to reservations.

    Args:
        upstream: Its pool.
        runtime: Jitter.
        deadline_s: Total time of a reservation, seconds.
    """

    def __init__(self, upstream: Upstream, runtime: Runtime, deadline_s: float) -> None:
        self._runtime = runtime
        self._reserve = upstream.edge("reserve", reserve_policy(deadline_s))
        self._resend = upstream.edge("resend", RESEND)
        self._read = upstream.edge("read", READ)
        self._cancel = upstream.edge("cancel", CANCEL)

    async def reserve(self, body: Mapping[str, Any], key: str) -> dict[str, Any]:
        """The first send of a delivery.

        Raises:
            Relayed: Reservations decided against it.
            ReservationsUnavailable, DeadlineGone: It provably never got there.
            InDoubt: Nobody here knows.
        """
        try:
            return _understood(await self._reserve.post("/reserve", body, key=key))
        except Refused as refused:
            raise relayed(refused) from None
        except NotSent as error:
            if isinstance(error.__cause__, DeadlineExceeded):
                raise DeadlineGone from None
            raise ReservationsUnavailable(retry_after_s=self._soon_s()) from None

    async def resend(self, body: Mapping[str, Any], key: str) -> dict[str, Any]:
        """Ask again for a delivery that is in doubt, again and again until the deadline.

        Raises:
            Relayed: Reservations decided against it.
            InDoubt: Still nobody knows; "never sent" is no news about the earlier send.
        """
        try:
            return _understood(await self._resend.post("/reserve", body, key=key))
        except Refused as refused:
            if not is_public(refused) or _is_about_itself(refused):
                raise InDoubt(f"re-send: {refused}") from None
            raise relayed(refused) from None
        except NotSent as error:
            raise InDoubt(f"re-send: {error}") from None

    async def view(self, reservation_id: str, token: str | None) -> dict[str, Any]:
        """The reservation as it stands.

        Raises:
            Relayed: Mostly `ReservationNotFound`.
            RecordsUnavailable: No answer.
        """
        try:
            return await self._read.get(f"/reservations/{reservation_id}", headers=_token(token))
        except Refused as refused:
            raise relayed(refused) from None
        except (NotSent, InDoubt):
            raise RecordsUnavailable(retry_after_s=self._soon_s()) from None

    async def cancel(self, reservation_id: str, token: str | None) -> dict[str, Any]:
        """Cancel a confirmed reservation; repeating it is safe.

        Raises:
            Relayed: Reservations decided against it.
            ReservationsUnavailable: It provably never got there.
            InDoubt: Nobody here knows.
        """
        path = f"/reservations/{reservation_id}/cancel"
        try:
            return _understood(
                await self._cancel.post(
                    path, {}, key=f"cancel:{reservation_id}", headers=_token(token)
                )
            )
        except Refused as refused:
            raise relayed(refused) from None
        except NotSent as error:
            if isinstance(error.__cause__, DeadlineExceeded):
                raise DeadlineGone from None
            raise ReservationsUnavailable(retry_after_s=self._soon_s()) from None

    def _soon_s(self) -> float:
        """One, two or three seconds: those who were turned away must not come back in step."""
        return 1.0 + self._runtime.random.randrange(3)


def _is_about_itself(refused: Refused) -> bool:
    """Whether a refused re-send may say nothing about the first send: its own row could not be looked up."""
    return refused.code == "storage_unavailable" and refused.problem.get("replayed") is not True


def _token(token: str | None) -> dict[str, str]:
    return {"x-manage-token": token} if token else {}


def _understood(body: dict[str, Any]) -> dict[str, Any]:
    if body.get("status") in _STATUSES and isinstance(body.get("reservation_id"), str):
        return body
    raise InDoubt("an answer that is not a reservation")
