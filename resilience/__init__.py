"""Resilience between HTTP services: policies that agree with each other.

Five names do the work: `Policy` (what to do), `deadline` (how long), `ResilientTransport` (httpx
side), `Shield` (ASGI side), `Event` (what happened). One order, no knob for it:

    deadline → retry(quota) → breaker → limit → attempt timeout → send and read the body

Invariants: a call never claims more than it knows (an outcome that may have happened is never
reported as "not done"); a cancellation is never swallowed; nothing reads time or chance but through
`Runtime`.

Test tools are in `resilience.testing`.
"""

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
    never_sent,
)
from resilience.events import Event
from resilience.limit import Limit
from resilience.policy import Pipeline, Policy
from resilience.quota import Quota
from resilience.retry import Retry, full_jitter_s
from resilience.runtime import Runtime
from resilience.shield import Refusal, Shield
from resilience.transport import ResilientTransport

__all__ = [
    "AttemptTimeout",
    "Breaker",
    "BreakerOpen",
    "DeadlineExceeded",
    "Event",
    "FailedResponse",
    "Limit",
    "LimitFull",
    "Pipeline",
    "Policy",
    "Quota",
    "Refusal",
    "Rejected",
    "ResilienceError",
    "ResilientTransport",
    "Retry",
    "Runtime",
    "Shield",
    "deadline",
    "full_jitter_s",
    "never_sent",
    "without_deadline",
]
