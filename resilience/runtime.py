"""The library's one seam: where it gets time and chance from.

Invariant: nothing else in this package reads a clock, sleeps or draws a random number. What must
agree with the event loop's timers runs on those instead: the ambient deadline, the attempt timeout,
a hedge's delay and a queue's patience.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Runtime:
    """Three effects; tests and simulations pass their own (`resilience.testing`).

    Attributes:
        clock: Monotonic seconds; only differences are used.
        sleep: Waits that many seconds; must end with `CancelledError` when cancelled.
        random: A float in [0, 1), for jitter only.
    """

    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]

    @classmethod
    def real(cls) -> "Runtime":
        """The effects of a real process: monotonic clock, asyncio's sleep, an own random source."""
        return cls(clock=time.monotonic, sleep=asyncio.sleep, random=random.Random().random)  # noqa: S311 - jitter
