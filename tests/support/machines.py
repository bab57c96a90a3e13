"""State machines beside a model: something that lives on a virtual loop, driven step by step from synchronous code."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings

from chassis.errors import StorageUnavailable
from resilience.testing import VirtualTimeLoop

LONG = "fuzz"
"""The profile of long runs: `pytest -p tests.support.machines --hypothesis-profile fuzz`."""

TRIES = 3
"""How often a store tries a transaction whose outcome is unknown."""

settings.register_profile(LONG)


def budget(examples: int, steps: int) -> settings:
    """So many runs of so many steps, the same ones every time; thirty times as many, by chance, in long runs."""
    is_long = settings.get_current_profile_name() == LONG
    return settings(
        max_examples=examples * (30 if is_long else 1),
        stateful_step_count=steps,
        derandomize=not is_long,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


def in_memory() -> tempfile.TemporaryDirectory[str]:
    """A folder for databases that need not outlive anything: where Linux has one, without a disk behind it."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)


class Life:
    """What `opened()` yields, alive between the steps of a machine.

    Args:
        opened: Opens it; called again after a stop.
    """

    def __init__(self, opened: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self.loop = VirtualTimeLoop()
        self._opened = opened
        # Rewritten by `start` only.
        self.it: Any = None

    def start(self) -> None:
        """Open it."""
        ready, self._stopping = self.loop.create_future(), self.loop.create_future()

        async def live() -> None:
            async with self._opened() as it:
                ready.set_result(it)
                await self._stopping

        self._living = self.loop.create_task(live())
        self.loop.run_until_complete(self._first_of(ready))
        self.it = ready.result()

    async def _first_of(self, ready: asyncio.Future[None]) -> None:
        await asyncio.wait([ready, self._living], return_when=asyncio.FIRST_COMPLETED)
        if self._living.done():
            self._living.result()

    def stop(self) -> None:
        """Close it in good order."""
        self._stopping.set_result(None)
        self.loop.run_until_complete(self._living)

    def run(self, call: Awaitable[Any]) -> Any:
        """Let the loop go on until `call` has its result."""
        return self.loop.run_until_complete(call)

    def close(self) -> None:
        """The end."""
        if not self._living.done():
            self.stop()
        self.loop.close()


class Flaps:
    """What happens to the next commits: each fails `before` or `after` it took effect; then they succeed."""

    def __init__(self) -> None:
        # Set by a machine before a step, emptied by the commits.
        self.coming: list[str] = []

    def __call__(self) -> str | None:
        """For `Writer.open(plan=…)`."""
        return self.coming.pop(0) if self.coming else None

    def through(self, life: Life, call: Callable[[], Awaitable[Any]], flaps: list[str]) -> Any:
        """What `call()` gives in spite of `flaps`.

        Where every try fails the store has to say that it does not know, and keeps what one of them may have done:
        then the call is made again, and what it gives is what it would have given the first time.

        Returns:
            Its value, the refusal that it raised, or None if nothing was done at all.
        """
        self.coming[:] = flaps
        found = outcome(life, call)
        assert isinstance(found, StorageUnavailable) == (len(flaps) >= TRIES), found
        self.coming.clear()
        if not isinstance(found, StorageUnavailable):
            return found
        return outcome(life, call) if "after" in flaps else None


def outcome(life: Life, call: Callable[[], Awaitable[Any]]) -> Any:
    """The value of a call, or what it raised."""
    try:
        return life.run(call())
    except Exception as error:  # noqa: BLE001 - whatever it is, a machine judges it
        return error
