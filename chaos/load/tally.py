"""What a run came to, second by second; seconds of several processes add up.

An answer counts in the second in which it came, with its latency from the moment at which its request was meant to
start. Everything is a count or a histogram, so that whatever is added up is exact.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from chaos.load.histogram import Histogram

ACCEPTED: Final = frozenset({200, 202})
REFUSED: Final = frozenset({429, 503})

EXPECTED: Final = ACCEPTED | REFUSED | {402, 404, 409, 504}
"""Statuses that the contract allows for a well-formed reservation."""

NOT_SENT: Final = "NotSent"
"""Code, with status 0, of a request that the client had no room for."""

_COUNTERS: Final = ("due", "sent", "cpu_s", "in_flight")
_MOMENTS: Final = ("sent_until_s", "until_s")
_HISTOGRAMS: Final = ("accepted", "refused", "others", "lag")


@dataclass(slots=True)
class Second:
    """One second, or many added up.

    Attributes:
        outcomes: Answers by (status, code); status 0 is none: a failure's name, or `NOT_SENT`.
        accepted: Latencies of 200 and 202.
        refused: Latencies of 429 and 503.
        others: Latencies of every other answer.
        lag: How long after its intended start each request left.
        breaches: Ways in which answers broke the contract, each with its number.
        due: Requests that were meant to start.
        sent: Requests that did.
        in_flight: Without an answer at the end.
        cpu_s: CPU time of the buying processes, seconds.
        sent_until_s: When the last request left, seconds after the beginning.
        until_s: When the last answer came, likewise.
    """

    outcomes: Counter[tuple[int, str]] = field(default_factory=Counter)
    accepted: Histogram = field(default_factory=Histogram)
    refused: Histogram = field(default_factory=Histogram)
    others: Histogram = field(default_factory=Histogram)
    lag: Histogram = field(default_factory=Histogram)
    breaches: Counter[str] = field(default_factory=Counter)
    due: int = 0
    sent: int = 0
    in_flight: int = 0
    cpu_s: float = 0.0
    sent_until_s: float = 0.0
    until_s: float = 0.0

    def answered(self) -> Histogram:
        """Latencies of all answers, whatever they said."""
        return Histogram.merged((self.accepted, self.refused, self.others))

    @property
    def not_sent(self) -> int:
        """Requests that the client had no room for."""
        return self.outcomes[0, NOT_SENT]

    @property
    def silent(self) -> int:
        """Requests that never got an answer, those that were not sent included."""
        return sum(count for (status, _), count in self.outcomes.items() if not status)

    def add(self, status: int, code: str, latency_s: float, retry_after_s: float | None) -> None:
        """Count one answer; status 0 is none."""
        self.outcomes[status, code] += 1
        if status in ACCEPTED:
            self.accepted.add(latency_s)
        elif status in REFUSED:
            self.refused.add(latency_s)
            if retry_after_s is None:
                self.breaches[f"{status} {code} without Retry-After"] += 1
        elif status:
            self.others.add(latency_s)
            if status not in EXPECTED:
                self.breaches[f"unexpected {status} {code}"] += 1
        elif code != NOT_SENT:
            self.breaches[f"no answer: {code}"] += 1

    def merge(self, other: Self) -> None:
        """Add up with `other`; what is in flight, too, so `other` is of the same second."""
        self.outcomes += other.outcomes
        self.breaches += other.breaches
        for name in _HISTOGRAMS:
            getattr(self, name).merge(getattr(other, name))
        for name in _COUNTERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _MOMENTS:
            setattr(self, name, max(getattr(self, name), getattr(other, name)))

    def as_wire(self) -> dict[str, Any]:
        """For another process, as JSON."""
        return {
            "outcomes": [[*pair, count] for pair, count in self.outcomes.items()],
            "breaches": dict(self.breaches),
            **{name: getattr(self, name).as_wire() for name in _HISTOGRAMS},
            **{name: getattr(self, name) for name in (*_COUNTERS, *_MOMENTS)},
        }

    @classmethod
    def from_wire(cls, document: Mapping[str, Any]) -> Self:
        """What `as_wire` gave."""
        made = cls(
            outcomes=Counter({(status, code): n for status, code, n in document["outcomes"]}),
            breaches=Counter(document["breaches"]),
        )
        for name in _HISTOGRAMS:
            setattr(made, name, Histogram.from_wire(document[name]))
        for name in (*_COUNTERS, *_MOMENTS):
            setattr(made, name, document[name])
        return made


def total(seconds: Iterable[Second]) -> Second:
    """All of a run; nothing is in flight any more."""
    whole = Second()
    for one in seconds:
        whole.merge(one)
    whole.in_flight = 0
    return whole
