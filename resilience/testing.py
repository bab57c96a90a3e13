"""Tools for tests of code that uses this library: virtual time, scripted callees, captured events.

```python
def test_second_try_succeeds():
    callee = Script(httpx.ConnectError("refused"), 200)
    events = capture_events()

    async def scenario() -> int:
        transport = ResilientTransport(
            Policy(retry=Retry(3)), callee, runtime=virtual_runtime(), on_event=[events]
        )
        async with httpx.AsyncClient(transport=transport) as http:
            return (await http.get("http://stock/seats")).status_code

    assert run_virtual(scenario()) == 200
    assert events.kinds() == ["attempt", "retry", "attempt"]
```

Under pytest-asyncio give the loop to all tests of a folder, in its `conftest.py`:

```python
def pytest_asyncio_loop_factories(config, item):
    return {"virtual": VirtualTimeLoop}
```
"""

import asyncio
import random
import selectors
from collections.abc import Coroutine
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, TypeVar

import httpx

from resilience.events import Event
from resilience.runtime import Runtime

T = TypeVar("T")


class Stuck(RuntimeError):
    """Nothing is runnable and no timer is pending: in real time the test would hang for ever."""


class _JumpingSelector(selectors.SelectSelector):
    """Polls instead of waiting, and moves the time by what would have been waited."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now; if nothing is, it is later."""
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise Stuck("nothing is runnable and no timer is pending")
        self.now_s += max(0.0, timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose time jumps to the next timer as soon as nothing else can run.

    Begins at 0. Deterministic as long as nothing inside does real I/O or uses threads: a jump does
    not wait for them. Sockets that are ready are served, but their delays take no virtual time.

    Raises:
        Stuck: From `run_until_complete`, when no progress is possible.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now_s


def run_virtual(coro: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`, on a `VirtualTimeLoop` of its own."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coro)


def virtual_runtime(seed: int = 0) -> Runtime:
    """A runtime on the running loop's time, with seeded chance: for tests on a virtual loop."""
    return Runtime(
        clock=lambda: asyncio.get_running_loop().time(),
        sleep=asyncio.sleep,
        random=random.Random(seed).random,  # noqa: S311 - jitter
    )


class FakeClock:
    """A clock that stands still until it is told to advance; for code without an event loop."""

    def __init__(self, start_s: float = 0.0) -> None:
        self.now_s = start_s
        self.waits_s: list[float] = []

    def __call__(self) -> float:
        """The time, seconds."""
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds

    async def sleep(self, seconds: float) -> None:
        """Let time pass at once, noting the wait in `waits_s`."""
        self.waits_s.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)


def fake_runtime(clock: FakeClock, chance: float = 0.5) -> Runtime:
    """A runtime on a `FakeClock`, whose random source always answers `chance`."""
    return Runtime(clock=clock, sleep=clock.sleep, random=lambda: chance)


@dataclass(frozen=True)
class After:
    """A step that takes time.

    Attributes:
        delay_s: Seconds before the step happens; `math.inf` hangs until cancelled.
        step: What happens then.
    """

    delay_s: float
    step: object = 200


class Script(httpx.AsyncBaseTransport):
    """A callee that does what it is told, step by step; the last step repeats for ever.

    Use it as a transport, or call it as a coroutine function (`Policy.call(script)`).

    Args:
        steps: What each attempt meets. An exception is raised; as a transport an int is an answer
            with that status; `httpx.Response` is copied and returned; a function is called with
            the attempt's arguments (the request, for a transport) and its result, awaited if need
            be, is a step again; `After` delays. Anything else is returned.

    Attributes:
        requests: The requests seen, as a transport.
        times_s: Loop time at which each attempt began.
        cancelled: How many attempts were cancelled while they ran.
    """

    def __init__(self, *steps: object) -> None:
        if not steps:
            raise ValueError("a script needs at least one step")
        self._steps = steps
        self.requests: list[httpx.Request] = []
        self.times_s: list[float] = []
        self.cancelled = 0
        self.closed = False

    @property
    def attempts(self) -> int:
        """How many attempts were made."""
        return len(self.times_s)

    async def __call__(self, *args: object) -> Any:
        """Play the next step."""
        self.times_s.append(asyncio.get_running_loop().time())
        step = self._steps[min(self.attempts, len(self._steps)) - 1]
        try:
            return await self._play(step, args)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Play the next step as an answer to the request."""
        self.requests.append(request)
        answer = await self(request)
        return _response(answer)

    async def aclose(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    async def _play(self, step: object, args: tuple[object, ...]) -> Any:
        if isinstance(step, After):
            await _delay(step.delay_s)
            return await self._play(step.step, args)
        if isinstance(step, BaseException) or (
            isinstance(step, type) and issubclass(step, BaseException)
        ):
            raise step
        if callable(step):
            made = step(*args)
            return await self._play(await made if isawaitable(made) else made, args)
        return step


async def _delay(seconds: float) -> None:
    if seconds == float("inf"):
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(seconds)


def _response(answer: object) -> httpx.Response:
    if isinstance(answer, int):
        return httpx.Response(answer)
    assert isinstance(answer, httpx.Response), f"not an answer: {answer!r}"
    if not answer.is_closed:
        return answer  # a stream can be played only once
    return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


class CapturedEvents(list[Event]):
    """A list that is also a listener."""

    def __call__(self, event: Event) -> None:
        """Note the event."""
        self.append(event)

    def kinds(self) -> list[str]:
        """The kinds, in order."""
        return [event.kind for event in self]

    def of(self, kind: str) -> list[Event]:
        """The events of one kind, in order."""
        return [event for event in self if event.kind == kind]


def capture_events() -> CapturedEvents:
    """A listener that remembers: pass it as `on_event=[events]`."""
    return CapturedEvents()
