"""What an invariant is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from chaos.audit.books import Books


class Finding(NamedTuple):
    """One thing that breaks an invariant.

    Attributes:
        what: Its id: reservation, hold, payment, notice, seat, key, event.
        facts: What was found, as `name=value`.
    """

    what: str
    facts: str


Rule = Callable[[Books], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Invariant:
    """One sentence about the books that must be true.

    Attributes:
        number: `I1` …; stable.
        name: Short, stable.
        when: `A` always, `Q` at rest.
        about: The table of `Books` whose rows it judges.
        es: The sentence in Spanish.
        en: The same in English.
        rule: SQL whose rows `(id, facts)` break it, with `:now` (epoch seconds); or a function that finds them.
        by_journal: Judged only where there is a journal.
    """

    number: str
    name: str
    when: Literal["A", "Q"]
    about: str
    es: str
    en: str
    rule: str | Rule
    by_journal: bool = False

    def findings(self, books: Books) -> list[Finding]:
        """What breaks it, in a stable order; empty when it holds."""
        if not isinstance(self.rule, str):
            return sorted(set(self.rule(books)))
        rows = books.rows(self.rule, {"now": books.now})
        return sorted({Finding(str(what), str(facts)) for what, facts in rows}) if rows else []
