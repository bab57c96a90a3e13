"""Policy: how calls to one destination are made, written once, in one blessed order.

    deadline → fallback → retry(quota) → [hedge] → rate limit → pick host → breaker → limit
    → attempt timeout → the call

The order is not a knob. Fallback sees what is left when everything else is used up. Retry is outside
the breaker, so that every try is one honest sample; the limit is inside the retry, so that no slot is
held during a backoff, and inside the breaker, which never counts its refusals. Each retry and each
hedge pays the rate limit, and goes to another host where there is one.

Not here: how the parts are put together (`pipeline.py`).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import ParamSpec, TypeVar

from resilience.balance import Balance
from resilience.breaker import Breaker
from resilience.events import Emitter, Listener
from resilience.fallback import Fallback
from resilience.hedge import Hedge
from resilience.limit import Limit
from resilience.pipeline import Pipeline
from resilience.rate_limit import RateLimit
from resilience.retry import Retry
from resilience.runtime import Runtime

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
        hedge: A second attempt beside a slow one; reads only.
        rate_limit: How many attempts may begin per second.
        fallback: What to answer instead of a failure.
        balance: How attempts are spread, where a transport is given several addresses (`hosts`);
            None means `Balance()`.
    """

    attempt_s: float | None = None
    retry: Retry | None = None
    breaker: Breaker | None = None
    limit: Limit | None = None
    hedge: Hedge | None = None
    rate_limit: RateLimit | None = None
    fallback: Fallback | None = None
    balance: Balance | None = None

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
    ) -> Pipeline:
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
            Rejected: The breaker is open, the limit full or the rate limit reached.
            AttemptTimeout: The last try took too long.
            DeadlineExceeded: The ambient deadline passed.
            Exception: Whatever the last try raised.
        """
        return await self._shared.call(partial(fn, *args, **kwargs) if args or kwargs else fn)

    @cached_property
    def _shared(self) -> Pipeline:
        return self.bind("policy")
