"""Pipeline: a policy at work. Its layers, folded once, and the state of its parts.

    fallback → retry(quota) → hedge → rate limit → pick host → breaker → limit → attempt timeout

Up to the rate limit there is one state per upstream. From the breaker on there is one per host,
because one sick address must not speak for the others; with a single address the two halves are
simply joined. Absent parts are not in the chain and cost nothing.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from resilience.balance import Balance, Balancer, Endpoint
from resilience.breaker import BreakerState, guarded
from resilience.events import Emitter, observed
from resilience.fallback import replaced
from resilience.hedge import HedgeState, hedged
from resilience.layer import Layer, Wrap, fold
from resilience.limit import Limiter, limited
from resilience.quota import Quota, QuotaBucket
from resilience.rate_limit import TokenBucket, throttled
from resilience.retry import retried
from resilience.runtime import Runtime
from resilience.timeout import attempt_timeout

if TYPE_CHECKING:
    from resilience.policy import Policy

T = TypeVar("T")
PartT = TypeVar("PartT")
StateT = TypeVar("StateT")


def _state_of(
    part: PartT | None,
    old_part: PartT | None,
    old_state: StateT | None,
    build: Callable[[PartT], StateT],
) -> StateT | None:
    """A part's state: the old one if the part is the same, else a new one, None without it."""
    if part == old_part:
        return old_state
    return None if part is None else build(part)


class _Host:
    """What there is once per host: breaker and limiter, and the layers around one attempt."""

    breaker: BreakerState | None
    limiter: Limiter | None

    def __init__(
        self, policy: "Policy", runtime: Runtime, emitter: Emitter, old: "_Host | None"
    ) -> None:
        self.policy = policy
        self.breaker = _state_of(
            policy.breaker,
            old.policy.breaker if old else None,
            old.breaker if old else None,
            lambda breaker: breaker.build(policy.attempt_s, runtime, emitter),
        )
        if self.breaker is not None:
            self.breaker.attempt_s = policy.attempt_s
        self.limiter = _state_of(
            policy.limit,
            old.policy.limit if old else None,
            old.limiter if old else None,
            lambda limit: limit.build(runtime, emitter),
        )
        innermost = attempt_timeout(policy.attempt_s)
        self.attempt: Layer = fold(self._wraps(runtime, emitter), innermost)

    def snapshot(self) -> dict[str, Any]:
        state: dict[str, Any] = {}
        if self.breaker is not None:
            state["breaker"] = self.breaker.snapshot()
        if self.limiter is not None:
            state["limit"] = self.limiter.limit
            state["in_flight"] = self.limiter.in_flight
        return state

    def _wraps(self, runtime: Runtime, emitter: Emitter) -> list[Wrap]:
        wraps: list[Wrap] = []
        if self.breaker is not None:
            wraps.append(guarded(self.breaker, runtime))
        if self.limiter is not None:
            wraps.append(limited(self.limiter, runtime, emitter))
        if emitter:
            wraps.append(observed(emitter, runtime))
        return wraps


class _Upstream:
    """What the hosts of one upstream share: retry quota, rate limit, what hedging has learned."""

    quota: QuotaBucket | None
    rate: TokenBucket | None
    hedge: HedgeState | None

    def __init__(self, policy: "Policy", runtime: Runtime, old: "_Upstream | None") -> None:
        self.policy = policy
        self.quota = _state_of(
            _quota_of(policy),
            _quota_of(old.policy) if old else None,
            old.quota if old else None,
            lambda quota: quota.build(),
        )
        self.rate = _state_of(
            policy.rate_limit,
            old.policy.rate_limit if old else None,
            old.rate if old else None,
            lambda rate_limit: rate_limit.build(runtime),
        )
        # It pays from the quota, so it lasts no longer than that.
        kept = old if old and old.quota is self.quota else None
        self.hedge = _state_of(
            policy.hedge,
            kept.policy.hedge if kept else None,
            kept.hedge if kept else None,
            lambda hedge: hedge.build(self.quota),
        )

    def wraps(self, runtime: Runtime, emitter: Emitter) -> list[Wrap]:
        policy = self.policy
        wraps: list[Wrap] = []
        if policy.fallback is not None:
            wraps.append(replaced(policy.fallback, emitter))
        if policy.retry is not None:
            wraps.append(retried(policy.retry, self.quota, runtime, emitter))
        if self.hedge is not None:
            wraps.append(hedged(self.hedge, runtime, emitter))
        if self.rate is not None:
            wraps.append(throttled(self.rate, emitter))
        return wraps

    def snapshot(self) -> dict[str, Any]:
        state: dict[str, Any] = {}
        if self.quota is not None:
            state["quota"] = self.quota.tokens
        if self.hedge is not None:
            state["hedge_after_s"] = self.hedge.after_s()
        if self.rate is not None:
            state["rate_tokens"] = self.rate.tokens
        return state


def _quota_of(policy: "Policy") -> Quota | None:
    return policy.retry.quota if policy.retry else None


@dataclass(frozen=True)
class _State:
    """All state behind a policy's parts; what stays the same outlives a new policy."""

    upstream: _Upstream
    hosts: Mapping[str, _Host]
    endpoints: tuple[Endpoint, ...]
    balance: Balance


class Pipeline:
    """A policy at work: its layers, folded once, and the state of its parts.

    Args:
        policy: What to do.
        runtime: Time and chance.
        emitter: Told what happens.
        previous: A pipeline for the same destination; state of parts that did not change is taken
            over.
        addresses: Several addresses of one upstream. Calls must then be `balance.Routed`.
    """

    _state: _State

    def __init__(
        self,
        policy: "Policy",
        runtime: Runtime,
        emitter: Emitter,
        previous: "Pipeline | None" = None,
        *,
        addresses: Sequence[str] = (),
    ) -> None:
        self.policy = policy
        self._runtime = runtime
        self._emitter = emitter
        self._addresses = tuple(addresses)
        self._state = self._start(previous._state if previous else None)  # noqa: SLF001 - same class
        self._balancer = self._balance() if self._addresses else None
        innermost = self._balancer.call if self._balancer else self._state.hosts[""].attempt
        self._run: Layer = fold(self._state.upstream.wraps(runtime, emitter), innermost)

    def call(self, fn: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        """Make the call; `fn` is called once per try and must be repeatable if the policy retries.

        Raises:
            Rejected: The breaker is open, the limit full or the rate limit reached.
            AttemptTimeout: The last try took too long.
            DeadlineExceeded: The ambient deadline passed.
            Exception: Whatever the last try raised.
        """
        return self._run(fn)

    def rebound(self, policy: "Policy") -> "Pipeline":
        """The same destination under another policy. Calls in flight finish under this one."""
        return Pipeline(policy, self._runtime, self._emitter, self, addresses=self._addresses)

    def snapshot(self) -> dict[str, Any]:
        """State of each part there is.

        `quota` and `rate_tokens` (tokens), `hedge_after_s`, `breaker`, `limit` and `in_flight`;
        with several addresses the last three, `ejected_s`, `latency_s` and `pending` are in `hosts`,
        by address.
        """
        state, hosts = self._state.upstream.snapshot(), self._state.hosts
        if self._balancer is None:
            return state | hosts[""].snapshot()
        loads = self._balancer.snapshot()
        return state | {"hosts": {one: loads[one] | hosts[one].snapshot() for one in loads}}

    def _start(self, old: _State | None) -> _State:
        policy, runtime, emitter = self.policy, self._runtime, self._emitter
        balance = policy.balance or Balance()
        hosts = {
            address: _Host(
                policy,
                runtime,
                emitter.about(host=address) if address else emitter,
                old.hosts[address] if old else None,
            )
            for address in self._addresses or ("",)  # without addresses the one host is ""
        }
        if old is not None and old.balance == balance:
            endpoints = old.endpoints
        else:
            endpoints = tuple(Endpoint(address, balance) for address in self._addresses)
        upstream = _Upstream(policy, runtime, old.upstream if old else None)
        return _State(upstream, hosts, endpoints, balance)

    def _balance(self) -> Balancer:
        state = self._state
        attempts = {address: host.attempt for address, host in state.hosts.items()}
        return Balancer(state.balance, state.endpoints, attempts, self._runtime, self._emitter)
