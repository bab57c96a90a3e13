"""Resilience between HTTP services: policies that agree with each other.

Five names do the work: `Policy` (what to do), `deadline` (how long), `ResilientTransport` (httpx
side), `Shield` (ASGI side), `Event` (what happened). One order, no knob for it:

    deadline → fallback → retry(quota) → [hedge] → rate limit → pick host → breaker → limit
    → attempt timeout → send and read the body

Invariants: a call never claims more than it knows (an outcome that may have happened is never
reported as "not done"); a cancellation is never swallowed; nothing reads time or chance but through
`Runtime`.

Test tools are in `resilience.testing`.
"""

from resilience.admission import Refusal, read_priority
from resilience.balance import Balance
from resilience.breaker import Breaker
from resilience.deadline import deadline, without_deadline
from resilience.errors import (
    AttemptTimeout,
    BreakerOpen,
    DeadlineExceeded,
    FailedResponse,
    LimitFull,
    Rejected,
    ResilienceError,
    Throttled,
    never_sent,
)
from resilience.events import Event
from resilience.fallback import Fallback
from resilience.hedge import Hedge
from resilience.limit import Limit
from resilience.pipeline import Pipeline
from resilience.policy import Policy
from resilience.queue import Queue
from resilience.quota import Quota
from resilience.rate_limit import RateLimit
from resilience.retry import Retry, full_jitter_s
from resilience.runtime import Runtime
from resilience.shield import Shield
from resilience.transport import ResilientTransport

__all__ = [
    "AttemptTimeout",
    "Balance",
    "Breaker",
    "BreakerOpen",
    "DeadlineExceeded",
    "Event",
    "FailedResponse",
    "Fallback",
    "Hedge",
    "Limit",
    "LimitFull",
    "Pipeline",
    "Policy",
    "Queue",
    "Quota",
    "RateLimit",
    "Refusal",
    "Rejected",
    "ResilienceError",
    "ResilientTransport",
    "Retry",
    "Runtime",
    "Shield",
    "Throttled",
    "deadline",
    "full_jitter_s",
    "never_sent",
    "read_priority",
    "without_deadline",
]
