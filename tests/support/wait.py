"""The only place where a test may wait: for other processes and for real time."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

_LOOK_EVERY_S = 0.02


async def until(condition: Callable[[], Any | Awaitable[Any]], limit_s: float) -> Any:
    """Look at `condition` until it is true and return what it gave; fail after `limit_s` seconds.

    The limit is a bound, not a claim about speed.

    Args:
        condition: Plain or async; `AssertionError` and `OSError` mean "not yet".
        limit_s: Longest wait, seconds.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + limit_s
    while True:
        last: object
        try:
            last = condition()
            if inspect.isawaitable(last):
                last = await last
            if last:
                return last
        except (AssertionError, OSError) as error:
            last = error
        if loop.time() >= end:
            msg = f"not true within {limit_s} s; last seen: {last!r}"
            raise AssertionError(msg)
        await asyncio.sleep(_LOOK_EVERY_S)
