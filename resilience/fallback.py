"""Fallback: a second-best answer where the call came to nothing.

Outermost, so it sees what is left when retries, hedges and other hosts are used up, and it answers
even when the deadline has passed (so its function must be quick: nothing cuts it).

Not here: stale caches. A function that looks one up is a fallback. Source: Polly v8
`docs/strategies/fallback.md`, with its warning: a fallback that can fail itself hides the outage
twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Final

import httpx

from resilience.errors import is_outage
from resilience.events import Emitter
from resilience.layer import Call, Layer, Wrap

_OF_THE_WIRE: Final = frozenset({"content-encoding", "content-length", "transfer-encoding"})


@dataclass(frozen=True)
class Fallback:
    """What to answer instead of a failure.

    Attributes:
        value: The answer, or a function from the failure to the answer (awaited if need be). In a
            `ResilientTransport` the answer is an `httpx.Response`; each call gets a copy.
        on: Which failures are replaced, instead of `errors.is_outage`. Cancellations never are.
    """

    value: object
    on: Callable[[Exception], bool] | None = None

    def replaces(self, exc: Exception) -> bool:
        """Whether the failure is answered for."""
        return is_outage(exc) if self.on is None else self.on(exc)

    async def answer(self, exc: Exception) -> Any:
        """The answer instead of this failure. Raises what the function raises."""
        value: Any = self.value
        if callable(value):
            value = value(exc)
            if isawaitable(value):
                value = await value
        return _copy(value) if isinstance(value, httpx.Response) else value


def replaced(fallback: Fallback, emitter: Emitter) -> Wrap:
    """Layer that answers for failed calls."""

    def wrap(proceed: Layer) -> Layer:
        async def covered(fn: Call) -> Any:
            try:
                return await proceed(fn)
            except Exception as exc:
                if not fallback.replaces(exc):
                    raise
                emitter.emit("fallback", error=type(exc).__name__)
                return await fallback.answer(exc)

        return covered

    return wrap


def _copy(response: httpx.Response) -> httpx.Response:
    """A response of one call only: the client that gets it writes into it."""
    headers = [pair for pair in response.headers.multi_items() if pair[0] not in _OF_THE_WIRE]
    return httpx.Response(
        response.status_code, headers=headers, stream=httpx.ByteStream(response.content)
    )
