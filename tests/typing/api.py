"""The public types as their users see them. Read by mypy and basedpyright (`make check`), never run.

Every name of `resilience.__all__` and `resilience.testing` is used here the way the documents say. An `assert_type` is
a promise about inference, an ignored error a promise that a mistake is noticed.
"""

from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, assert_type

import httpx

from resilience import (
    AttemptTimeout,
    Balance,
    Breaker,
    BreakerOpen,
    DeadlineExceeded,
    Event,
    FailedResponse,
    Fallback,
    Hedge,
    Limit,
    LimitFull,
    Pipeline,
    Policy,
    Queue,
    Quota,
    RateLimit,
    Refusal,
    Rejected,
    ResilienceError,
    ResilientTransport,
    Retry,
    Runtime,
    Shield,
    Throttled,
    deadline,
    full_jitter_s,
    never_sent,
    read_priority,
    without_deadline,
)
from resilience.events import KINDS
from resilience.testing import (
    After,
    FakeClock,
    Script,
    Stuck,
    VirtualTimeLoop,
    capture_events,
    fake_runtime,
    run_virtual,
    virtual_runtime,
)

# Parts


def is_broken(exc: Exception) -> bool:
    return isinstance(exc, ConnectionResetError)


async def from_the_cache(exc: Exception) -> int:
    return len(str(exc))


POLICY = Policy(
    attempt_s=0.8,
    retry=Retry(3, base_s=0.05, quota=Quota(100), patience_s=1.0, on=is_broken),
    breaker=Breaker(failure_ratio=0.5, on=is_broken),
    limit=Limit(fixed=16),
    hedge=Hedge(after_s=0.2),
    rate_limit=RateLimit(100, burst=20),
    fallback=Fallback(from_the_cache, on=is_broken),
    balance=Balance(consecutive=3),
)
assert_type(POLICY.attempt_s, float | None)
assert_type(POLICY.retry, Retry | None)
assert_type(POLICY.hedge, Hedge | None)
assert_type(Retry(3).backoff_s(2, lambda: 0.5), float)
assert_type(full_jitter_s(2, 0.05, 1.0, lambda: 0.5), float)
assert_type(KINDS.index("retry"), int)

Policy(attempt_s="0.8")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
RateLimit(100)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
POLICY.attempt_s = 1.0  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


# Calls


async def fetch(number: int, *, loud: bool = False) -> str:
    return str(number) * (2 if loud else 1)


def told(event: Event) -> None:
    assert_type(event.kind, str)
    assert_type(event.name, str)
    assert_type(event.at, float)
    assert_type(event.detail["host"], object)


async def call() -> None:
    assert_type(await POLICY.call(fetch, 1), str)
    assert_type(await POLICY.call(fetch, 1, loud=True), str)
    await POLICY.call(fetch, "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await POLICY.call(fetch, 1, quiet=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

    pipeline = POLICY.bind("stock", Runtime.real(), [told], common={"edge": "a"})
    assert_type(pipeline, Pipeline)
    assert_type(await pipeline.call(lambda: fetch(1)), str)
    assert_type(pipeline.rebound(Policy()), Pipeline)
    assert_type(pipeline.snapshot(), dict[str, Any])


async def limited_in_time() -> None:
    with deadline(2.5):
        assert_type(deadline.remaining_s(), float | None)
    async with deadline(2.5), without_deadline():
        await fetch(1)


# Errors


def judged(exc: Exception) -> float | None:
    match exc:
        case BreakerOpen() | LimitFull() | Throttled():
            assert_type(exc.reason, str)
        case Rejected():
            assert_type(exc.reason, str)
        case DeadlineExceeded():
            assert_type(exc.sent, bool)
        case AttemptTimeout():
            return None
        case FailedResponse():
            assert_type(exc.response, httpx.Response)
        case _:
            return None
    assert_type(never_sent(exc), bool)
    error: ResilienceError = exc
    return error.retry_after_s


def ours_are_httpxs_too(exc: Rejected, late: DeadlineExceeded, slow: AttemptTimeout) -> None:
    errors: list[httpx.TransportError] = [exc, late, slow]
    timeouts: list[httpx.TimeoutException] = [late, slow]
    assert errors != timeouts


# Transport


async def over_http() -> httpx.Response:
    transport: httpx.AsyncBaseTransport = ResilientTransport(POLICY)
    resilient = ResilientTransport(
        POLICY,
        httpx.AsyncHTTPTransport(),
        name="stock",
        hosts=["http://10.0.0.1:5002", "http://10.0.0.2:5002"],
        runtime=Runtime.real(),
        on_event=(told,),
    )
    assert_type(resilient.policy, Policy)
    resilient.policy = Policy()
    assert_type(resilient.snapshot(), dict[str, dict[str, Any]])
    async with httpx.AsyncClient(transport=transport) as http:
        return await http.get("http://stock/seats")


# Shield

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive, send


def refuse(refusal: Refusal, scope: Scope) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    del scope
    return 503, [(b"x-reason", refusal.reason.encode())], str(refusal.retry_after_s).encode()


def shielded() -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    shield = Shield(
        app,
        limit=Limit(start=20, max=200),
        name="stock",
        runtime=Runtime.real(),
        exempt=lambda scope: bool(scope["path"] == "/healthz"),
        guards=lambda scope: bool(scope["method"] == "POST"),
        on_event=[told],
        refuse=refuse,
        queue=Queue(),
        priority=read_priority,
        rate=RateLimit(10, burst=20),
        client=lambda scope: str(scope["client"]),
    )
    Shield(app, name="stock")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    return shield


# Tools for tests


async def scenario() -> int:
    events = capture_events()
    assert_type(events.kinds(), list[str])
    assert_type(events.of("retry"), list[Event])
    callee = Script(After(0.1, ConnectionResetError()), 200)
    pipeline = POLICY.bind("x", virtual_runtime(seed=1), [events])
    await pipeline.call(callee)
    assert_type(callee.attempts, int)
    return len(events)


def tested() -> int:
    clock = FakeClock()
    assert_type(fake_runtime(clock, chance=0.5), Runtime)
    work: Coroutine[Any, Any, int] = scenario()
    try:
        return assert_type(run_virtual(work), int)
    except Stuck:
        return int(VirtualTimeLoop().time())
