"""Pure rules of the gateway: names of reservations, shares of the deadline, what changed between two samples."""

import hashlib
import hmac
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from chassis.catalogue import Text

RESEND_SHARE_S: Final = 1.0
"""What the first send leaves of the deadline for one re-send, seconds."""

RESEND_SHARE_RATIO: Final = 0.4
"""The same for short deadlines, as a share of them."""

ANSWER_SHARE_S: Final = 0.4
"""What the re-sends leave of the deadline for the answer to travel, seconds."""

ANSWER_SHARE_RATIO: Final = 0.4
"""The same for short deadlines, as a share of what is left."""

PENDING: Final = Text(
    "Tu solicitud sigue en curso: todavía no hay asiento asegurado. Sabrás el resultado consultándola, y por correo si "
    "diste una dirección. Si en un minuto no aparece, repite con la misma Idempotency-Key: nunca se cobra dos veces.",
    "Your request is still in progress: no seat is certain yet. You will learn the outcome by asking for it, and by "
    "e-mail if you gave an address. If it does not show within a minute, repeat with the same Idempotency-Key: you are "
    "never charged twice.",
)
"""What 202 promises when reservations gave no answer: an outcome and an e-mail, not a seat."""

CANCELLING: Final = Text(
    "La cancelación está en curso y todavía no está confirmada. Consulta la reserva o repite: es seguro.",
    "The cancellation is in progress and not confirmed yet. Look at the reservation or repeat: it is safe.",
)
"""What 202 says when reservations gave no answer to a cancellation."""


def scope_of(user_id: str) -> str:
    """The namespace of a buyer's Idempotency-Keys. A user id has no "|", so scope and key stay apart."""
    return f"reserve:{user_id}"


def reservation_id_of(secret: str, scope: str, key: str) -> str:
    """The name of the reservation that `key` means in `scope`: the same for every delivery, unguessable.

    HMAC-SHA256, cut to 128 bits: `r` and 32 hex digits.
    """
    digest = hmac.new(secret.encode(), f"{scope}|{key}".encode(), hashlib.sha256).hexdigest()
    return f"r{digest[:32]}"


def first_send_s(left_s: float) -> float:
    """How long the first send may take when the caller waits `left_s`."""
    return left_s - min(RESEND_SHARE_S, left_s * RESEND_SHARE_RATIO)


def resend_s(left_s: float) -> float:
    """How long the re-sends may take when the caller still waits `left_s`."""
    return left_s - min(ANSWER_SHARE_S, left_s * ANSWER_SHARE_RATIO)


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The top-level parts of `now` that differ from `before`."""
    return {name: part for name, part in now.items() if name not in before or before[name] != part}


def breakers_in(live: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every breaker in the live values of a service's readiness, with the edge it stands on, sorted by edge.

    Edges are snapshots by "host:port"; the nearest name above the host is the edge's.
    """
    found: dict[str, dict[str, Any]] = {}

    def look(value: object, edge: str) -> None:
        if not isinstance(value, Mapping):
            return
        breaker = value.get("breaker")
        if isinstance(breaker, Mapping):
            found[edge] = {
                "edge": edge,
                "phase": str(breaker.get("phase")),
                "retry_after_s": round(float(breaker.get("retry_after_s") or 0.0), 1),
            }
            return
        for name, inner in value.items():
            look(inner, edge if ":" in name else name)

    look(live, "")
    return [found[edge] for edge in sorted(found)]


def states_of(reports: Mapping[str, Mapping[str, Any] | None]) -> list[dict[str, Any]]:
    """Each service in a word, with the breakers of its calls, out of what its readiness says.

    `ready`; `not_ready` (says so itself); `failing` (answers nonsense or a failure); `down` (no answer).
    """
    return [
        {"service": service, "state": _word(report), "breakers": breakers_in(_live(report))}
        for service, report in reports.items()
    ]


def edges_of(reports: Mapping[str, Mapping[str, Any] | None]) -> list[dict[str, Any]]:
    """Who calls whom, and how that goes (`chassis.traffic`), sorted; nobody speaks for a service that is silent."""
    return [
        {"source": service, "target": target, **picture}
        for service in sorted(reports)
        for target, picture in sorted(_mapping(_live(reports[service]).get("traffic")).items())
    ]


def active_of(listed: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The faults that are on, with whole seconds left, out of what the five say of theirs."""
    return [
        {
            "service": entry["service"],
            "fault": fault["name"],
            "seconds": fault.get("seconds"),
            "left_s": math.ceil(fault.get("left_s") or 0),
        }
        for entry in listed
        for fault in entry["faults"]
        if fault.get("enabled")
    ]


def _word(report: Mapping[str, Any] | None) -> str:
    if report is None:
        return "down"
    word = report.get("status")
    return str(word) if word in ("ready", "not_ready") else "failing"


def _live(report: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return _mapping((report or {}).get("live"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def percentile_ms(durations_s: Sequence[float], share: float) -> int | None:
    """Nearest-rank percentile in whole milliseconds; None without durations."""
    if not durations_s:
        return None
    ordered = sorted(durations_s)
    rank = max(1, -(-len(ordered) * round(share * 100) // 100))
    return round(ordered[rank - 1] * 1000)
