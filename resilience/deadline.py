"""How long the caller still waits: one ambient deadline per task, seen by every policy below it.

Invariants: nested deadlines only shrink; nothing is cancelled here (the attempt timeout is what
cuts, and work that a deadline must not cut simply runs outside one). Tasks inherit the deadline of
the code that starts them, so background work begins with `without_deadline`.

Deadlines live on the running loop's clock, because the timers that enforce them do. Across
processes only the time left travels, never an instant: clocks differ (userver, deadline
propagation).
"""

import asyncio
import math
from collections.abc import Callable
from contextvars import ContextVar, Token
from types import TracebackType

_ends_at: ContextVar[float | None] = ContextVar("resilience_deadline", default=None)


class _Ambient:
    """Sets the deadline on entry, restores it on exit; for `with` and `async with`."""

    __slots__ = ("_token",)

    def __init__(self) -> None:
        self._token: Token[float | None] | None = None

    def _when(self) -> float | None:
        raise NotImplementedError

    def __enter__(self) -> None:
        if self._token is not None:
            raise RuntimeError("already entered: make a new one for each block")
        self._token = _ends_at.set(self._when())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._token is not None
        _ends_at.reset(self._token)
        self._token = None

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, exc, trace)


class deadline(_Ambient):  # noqa: N801 - reads as a statement: `async with deadline(2.5):`
    """Everything inside shares this many seconds, or what an enclosing deadline leaves of them.

    ```python
    async with deadline(2.5):
        await http.post(...)  # sent with X-Deadline-Ms, cut when the time is over
    ```

    Args:
        seconds: Finite; zero or less means that the time is already gone.

    Raises:
        ValueError: `seconds` is not finite.
        RuntimeError: Entered outside a running event loop.
    """

    __slots__ = ("_seconds",)

    def __init__(self, seconds: float) -> None:
        if not math.isfinite(seconds):
            raise ValueError("a deadline needs a finite number of seconds")
        self._token = None
        self._seconds = seconds

    def _when(self) -> float:
        mine = asyncio.get_running_loop().time() + self._seconds
        outer = _ends_at.get()
        return mine if outer is None else min(mine, outer)

    @staticmethod
    def remaining_s() -> float | None:
        """Seconds left, zero or less when it has passed, None without an ambient deadline."""
        when = _ends_at.get()
        return None if when is None else when - asyncio.get_running_loop().time()


class without_deadline(_Ambient):  # noqa: N801 - reads as a statement
    """Everything inside has no deadline: for background work and what must be finished anyway."""

    def _when(self) -> None:
        return None


ends_at: Callable[[], float | None] = _ends_at.get
"""The ambient deadline on the running loop's clock, None without one. A C function: asked per attempt."""
