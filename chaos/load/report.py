"""What a run came to, as a whole: is the contract kept, how long did it take, and is the client itself to blame?"""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final, Literal

from chaos.load.gauges import Sample
from chaos.load.histogram import ERROR, Histogram
from chaos.load.plan import Plan
from chaos.load.tally import Second, total

LAG_LIMIT_S: Final = 0.010
"""Lag of the 99th percentile above which the client is late: ten times what its timers are coarse by (1 ms)."""

CPU_LIMIT: Final = 0.8
"""Share of a core above which a buying process queues its own work: the mean wait of a queue with steady service is
rho / (2 (1 - rho)) services (Pollaczek and Khinchine), two of them at 0.8, and twice that at 0.9."""

_BUSY: Final = 0.2

SHARES: Final = (0.5, 0.9, 0.95, 0.99, 0.999)
"""The percentiles of the tables."""

Reason = Literal["cpu", "lag", "room"]


@dataclass(frozen=True, slots=True)
class Client:
    """The client's own part in the figures.

    Attributes:
        processes: How many bought.
        cores: How many this machine has.
        cpu_share: Of a core, each buying process on average.
        cpu_us_per_request: CPU time per request, microseconds; None of no request.
        lag_p99_s: Lag that 99 % of the requests did not exceed, seconds; None of no request.
        not_sent: Requests for which there was no room.
        room: Most requests in flight.
    """

    processes: int
    cores: int
    cpu_share: float
    cpu_us_per_request: float | None
    lag_p99_s: float | None
    not_sent: int
    room: int

    @property
    def ceiling_per_s(self) -> float | None:
        """What all processes could send a second within the limit of their CPU, if each had a core; an estimate.

        None where they do little: a request costs more where there are few, and what it costs then says nothing.
        """
        if not self.cpu_us_per_request or self.cpu_share < _BUSY:
            return None
        return CPU_LIMIT * self.processes * 1e6 / self.cpu_us_per_request

    @property
    def reasons(self) -> list[Reason]:
        """Why the client is a bottleneck; empty if it is none."""
        found: list[Reason] = []
        if self.cpu_share > CPU_LIMIT:
            found.append("cpu")
        if self.lag_p99_s is not None and self.lag_p99_s > LAG_LIMIT_S:
            found.append("lag")
        if self.not_sent:
            found.append("room")
        return found

    def as_json(self) -> dict[str, Any]:
        """For machines; with the limits that it is judged by."""
        ceiling = self.ceiling_per_s
        return {
            "is_bottleneck": bool(self.reasons),
            "reasons": self.reasons,
            **asdict(self),
            "cpu_limit": CPU_LIMIT,
            "lag_limit_s": LAG_LIMIT_S,
            "ceiling_per_s": None if ceiling is None else round(ceiling),
        }


@dataclass(frozen=True)
class Report:
    """What came of a run.

    Attributes:
        plan: What was wanted.
        seconds: By number.
        samples: Looks at the services, in order.
        room: Most requests in flight, of all processes.
        healthy_after: Whether the gateway answered its health check afterwards.
        interrupted: Whether it was stopped before its end.
    """

    plan: Plan
    seconds: Mapping[int, Second]
    samples: Sequence[Sample]
    room: int
    healthy_after: bool
    interrupted: bool = False

    @cached_property
    def whole(self) -> Second:
        """All seconds added up."""
        return total(self.seconds.values())

    @property
    def elapsed_s(self) -> float:
        """From the schedule's zero to the last answer, seconds; more than 0."""
        return max((one.until_s for one in self.seconds.values()), default=0.0) or 1e-9

    @property
    def rate_per_s(self) -> float:
        """Requests that left, per second of the time in which they should have, or did if that is longer."""
        whole = self.whole
        wanted_s = 0.0 if self.interrupted else self.plan.duration_s or 0.0
        sending_s = max(whole.sent_until_s, wanted_s) if self.plan.is_open else self.elapsed_s
        return whole.sent / (sending_s or 1e-9)

    @property
    def goodput_per_s(self) -> float:
        """Accepted reservations per second, until the last answer."""
        return self.whole.accepted.count / self.elapsed_s

    @property
    def ok(self) -> bool:
        """Whether every answer kept the contract and the gateway is healthy."""
        return self.healthy_after and not self.whole.breaches

    @property
    def client(self) -> Client:
        """The client's own part."""
        whole, plan = self.whole, self.plan
        # While it was sending: waiting for the last answers costs nothing.
        last = int(whole.sent_until_s)
        cpu_s = sum(one.cpu_s for number, one in self.seconds.items() if number <= last)
        return Client(
            processes=plan.processes,
            cores=os.cpu_count() or 1,
            cpu_share=cpu_s / min(self.elapsed_s, last + 1.0) / plan.processes,
            cpu_us_per_request=whole.cpu_s / whole.sent * 1e6 if whole.sent else None,
            lag_p99_s=whole.lag.at(0.99),
            not_sent=whole.not_sent,
            room=self.room,
        )

    def as_json(self) -> dict[str, Any]:
        """For machines: docs/load.md says what each field means."""
        whole = self.whole
        return {
            "ok": self.ok,
            "interrupted": self.interrupted,
            "plan": {**asdict(self.plan), "duration_s": self.plan.duration_s},
            "requests": whole.due,
            "sent": whole.sent,
            "not_sent": whole.not_sent,
            "elapsed_s": round(self.elapsed_s, 3),
            "rate_per_s": round(self.rate_per_s, 3),
            "goodput_per_s": round(self.goodput_per_s, 3),
            "outcomes": outcomes(whole),
            "accepted": {"count": whole.accepted.count, **_percentiles(whole.accepted)},
            "refused": {"count": whole.refused.count, **_percentiles(whole.refused)},
            "all": {"count": whole.due, **_percentiles(whole.answered(), whole.silent)},
            "lag": {"count": whole.lag.count, **_percentiles(whole.lag)},
            "percentile_error": ERROR,
            "breaches": dict(whole.breaches),
            "gateway_healthy_after": self.healthy_after,
            "client_bottleneck": self.client.as_json(),
            "seconds": [_second(number, one) for number, one in self.seconds.items()],
            "samples": [sample.as_json() for sample in self.samples],
            "machine": machine(),
        }


def outcomes(second: Second) -> list[dict[str, Any]]:
    """Answers by status and code, with their numbers."""
    return [
        {"status": status, "code": code, "count": count}
        for (status, code), count in sorted(second.outcomes.items())
    ]


def name_of(share: float) -> str:
    """0.999 → "p99.9"."""
    return f"p{share * 100:g}"


def machine() -> str:
    """What the client ran on."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    return f"{os.cpu_count()} cores · {platform.system()} {platform.release()} · Python {python}"


def _percentiles(histogram: Histogram, missing: int = 0) -> dict[str, float | None]:
    found = {f"{name_of(share)}_s": _rounded(histogram.at(share, missing)) for share in SHARES}
    longest = histogram.max_s if histogram.count and not missing else None
    return {"mean_s": _rounded(histogram.mean_s), **found, "max_s": _rounded(longest)}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _second(number: int, second: Second) -> dict[str, Any]:
    return {
        "second": number,
        "due": second.due,
        "sent": second.sent,
        "in_flight": second.in_flight,
        "outcomes": outcomes(second),
        "accepted": _percentiles(second.accepted),
        "lag": _percentiles(second.lag),
        "cpu_s": round(second.cpu_s, 4),
    }
