"""What must be true of the databases at rest: the auditor's verdict, as sentences."""

from pathlib import Path
from typing import NamedTuple

from chaos.audit import Books as OpenBooks
from chaos.audit import in_folder
from chaos.audit.report import judge
from chaos.state import wall_clock


class Books(NamedTuple):
    """What the databases say.

    Attributes:
        confirmed: Hold and payment reference → total in minor units, of every confirmed reservation.
        violations: Sentences; empty when everything adds up.
    """

    confirmed: dict[str, int]
    violations: list[str]


def books(data: Path, *, now: float | None = None) -> Books:
    """Audit every database in `data`, as if at rest; `now` in epoch seconds, by this machine's clock if not given."""
    moment = wall_clock().timestamp() if now is None else now
    with OpenBooks(in_folder(data)) as opened, opened.as_of(moment):
        confirmed = opened.rows(
            "SELECT reservation_id || '.' || attempt, quantity * unit_price FROM reservation WHERE state = 'CONFIRMED'"
        )
        found = [
            f"{result.invariant.number} {result.invariant.name}: {finding.what} {finding.facts}"
            for result in judge(opened)
            for finding in result.findings
        ]
    return Books(dict(confirmed), found)
