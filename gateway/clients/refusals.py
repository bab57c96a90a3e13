"""How another service's refusal becomes the gateway's own: same code, own words, the caller's language."""

from typing import Final

import structlog

from chassis.clients import Refused
from chassis.errors import BadUpstream, ServiceError
from gateway.errors import RELAYED

log = structlog.get_logger()

_STANDARD: Final = frozenset(
    {"type", "code", "title", "status", "detail", "instance", "request_id"}
    | {"replayed", "retry_after_s"}
)


def is_public(refused: Refused) -> bool:
    """Whether buyers may hear this code."""
    return refused.code in RELAYED


def relayed(refused: Refused) -> ServiceError:
    """The refusal in the gateway's vocabulary; a code that is not in it is a broken contract (502)."""
    kind = RELAYED.get(refused.code)
    if kind is None:
        log.error("unknown_refusal", code=refused.code, status=refused.status)
        return BadUpstream()
    extensions = {name: value for name, value in refused.problem.items() if name not in _STANDARD}
    error = kind(retry_after_s=refused.retry_after_s, **extensions)
    error.replayed = refused.problem.get("replayed") is True
    return error
