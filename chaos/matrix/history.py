"""What happened when: every answer that buyers got and every act of the nemesis, as the page draws them."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from chaos.journal import Entry

OUTCOMES: Final = ("confirmed", "pending", "refused", "unavailable", "busy", "no answer", "breach")
"""How the page colours an answer; see `colour_of`."""

_REFUSALS: Final = frozenset({402, 404, 409})
BUCKET_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Bar:
    """One act of the nemesis, as the page draws it. Instants are seconds since the stage began."""

    lane: str
    label: str
    began_s: float
    ended_s: float


@dataclass(slots=True)
class History:
    """All of one stage. Belongs to the event loop it was made in.

    Attributes:
        kills: Processes ended, by "kill -9 SERVICE" or crash point.
        faults: Acts that struck, by kind.
        missed: Crash points that were armed and not reached in time.
        breaches: Answers that the contract does not allow, each once, with their number.
        answers: Answers by colour.
        buckets: The same by half-second of the stage.
        entries: All of the journal, in order.
    """

    bars: list[Bar] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    breaches: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    buckets: dict[int, Counter[str]] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    began: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    def now(self) -> float:
        """Seconds since the stage began."""
        return asyncio.get_running_loop().time() - self.began

    def bar(self, lane: str, label: str, began_s: float) -> None:
        """An act that began at `began_s` ends now."""
        self.bars.append(Bar(lane, label, round(began_s, 3), round(self.now(), 3)))

    def add(self, entry: Entry) -> None:
        """Keep and count one answer."""
        self.entries.append(entry)
        colour = colour_of(entry.status, entry.code)
        if colour == "breach":
            self.breaches[f"{entry.status} {entry.code}"] += 1
        self.answers[colour] += 1
        self.buckets.setdefault(int(self.now() / BUCKET_S), Counter())[colour] += 1


def colour_of(status: int, code: str) -> str:
    """One of `OUTCOMES`: what kind of answer it is."""
    if status in (200, 202):
        return "confirmed" if status == 200 else "pending"
    if status in _REFUSALS or (status, code) == (504, "payment_timeout"):
        return "refused"
    named = {0: "no answer", 429: "busy", 503: "unavailable"}
    return named.get(status, "breach")
