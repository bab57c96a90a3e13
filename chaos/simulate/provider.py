"""The payment provider as a host of its own: ledger and process are not payments', and the network lies between.

`Remote` is what payments holds; `running` answers at the other end. The actions are those of `payments.clients`.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.runtime import Runtime
from chassis.sqlite import Writer
from chassis.telemetry import Metrics
from payments.clients import (
    PROVIDER_SCHEMA,
    NoAnswer,
    OutOfOrder,
    ProviderState,
    SimulatedProvider,
    Verdict,
)

_REFUSED: Final = 409


class Remote:
    """A `Provider` at the other end of the network.

    Args:
        wire: The way out of payments' host.
    """

    def __init__(self, wire: httpx.AsyncBaseTransport) -> None:
        self._wire = wire

    async def authorize(self, payment_ref: str, amount_minor: int, currency: str) -> Verdict:
        """As `Provider`."""
        verdict: Verdict = await self._ask("authorize", payment_ref, amount_minor, currency)
        return verdict

    async def capture(self, payment_ref: str) -> None:
        """As `Provider`."""
        await self._ask("capture", payment_ref)

    async def void(self, payment_ref: str) -> None:
        """As `Provider`."""
        await self._ask("void", payment_ref)

    async def refund(self, payment_ref: str) -> None:
        """As `Provider`."""
        await self._ask("refund", payment_ref)

    async def lookup(self, payment_ref: str) -> ProviderState | None:
        """As `Provider`."""
        state: ProviderState | None = await self._ask("lookup", payment_ref)
        return state

    async def _ask(self, action: str, *arguments: object) -> Any:
        request = httpx.Request(
            "POST", f"http://provider/{action}", content=json.dumps(arguments).encode()
        )
        try:
            answer = await self._wire.handle_async_request(request)
        except httpx.TransportError as error:
            raise NoAnswer(repr(error)) from error
        if answer.status_code == _REFUSED:
            raise OutOfOrder(answer.text)
        if not answer.is_success:
            raise NoAnswer(f"answered {answer.status_code}")
        return answer.json()


@asynccontextmanager
async def running(
    runtime: Runtime, *, declines: float, latency_s: float
) -> AsyncIterator[tuple[ASGIApp, dict[str, Any]]]:
    """The provider's process.

    Args:
        runtime: Its effects.
        declines: Share of authorizations that it declines.
        latency_s: Time of each of its actions.
    """

    def declined() -> bool:
        return runtime.random.random() < declines

    async with Writer.open(
        Path("provider.db"), PROVIDER_SCHEMA, runtime, Metrics(), plan=lambda: None
    ) as books:
        yield _app(SimulatedProvider(books, runtime, declines=declined, latency_s=latency_s)), {}


def _app(provider: SimulatedProvider) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        arguments = json.loads((await receive())["body"])
        action: Callable[..., Awaitable[object]] = getattr(provider, scope["path"][1:])
        status: int = 200
        try:
            found = await action(*arguments)
        except OutOfOrder as error:
            status, found = _REFUSED, str(error)
        except NoAnswer as error:
            status, found = 503, str(error)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(found).encode()})

    return app
