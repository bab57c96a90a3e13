"""Policy: how calls to one destination are made, written once, in one blessed order.

    deadline → retry(quota) → breaker → limit → attempt timeout → the call

The order is not a knob. Retry is outside the breaker, so that every try is one honest sample; the
limit is inside the retry, so that no slot is held during a backoff, and inside the breaker, which
never counts its refusals.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, ParamSpec, TypeVar

from resilience.breaker import Breaker, BreakerState, guarded
from resilience.events import Emitter, Listener, observed
from resilience.layer import Layer, Wrap, fold
from resilience.limit import Limit, Limiter, limited
from resilience.quota import QuotaBucket
from resilience.retry import Retry, retried
from resilience.runtime import Runtime
from resilience.timeout import attempt_timeout

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Policy:
    """What to do about time-outs, failures and overload of a destination. Every part is optional.

    Attributes:
        attempt_s: Seconds per try, body included; always cut to the ambient deadline.
        retry: Further tries.
        breaker: When to stop calling.
        limit: How many calls may be in flight.
    """

    attempt_s: float | None = None
    retry: Retry | None = None
    breaker: Breaker | None = None
    limit: Limit | None = None

    def __post_init__(self) -> None:
        if self.attempt_s is not None and self.attempt_s <= 0:
            raise ValueError("attempt_s is a positive number of seconds")

    def bind(
        self,
        name: str,
        runtime: Runtime | None = None,
        on_event: Sequence[Listener] = (),
        *,
        common: Mapping[str, object] | None = None,
    ) -> "Pipeline":
        """A pipeline with state of its own, for one destination and one event loop.

        Args:
            name: Put on its events and into its messages.
            runtime: Time and chance; the real ones by default.
            on_event: Listeners, see `events.py`.
            common: Facts added to every event's detail.
        """
        runtime = runtime or Runtime.real()
        return Pipeline(self, runtime, Emitter(name, on_event, runtime, common))

    async def call(self, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Make a call under this policy, in a pipeline that all users of this object share.

        For scripts and libraries; services bind pipelines of their own, so that state dies with
        them.

        Raises:
            Rejected: The breaker is open or the limit full.
            AttemptTimeout: The last try took too long.
            DeadlineExceeded: The ambient deadline passed.
            Exception: Whatever the last try raised.
        """
        return await self._shared.call(partial(fn, *args, **kwargs) if args or kwargs else fn)

    @cached_property
    def _shared(self) -> "Pipeline":
        return self.bind("policy")


@dataclass(frozen=True)
class _Parts:
    """The state behind a policy's parts; outlives a new policy where the part stays the same."""

    quota: QuotaBucket | None
    breaker: BreakerState | None
    limiter: Limiter | None


class Pipeline:
    """A policy at work: its layers, folded once, and the state of its parts.

    Args:
        policy: What to do.
        runtime: Time and chance.
        emitter: Told what happens.
        previous: A pipeline for the same destination; state of parts that did not change is taken
            over.
    """

    def __init__(
        self,
        policy: Policy,
        runtime: Runtime,
        emitter: Emitter,
        previous: "Pipeline | None" = None,
    ) -> None:
        self.policy = policy
        self._runtime = runtime
        self._emitter = emitter
        self._parts = self._start() if previous is None else self._take_over(previous)
        self._run: Layer = fold(self._wraps())

    def call(self, fn: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        """Make the call; `fn` is called once per try and must be repeatable if the policy retries.

        Raises:
            Rejected: The breaker is open or the limit full.
            AttemptTimeout: The last try took too long.
            DeadlineExceeded: The ambient deadline passed.
            Exception: Whatever the last try raised.
        """
        return self._run(fn)

    def rebound(self, policy: Policy) -> "Pipeline":
        """The same destination under another policy. Calls in flight finish under this one."""
        return Pipeline(policy, self._runtime, self._emitter, previous=self)

    def snapshot(self) -> dict[str, Any]:
        """State of each part there is: `quota` tokens, `breaker`, `limit` and `in_flight`."""
        state: dict[str, Any] = {}
        if self._parts.quota is not None:
            state["quota"] = self._parts.quota.tokens
        if self._parts.breaker is not None:
            state["breaker"] = self._parts.breaker.snapshot()
        if self._parts.limiter is not None:
            state["limit"] = self._parts.limiter.limit
            state["in_flight"] = self._parts.limiter.in_flight
        return state

    def _start(self) -> _Parts:
        policy, runtime, emitter = self.policy, self._runtime, self._emitter
        quota = policy.retry and policy.retry.quota
        breaker = policy.breaker
        return _Parts(
            quota=quota.build() if quota else None,
            breaker=breaker.build(policy.attempt_s, runtime, emitter) if breaker else None,
            limiter=policy.limit.build(runtime, emitter) if policy.limit else None,
        )

    def _take_over(self, previous: "Pipeline") -> _Parts:
        new, old, kept = self.policy, previous.policy, previous._parts  # noqa: SLF001 - same class
        parts = self._start()
        if (new.retry and new.retry.quota) == (old.retry and old.retry.quota):
            parts = replace(parts, quota=kept.quota)
        if new.limit == old.limit:
            parts = replace(parts, limiter=kept.limiter)
        if new.breaker == old.breaker:
            parts = replace(parts, breaker=kept.breaker)
            if kept.breaker is not None:
                kept.breaker.attempt_s = new.attempt_s
        return parts

    def _wraps(self) -> list[Wrap]:
        policy, parts = self.policy, self._parts
        runtime, emitter = self._runtime, self._emitter
        wraps: list[Wrap] = []
        if policy.retry is not None:
            wraps.append(retried(policy.retry, parts.quota, runtime, emitter))
        if parts.breaker is not None:
            wraps.append(guarded(parts.breaker, runtime))
        if parts.limiter is not None:
            wraps.append(limited(parts.limiter, runtime, emitter))
        if emitter:
            wraps.append(observed(emitter, runtime))
        wraps.append(attempt_timeout(policy.attempt_s))
        return wraps
