"""Ways of buying that lead past every crash point of the orchestrator, by the beginning of the points' names."""

from chaos.faults.crash_at import BATCH
from reservations import loops, saga

POINTS = (*BATCH, *saga.POINTS, *loops.POINTS)

_WAYS = (
    (("REFUSED.",), "refused"),
    (("CANCELLING.", "undo.", "DECLINED."), "declined"),
    (("PAYMENT_TIMEOUT.",), "slow"),
    (("UNAVAILABLE.",), "unavailable"),
    (("CANCELLED.",), "hold_gone"),
    (("recover.",), "stuck"),
    (("cancel.", "REFUNDING.", "refund.", "REFUNDED."), "cancel"),
    (("outbox.notify.",), "mail_down"),
)

TROUBLE = {
    "declined": ("payments", "fail", {}),
    "slow": ("payments", "latency", {"seconds": 4}),
    "hold_gone": ("payments", "latency", {"seconds": 1}),
    "unavailable": ("inventory", "error", {"route": "/reserve"}),
    "stuck": ("inventory", "error", {}),
    "mail_down": ("notifications", "down", {}),
}
"""What else goes wrong on a way: service, fault and its order."""


def way_to(point: str) -> str:
    """The way that passes `point`; a plain purchase unless something must go wrong first."""
    return next((way for starts, way in _WAYS if point.startswith(starts)), "buy")
