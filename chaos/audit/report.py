"""One audit: every invariant judged once, and what the books add up to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chaos import journal
from chaos.audit.books import Books, in_folder
from chaos.audit.invariants import INVARIANTS
from chaos.audit.refusals import not_judged
from chaos.audit.rule import Finding, Invariant
from chaos.journal import Recording

SHOWN: Final = 20
"""Findings of one invariant that a report lists; all are counted."""

_FACTS: Final = {
    "confirmed": "SELECT COUNT(*) FROM reservation WHERE state = 'CONFIRMED'",
    "refunded": "SELECT COUNT(*) FROM reservation WHERE state = 'REFUNDED'",
    "refused_or_undone": "SELECT COUNT(*) FROM reservation WHERE state IN"
    " ('REFUSED', 'DECLINED', 'PAYMENT_TIMEOUT', 'UNAVAILABLE', 'CANCELLED')",
    "seats_sold": "SELECT COUNT(*) FROM seat JOIN hold USING (hold_id) WHERE state = 'SOLD'",
    "captured_minor": "SELECT COALESCE(SUM(captured), 0) FROM money",
    "refunded_minor": "SELECT COALESCE(SUM(refunded), 0) FROM money",
    "delivered": "SELECT COUNT(*) FROM message WHERE state = 'DELIVERED'",
    "requests": "SELECT COUNT(*) FROM journal WHERE op = 'reserve'",
    "acknowledged": "SELECT COUNT(DISTINCT scope || ' ' || key) FROM journal"
    " WHERE op = 'reserve' AND outcome = 'ok' AND code = 'confirmed'",
    "unknown": "SELECT COUNT(*) FROM (SELECT 1 FROM journal WHERE op = 'reserve'"
    " GROUP BY scope, key HAVING SUM(outcome = 'info') > 0 AND SUM(outcome = 'ok') = 0)",
    "unknown_became_sales": "SELECT COUNT(*) FROM (SELECT 1 FROM journal"
    " JOIN reservation ON reservation.scope = journal.scope AND reservation.key = journal.key"
    " WHERE op = 'reserve' AND reservation.reservation_id IN (SELECT reservation_id FROM ever_confirmed)"
    " GROUP BY journal.scope, journal.key HAVING SUM(outcome = 'info') > 0 AND SUM(outcome = 'ok') = 0)",
}

_ALL_FACTS: Final = f"SELECT {', '.join(f'({sql})' for sql in _FACTS.values())}"

OPEN: Final = """
    SELECT (SELECT COUNT(*) FROM reservation WHERE state NOT IN
            ('CONFIRMED', 'REFUNDED', 'REFUSED', 'DECLINED', 'PAYMENT_TIMEOUT', 'UNAVAILABLE', 'CANCELLED'))
        + (SELECT COUNT(*) FROM outbox WHERE state = 'PENDING')
        + (SELECT COUNT(*) FROM hold WHERE state = 'HELD')
        + (SELECT COUNT(*) FROM payment WHERE state LIKE '%_PENDING')
        + (SELECT COUNT(*) FROM message WHERE state IN ('ACCEPTED', 'INFLIGHT'))
    """
"""How many rows somebody still has to do something about."""

_TABLES: Final = tuple(dict.fromkeys(one.about for one in INVARIANTS))
_ROWS: Final = f"SELECT {', '.join(f'(SELECT COUNT(*) FROM {table})' for table in _TABLES)}"  # noqa: S608 - constants

_NAMED: Final = {
    "dead_letters": "SELECT notification_id FROM message WHERE state = 'DEAD' ORDER BY 1",
    "second_mails": "SELECT notification_id FROM message WHERE redelivered > 0 ORDER BY 1",
}


@dataclass(frozen=True, slots=True)
class Result:
    """How one invariant stands.

    Attributes:
        invariant: Which.
        judged: False where it needs a journal and there is none.
        findings: What breaks it: its length is the distance to the invariant.
    """

    invariant: Invariant
    judged: bool
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing breaks it."""
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        one = self.invariant
        return {
            "number": one.number,
            "name": one.name,
            "when": one.when,
            "es": one.es,
            "en": one.en,
            "judged": self.judged,
            "ok": self.ok,
            "found": len(self.findings),
            "offending": [
                {"id": finding.what, "facts": finding.facts} for finding in self.findings[:SHOWN]
            ],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What an audit found.

    Attributes:
        results: In order of the numbers.
        facts: Counts and sums, money in minor units.
        named: Ids that break nothing and that somebody should see: `dead_letters`, and `second_mails` that a crash or
            a time-out between sending and recording may have made.
        rows: By table, how many rows were judged.
        open: How many of them somebody still has to do something about; 0 at rest.
        refusals_not_judged: Refusals for want of seats whose honesty nobody can judge.
        journals: Files that were read.
        settled: False when something was still open at the end of the wait.
        waited_s: Seconds waited for rest.
    """

    results: tuple[Result, ...]
    facts: dict[str, int] = field(default_factory=dict)
    named: dict[str, list[str]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    open: int = 0
    refusals_not_judged: int = 0
    journals: tuple[str, ...] = ()
    settled: bool = True
    waited_s: float = 0.0

    @property
    def ok(self) -> bool:
        """The verdict."""
        return all(result.ok for result in self.results)

    @property
    def red(self) -> list[str]:
        """Numbers of the invariants that are broken."""
        return [result.invariant.number for result in self.results if not result.ok]

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "ok": self.ok,
            "red": self.red,
            "settled": self.settled,
            "waited_s": round(self.waited_s, 2),
            "open": self.open,
            "journals": list(self.journals),
            "invariants": [
                {**one.as_json(), "checked": self.rows[one.invariant.about] if one.judged else 0}
                for one in self.results
            ],
            "facts": self.facts,
            "refusals_not_judged": self.refusals_not_judged,
            **self.named,
        }


def audit(data: Path, *, now: float, journals: Sequence[Path] = ()) -> Report:
    """Judge every invariant on the databases in `data` and the given journals, as of one moment.

    Args:
        data: Folder of the databases.
        now: Epoch seconds, by the clock of the services.
        journals: Journals of buyers.

    Raises:
        BooksMissing: A database is not there, or has no tables yet.
        NotAJournal: A journal cannot be read.
    """
    recordings = [journal.read(path) for path in journals]
    with Books(in_folder(data)) as books:
        return audit_books(books, now=now, recordings=recordings)


def audit_books(books: Books, *, now: float, recordings: Sequence[Recording] = ()) -> Report:
    """The same on books that are open, and stay so: cheaper by more than half from the second time on.

    Args:
        books: The databases.
        now: Epoch seconds, by the clock of the services.
        recordings: Journals of buyers, as read or as kept in memory; each has a path of its own.

    Raises:
        BooksMissing: A database has no tables yet.
    """
    with books.as_of(now, recordings):
        return Report(
            results=judge(books),
            facts=dict(zip(_FACTS, books.rows(_ALL_FACTS)[0], strict=True)),
            named={name: [row[0] for row in books.rows(sql)] for name, sql in _NAMED.items()},
            rows=dict(zip(_TABLES, books.rows(_ROWS)[0], strict=True)),
            open=books.rows(OPEN)[0][0],
            refusals_not_judged=not_judged(books),
            journals=tuple(str(recording.path) for recording in recordings),
        )


def judge(books: Books) -> tuple[Result, ...]:
    """Every invariant, within `books.as_of`."""
    heard = bool(books.recordings)
    return tuple(
        Result(one, judged, tuple(one.findings(books)) if judged else ())
        for one in INVARIANTS
        for judged in [heard or not one.by_journal]
    )
