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
    """

    def __init__(
        self, gateway_url: str, at_once: int, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._url = gateway_url
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

    async def reserve(self, user_id: str, event_id: str, key: str) -> Answer:
        """Try to buy one seat, once; `key` is the Idempotency-Key."""
        body = {"user_id": user_id, "event_id": event_id, "quantity": 1}
        try:
            response = await next(self._turns).post(
                f"{self._url}/api/reserve", json=body, headers={"Idempotency-Key": key}
            )
        except httpx.TransportError as error:
            return Answer(0, type(error).__name__, None, {})
        return _answer(response)

    async def call(self, method: str, url: str, body: object = None) -> Answer:
        """Any other request of the same crowd."""
        try:
            return _answer(await next(self._turns).request(method, url, json=body))
        except httpx.TransportError as error:
            return Answer(0, type(error).__name__, None, {})


def _answer(response: httpx.Response) -> Answer:
    try:
        content = response.json()
    except ValueError:
        content = {}
    body = content if isinstance(content, dict) else {}
    code = str(body.get("code") or body.get("status") or "?")
    wait = response.headers.get("retry-after", "")
    return Answer(response.status_code, code, float(wait) if wait.isdigit() else None, body)
