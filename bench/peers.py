# ruff: noqa: PLC0415, PLW0108 - imported when asked for; each `make` makes a new one, with new state
"""The libraries that ours is measured against: their venv, and each one's way to make a call.

Nothing of them is imported at module level: this file is read before they are installed.
"""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements-bench.lock"
LONG_S, ROOM = 30.0, 1000  # time limits and slots that are never reached

Work = Callable[[], Awaitable[Any]]
Make = Callable[[Work], Work]


# --------------------------------------------------------------------------- venv of the peers
def in_peers_venv(module: str) -> bool:
    """True inside the venv; outside, make it, run `module` there and leave with its exit code."""
    key = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:12]
    home = ROOT / "var" / "bench" / key
    if Path(sys.prefix).resolve() == home.resolve():
        return True
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (home / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        if not (missing := _install(python)):
            (home / "complete").touch()
        (home / "missing.json").write_text(json.dumps(missing), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [python, "-m", module, *sys.argv[1:]]
    sys.exit(subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode)


def _install(python: Path) -> dict[str, str]:
    """Install all, or else whatever can be; what could not, by name, with pip's last words."""
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes"]
    if subprocess.run([*pip, "-r", LOCK], check=False, capture_output=True).returncode == 0:
        return {}
    missing = {}
    with tempfile.TemporaryDirectory() as folder:
        one = Path(folder) / "one.txt"
        for block in LOCK.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
            one.write_text(block, encoding="utf-8")
            command = [*pip, "--no-deps", "-r", one]
            tried = subprocess.run(command, check=False, capture_output=True, text=True)
            if tried.returncode:
                said = [line for line in tried.stderr.splitlines() if line.startswith("ERROR: ")]
                missing[block.split("==")[0]] = said[0][7:] if said else "pip failed"
    return missing


def not_installed(package: str) -> str:
    """Why the package could not be installed; empty if it was."""
    found = json.loads((Path(sys.prefix) / "missing.json").read_text(encoding="utf-8"))
    return str(found.get(package, ""))


async def settle(work: Coroutine[Any, Any, Any], limit_s: float = 20.0) -> Any:
    """The result, or the exception as a value: what breaks in a peer is a finding."""
    (outcome,) = await asyncio.gather(asyncio.wait_for(work, limit_s), return_exceptions=True)
    return outcome


# --------------------------------------------------------------------------- ways to call
Found = Iterator[tuple[str, str, Make]]


def yardsticks() -> Found:
    """What nobody gets below, and the standard library's own parts."""

    def timeout(fn: Work) -> Work:
        async def call() -> Any:
            async with asyncio.timeout(LONG_S):
                return await fn()

        return call

    def semaphore(fn: Work) -> Work:
        slots = asyncio.Semaphore(ROOM)

        async def call() -> Any:
            async with slots:
                return await fn()

        return call

    yield "yardstick", "bare await", lambda fn: fn
    yield "timeout", "asyncio.timeout", timeout
    yield "limit", "asyncio.Semaphore", semaphore


def ours() -> Found:
    """Each part alone, then all of them; `Pipeline.call` as services use it."""
    from resilience import Breaker, Limit, Policy, Retry, deadline

    full = Policy(attempt_s=LONG_S, retry=Retry(), breaker=Breaker(), limit=Limit(fixed=ROOM))

    def bound(policy: Policy, *listeners: Callable[[object], None]) -> Make:
        def make(fn: Work) -> Work:
            pipeline = policy.bind("bench", on_event=listeners)
            return partial(pipeline.call, fn)

        return make

    def own_deadline(policy: Policy, *listeners: Callable[[object], None]) -> Make:
        def make(fn: Work) -> Work:
            pipeline = policy.bind("bench", on_event=listeners)

            async def call() -> Any:
                with deadline(LONG_S):
                    return await pipeline.call(fn)

            return call

        return make

    yield "yardstick", "resilience, empty Policy", bound(Policy())
    yield "retry", "resilience Retry + Quota", bound(Policy(retry=Retry()))
    yield "retry", "resilience Retry, no quota", bound(Policy(retry=Retry(quota=None)))
    yield "breaker", "resilience Breaker", bound(Policy(breaker=Breaker()))
    yield "limit", "resilience Limit(fixed)", bound(Policy(limit=Limit(fixed=ROOM)))
    yield "limit", "resilience Limit, adaptive", bound(Policy(limit=Limit()))
    yield "timeout", "resilience attempt_s", bound(Policy(attempt_s=LONG_S))
    yield "stack", "resilience D+R+Q+CB+L+T", own_deadline(full)
    yield "stack", "resilience D+R+Q+CB+L+T, a listener", own_deadline(full, lambda _: None)
    yield "stack", "resilience R+Q+CB+L+T", bound(full)


def tenacity_() -> Found:
    """Three spellings of the same retry."""
    import tenacity as t

    how = {
        "stop": t.stop_after_attempt(3),
        "wait": t.wait_random_exponential(multiplier=0.05, max=1),
        "retry": t.retry_if_exception_type(Exception),
        "reraise": True,
    }

    def iterator(fn: Work) -> Work:
        async def call() -> Any:
            async for attempt in t.AsyncRetrying(**how):
                with attempt:
                    return await fn()
            return None

        return call

    def shared(fn: Work) -> Work:
        retrying = t.AsyncRetrying(**how)
        return partial(retrying, fn)

    yield "retry", "tenacity @retry", t.retry(**how)
    yield "retry", "tenacity AsyncRetrying(fn)", shared
    yield "retry", "tenacity async for", iterator


def stamina_() -> Found:
    """Retry."""
    import stamina

    yield "retry", "stamina @retry", stamina.retry(on=Exception, attempts=3, wait_jitter=0.1)


def hyx_() -> Found:
    """Each part, and all four."""
    from hyx.bulkhead import bulkhead
    from hyx.circuitbreaker import consecutive_breaker
    from hyx.retry import retry
    from hyx.timeout import timeout

    def stack(fn: Work) -> Work:
        inner = bulkhead(max_concurrency=ROOM, max_capacity=2 * ROOM)(timeout(LONG_S)(fn))
        return retry(on=Exception, attempts=3)(consecutive_breaker(exceptions=Exception)(inner))

    yield "retry", "hyx", lambda fn: retry(on=Exception, attempts=3)(fn)
    yield "breaker", "hyx", lambda fn: consecutive_breaker(exceptions=Exception)(fn)
    yield "limit", "hyx", lambda fn: bulkhead(max_concurrency=ROOM, max_capacity=2 * ROOM)(fn)
    yield "timeout", "hyx (a task per call)", lambda fn: timeout(LONG_S)(fn)
    yield "stack", "hyx R+CB+L+T", stack


def purgatory_() -> Found:
    """Breaker."""
    from purgatory import AsyncCircuitBreakerFactory

    yield "breaker", "purgatory", lambda fn: AsyncCircuitBreakerFactory()("bench")(fn)


def aiobreaker_() -> Found:
    """Breaker."""
    from aiobreaker import CircuitBreaker

    yield "breaker", "aiobreaker", lambda fn: CircuitBreaker(fail_max=5)(fn)


def interlock_() -> Found:
    """Breaker, and its pipeline (retry by tenacity)."""
    from interlock import CircuitBreaker
    from interlock.pipeline import Pipeline

    def alone(fn: Work) -> Work:
        breaker = CircuitBreaker(name="bench")
        return partial(breaker.call_async, fn)

    def stack(fn: Work) -> Work:
        builder = Pipeline.builder().retry(attempts=3)
        builder = builder.circuit_breaker(CircuitBreaker(name="bench"))
        return builder.bulkhead(ROOM).timeout(LONG_S).build()(fn)

    yield "breaker", "interlock", alone
    yield "stack", "interlock Pipeline R+CB+L+T", stack


def fluxgate_() -> Found:
    """Breaker."""
    from fluxgate import AsyncCircuitBreaker

    yield "breaker", "fluxgate", lambda fn: AsyncCircuitBreaker()(fn)


def nopanic_() -> Found:
    """Each part, all four, and all four with deadline and retry budget."""
    import nopanic as n

    def four(**more: Any) -> list[Any]:
        return [
            n.retry(attempts=3, **more),
            n.circuit_breaker(),
            n.bulkhead(ROOM),
            n.timeout(LONG_S),
        ]

    def six(fn: Work) -> Work:
        return n.compose(n.deadline(LONG_S), *four(budget=n.RetryBudget(0.2)))(fn)

    yield "retry", "nopanic", lambda fn: n.retry(attempts=3)(fn)
    yield "retry", "nopanic + RetryBudget", lambda fn: n.retry(budget=n.RetryBudget(0.2))(fn)
    yield "breaker", "nopanic", lambda fn: n.circuit_breaker()(fn)
    yield "limit", "nopanic", lambda fn: n.bulkhead(ROOM)(fn)
    yield "timeout", "nopanic", lambda fn: n.timeout(LONG_S)(fn)
    yield "stack", "nopanic R+CB+L+T", lambda fn: n.compose(*four())(fn)
    yield "stack", "nopanic D+R+budget+CB+L+T", six


def grit_() -> Found:
    """Each part, and all four."""
    import grit as g

    def four() -> list[Any]:
        return [g.retry(tries=3), g.breaker(), g.bulkhead(ROOM), g.timeout(LONG_S)]

    yield "retry", "grit", lambda fn: g.retry(tries=3)(fn)
    yield "breaker", "grit", lambda fn: g.breaker()(fn)
    yield "limit", "grit", lambda fn: g.bulkhead(ROOM)(fn)
    yield "timeout", "grit", lambda fn: g.timeout(LONG_S)(fn)
    yield "stack", "grit policy R+CB+L+T", lambda fn: g.policy(*four())(fn)


def aioresilience_() -> Found:
    """Each part, and all four."""
    import aioresilience as a
    from aioresilience.bulkhead import with_bulkhead
    from aioresilience.circuit_breaker import with_circuit_breaker
    from aioresilience.retry import with_retry
    from aioresilience.timeout import with_timeout_manager

    def retry(fn: Work) -> Work:
        return with_retry(a.RetryPolicy(a.RetryConfig(initial_delay=0.05)))(fn)

    def breaker(fn: Work) -> Work:
        return with_circuit_breaker(a.CircuitBreaker("bench"))(fn)

    def bulkhead(fn: Work) -> Work:
        return with_bulkhead(a.Bulkhead("bench", a.BulkheadConfig(max_concurrent=ROOM)))(fn)

    def timeout(fn: Work) -> Work:
        return with_timeout_manager(a.TimeoutManager(a.TimeoutConfig(timeout=LONG_S)))(fn)

    yield "retry", "aioresilience", retry
    yield "breaker", "aioresilience", breaker
    yield "limit", "aioresilience", bulkhead
    yield "timeout", "aioresilience", timeout
    yield "stack", "aioresilience R+CB+L+T", lambda fn: retry(breaker(bulkhead(timeout(fn))))


def by_hand() -> Found:
    """Stacks put together from several libraries: the usual one, and the cheapest parts of all."""
    import hyx.circuitbreaker
    import nopanic
    import tenacity as t
    from aiobreaker import CircuitBreaker

    def core(fn: Work) -> Work:
        slots = asyncio.Semaphore(ROOM)

        async def call() -> Any:
            async with slots, asyncio.timeout(LONG_S):
                return await fn()

        return call

    usual = t.retry(
        stop=t.stop_after_attempt(3), wait=t.wait_random_exponential(0.05, max=1), reraise=True
    )
    cheap = hyx.circuitbreaker.consecutive_breaker
    yield "stack", "tenacity + aiobreaker + stdlib", lambda fn: usual(CircuitBreaker()(core(fn)))
    yield "stack", "nopanic R + hyx CB + stdlib", lambda fn: nopanic.retry()(cheap()(core(fn)))


SOURCES: dict[str, Callable[[], Found]] = {
    "": yardsticks,
    "resilience": ours,
    "tenacity": tenacity_,
    "stamina": stamina_,
    "hyx": hyx_,
    "purgatory": purgatory_,
    "aiobreaker": aiobreaker_,
    "interlock-cb": interlock_,
    "fluxgate": fluxgate_,
    "nopanic": nopanic_,
    "grit-toolkit": grit_,
    "aioresilience": aioresilience_,
    "(mixed)": by_hand,
}
"""Where variants come from, by distribution."""
