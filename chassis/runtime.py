"""The one seam for every effect: time, randomness, ids, the network and the database.

Nothing else in the project reads a clock, a random source or an id, so a whole mesh can run on virtual time,
deterministically. Two builders: `real` for processes, `simulated` for tests and simulation.
"""

import asyncio
import os
import random
import secrets
import sqlite3
import ssl
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import aiosqlite
import httpx

import resilience
from chassis.mutual import Certificates
from chassis.tracing import OFF, Tracing
from chassis.wire import Wire

MAX_CONNECTIONS: Final = 20
"""Connections per upstream."""

_KEEPALIVE_S: Final = 10.0  # below uvicorn's 30 s, so that we close first and never race its close

_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)


async def _no_program(command: Sequence[str], _limit_s: float) -> tuple[int, bytes]:
    msg = f"{command[0]}: a simulated process starts no other"
    raise OSError(msg)


@dataclass(frozen=True, slots=True)
class Runtime:
    """Every effect a service may have.

    Attributes:
        now: Aware UTC wall clock, for stored instants and for people.
        mono: Monotonic seconds, for durations.
        random: Source of jitter and sampling; never of secrets.
        new_id: 32 hex characters, 128 bits, unguessable in the real builder.
        http: Transport factory by upstream name.
        connect_db: Opens the SQLite file at a path and returns its aiosqlite connection, opened.
        resilience: The policy library's own seam, on the same clock.
        exit_process: Ends the process at once, without cleaning up; the fault `crash_at` calls it.
        run_program: Runs a program and gives its exit code and what it said. It ends with its caller: when that is
            cancelled, and with TimeoutError after so many seconds.
        tracing: Records spans; off unless it is asked for, and always in simulation.
    """

    now: Callable[[], datetime]
    mono: Callable[[], float]
    random: random.Random
    new_id: Callable[[], str]
    http: Callable[[str], httpx.AsyncBaseTransport]
    connect_db: Callable[[Path], Awaitable[aiosqlite.Connection]]
    resilience: resilience.Runtime
    exit_process: Callable[[int], object] = os._exit
    run_program: Callable[[Sequence[str], float], Awaitable[tuple[int, bytes]]] = _no_program
    tracing: Tracing = OFF


def real(
    wire: Literal["httpx", "own"] = "own",
    certificates: Certificates | None = None,
    tracing: Tracing = OFF,
) -> Runtime:
    """The effects of a real process: system clocks, sockets, files.

    Args:
        wire: The transport that `Runtime.http` makes; stock httpx is there to be compared with (docs/adr/0013).
        certificates: By which it calls, if services know each other by certificates. Those calls go by stock httpx.
        tracing: Records spans.
    """
    rng = random.Random()  # noqa: S311 - jitter; secrets and ids come from `secrets`

    def http(upstream: str) -> httpx.AsyncBaseTransport:
        stock = partial(_stock, upstream, certificates)
        if wire == "httpx":
            return stock()
        return Wire(max_connections=MAX_CONNECTIONS, keepalive_s=_KEEPALIVE_S, secure=stock)

    async def connect_db(path: Path) -> aiosqlite.Connection:
        path.parent.mkdir(parents=True, exist_ok=True)
        return await aiosqlite.connect(path, isolation_level=None, timeout=5.0)

    return Runtime(
        now=lambda: datetime.now(UTC),
        mono=time.monotonic,
        random=rng,
        new_id=lambda: secrets.token_hex(16),
        http=http,
        connect_db=connect_db,
        resilience=resilience.Runtime(clock=time.monotonic, sleep=asyncio.sleep, random=rng.random),
        run_program=_run_program,
        tracing=tracing,
    )


async def _run_program(command: Sequence[str], limit_s: float) -> tuple[int, bytes]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(limit_s):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, said


def _stock(upstream: str, certificates: Certificates | None) -> httpx.AsyncBaseTransport:
    limits = httpx.Limits(
        max_connections=MAX_CONNECTIONS,
        max_keepalive_connections=MAX_CONNECTIONS,
        keepalive_expiry=_KEEPALIVE_S,
    )
    if certificates is None:
        return _StockWire(verify=ssl.create_default_context(), limits=limits, trust_env=False)
    found = _StockWire(verify=certificates.for_calls(), limits=limits, trust_env=False)
    found.certified = upstream
    return found


class _StockWire(httpx.AsyncHTTPTransport):
    """httpx's own transport, out of which nothing comes but httpx's errors.

    A connection that is reset while it is being opened makes anyio raise AttributeError (its socket is gone already),
    which httpcore and httpx let through: a caller would take it for a bug of its own. It is silence like any other.

    Attributes:
        certified: Whose certificate the far end must show; that of its address if None.
    """

    certified: str | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.certified is not None:
            request.extensions = {**request.extensions, "sni_hostname": self.certified}
        try:
            return await super().handle_async_request(request)
        except httpx.HTTPError:
            raise
        except Exception as error:
            raise httpx.ReadError(repr(error), request=request) from error


class InlineConnection(aiosqlite.Connection):
    """An aiosqlite connection without its thread: each function runs on the loop after a short virtual delay.

    As with the real one, a cancelled caller does not stop a queued function.
    """

    async def _connect(self) -> "InlineConnection":
        self._connection = self._connector()
        return self

    def __await__(self) -> Generator[Any, None, "InlineConnection"]:
        return self._connect().__await__()

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._connection is None:
            raise ValueError("Connection closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        loop.call_at(self._when_s(loop.time()), self._run, future, fn, args, kwargs)
        return await future

    def _when_s(self, now_s: float) -> float:
        """Loop time at which a function called now runs."""
        return now_s + 0.0005

    @staticmethod
    def _run(
        future: asyncio.Future[Any],
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        try:
            result = fn(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - hands every error to the waiter, as aiosqlite's thread does
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(result)

    async def close(self) -> None:
        """As aiosqlite's."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _no_exit(code: int) -> None:
    msg = f"exit {code}: a simulated process has no exit but the one that Runtime.exit_process is replaced by"
    raise RuntimeError(msg)


def simulated(seed: int, transports: Mapping[str, httpx.AsyncBaseTransport]) -> Runtime:
    """Effects on the running loop's virtual time, all drawn from `seed`.

    Args:
        seed: Names every random draw and id.
        transports: The simulated network: upstream name to transport. Filled by whoever builds the mesh; looked up
            when a client is built.
    """
    rng = random.Random(seed)  # noqa: S311 - simulation is repeatable on purpose

    def mono() -> float:
        return asyncio.get_running_loop().time()

    async def connect_db(path: Path) -> aiosqlite.Connection:
        def connector() -> sqlite3.Connection:
            return sqlite3.connect(path, isolation_level=None, timeout=0)

        return await InlineConnection(connector, 64)

    return Runtime(
        now=lambda: _EPOCH + timedelta(seconds=mono()),
        mono=mono,
        random=rng,
        new_id=lambda: f"{rng.getrandbits(128):032x}",
        http=lambda upstream: transports[upstream],
        connect_db=connect_db,
        resilience=resilience.Runtime(clock=mono, sleep=asyncio.sleep, random=rng.random),
        exit_process=_no_exit,
    )
