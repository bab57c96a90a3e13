"""Buyers as load and race need them: many at once, each answer with its code and its time.

httpx slows down with the square of what is in flight in one pool, so buyers are spread over small
pools that share nothing.
"""

import asyncio
import itertools
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import httpx

from chaos.journal import Journal, Op, entry_of

POOL: Final = 10
"""Connections per pool."""

ANSWER_LIMIT_S: Final = 15.0
"""Longest wait for one answer, seconds: three times the gateway's own total."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one POST came to.

    Attributes:
        status: HTTP status; 0 when no answer came.
        code: `status` of a reservation, `code` of a problem, or the name of the failure.
        retry_after_s: The answer's Retry-After, seconds, if it had one.
        body: The decoded answer, empty if there was none.
    """

    status: int
    code: str
    retry_after_s: float | None
    body: Mapping[str, Any]


class Buyers:
    """A crowd with its connections; `async with` closes them.

    Args:
        gateway_url: Where they buy.
        at_once: How many may be in flight, for the number of pools.
        transport: Another transport for all of them, for tests.
        journal: Takes down what they ask for and are told.
    """

    def __init__(
        self,
        gateway_url: str,
        at_once: int,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        journal: Journal | None = None,
    ) -> None:
        self._url = gateway_url
        self._journal = journal
        # Plain HTTP on loopback: an empty context saves loading the machine's certificates for each
        # pool.
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        limits = httpx.Limits(max_connections=POOL, max_keepalive_connections=POOL)
        self._clients = [
            httpx.AsyncClient(
                transport=transport
                or httpx.AsyncHTTPTransport(verify=tls, limits=limits, trust_env=False),
                timeout=httpx.Timeout(ANSWER_LIMIT_S, pool=None),
                trust_env=False,
            )
            for _ in range(max(1, -(-at_once // POOL)))
        ]
        self._turns = itertools.cycle(self._clients)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.gather(*(client.aclose() for client in self._clients))

    async def reserve(self, user_id: str, event_id: str, key: str, *, client: str = "") -> Answer:
        """Try to buy one seat, once; `key` is the Idempotency-Key, `client` whoever has one request at a time."""
        body = {"user_id": user_id, "event_id": event_id, "quantity": 1}
        began_s = self._now_s()
        answer = await self._send(
            "POST", f"{self._url}/api/reserve", body, headers={"Idempotency-Key": key}
        )
        self._note("reserve", {**body, "key": key, "client": client}, answer, began_s)
        return answer

    async def count(self, event_id: str) -> None:
        """Take down how many seats an event has and how many are free; nothing without a journal."""
        if self._journal is None:
            return
        began_s = self._now_s()
        answer = await self._send("GET", f"{self._url}/api/events")
        for event in answer.body.get("events", ()):
            if event["event_id"] == event_id:
                seen = {
                    "event_id": event_id,
                    "capacity": event["available"] + event["held"] + event["sold"],
                    "free": event["available"],
                }
                self._note("count", seen, answer, began_s)

    async def reset(
        self, inventory_url: str, event_id: str, seats: int, token: str | None = None
    ) -> Answer:
        """Ask inventory to leave so many free seats (lab only), with the lab's token if it has one."""
        began_s = self._now_s()
        answer = await self._send(
            "POST",
            f"{inventory_url}/admin/reset",
            {"event_id": event_id, "seats": seats},
            {"authorization": f"Bearer {token}"} if token else None,
        )
        self._note("reset", {"event_id": event_id, "quantity": seats}, answer, began_s)
        return answer

    async def call(self, method: str, url: str, body: object = None) -> Answer:
        """Any other request of the same crowd."""
        return await self._send(method, url, body)

    async def _send(
        self, method: str, url: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        try:
            response = await next(self._turns).request(method, url, json=body, headers=headers)
        except httpx.TransportError as error:
            return Answer(0, type(error).__name__, None, {})
        return _answer(response)

    def _now_s(self) -> float:
        return 0.0 if self._journal is None else self._journal.now_s()

    def _note(self, op: Op, asked: Mapping[str, Any], answer: Answer, began_s: float) -> None:
        if self._journal is not None:
            at_s = (began_s, self._journal.now_s())
            status, code = answer.status, answer.code
            self._journal.note(
                entry_of(op, asked, answer.body, status=status, code=code, at_s=at_s)
            )


def _answer(response: httpx.Response) -> Answer:
    try:
        content = response.json()
    except ValueError:
        content = {}
    body = content if isinstance(content, dict) else {}
    code = str(body.get("code") or body.get("status") or "?")
    wait = response.headers.get("retry-after", "")
    if response.headers.get("idempotent-replayed") == "true":
        body = {**body, "replayed": True}
    return Answer(response.status_code, code, float(wait) if wait.isdigit() else None, body)
