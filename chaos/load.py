"""The flood: many reservations, closed loop (so many workers) or open loop (so many a second).

Latency counts from the moment at which a request was meant to start, so a stalled gateway cannot
hide its queue (coordinated omission). A 429 is an answer, never retried: seeing it is the point.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from chaos.buyers import Answer, Buyers
from resilience import Runtime

EXPECTED: Final = frozenset({200, 202, 402, 404, 409, 429, 503, 504})
"""Statuses that the contract allows for a well-formed reservation."""

_MUST_SAY_WHEN: Final = frozenset({429, 503})
_MAX_IN_FLIGHT: Final = 1000
_HEALTH_LIMIT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send.

    Attributes:
        requests: How many.
        workers: Closed loop: how many at once; ignored with a rate.
        rate_per_s: Open loop: how many start each second.
        unique_users: Each request from a user of its own, else all from one.
    """

    requests: int
    workers: int
    rate_per_s: float | None
    event_id: str
    unique_users: bool


@dataclass(slots=True)
class Report:
    """What came of it.

    Attributes:
        outcomes: Answers by (status, code).
        accepted_s: Latencies of 200 and 202, seconds, sorted once finished.
        breaches: Ways in which answers broke the contract, each once, with its number.
        healthy_after: Whether the gateway answered its health check afterwards.
        elapsed_s: First intended start to last answer.
    """

    outcomes: Counter[tuple[int, str]] = field(default_factory=Counter)
    accepted_s: list[float] = field(default_factory=list)
    breaches: Counter[str] = field(default_factory=Counter)
    healthy_after: bool = False
    elapsed_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every answer kept the contract and the gateway is healthy."""
        return self.healthy_after and not self.breaches

    def percentile_s(self, share: float) -> float | None:
        """Latency of accepted reservations, nearest rank; None if there are none."""
        if not self.accepted_s:
            return None
        return self.accepted_s[max(0, math.ceil(share * len(self.accepted_s)) - 1)]

    def as_json(self) -> dict[str, Any]:
        """The report for machines."""
        return {
            "ok": self.ok,
            "requests": self.outcomes.total(),
            "elapsed_s": round(self.elapsed_s, 3),
            "outcomes": [
                {"status": status, "code": code, "count": count}
                for (status, code), count in sorted(self.outcomes.items())
            ],
            "accepted": {
                "count": len(self.accepted_s),
                **{
                    f"p{round(share * 100)}_s": self.percentile_s(share)
                    for share in (0.5, 0.95, 0.99)
                },
            },
            "breaches": dict(self.breaches),
            "gateway_healthy_after": self.healthy_after,
        }

    def add(self, answer: Answer, latency_s: float) -> None:
        """Count one answer."""
        self.outcomes[answer.status, answer.code] += 1
        if answer.status in (200, 202):
            self.accepted_s.append(latency_s)
        if answer.status == 0:
            self.breaches[f"no answer: {answer.code}"] += 1
        elif answer.status not in EXPECTED:
            self.breaches[f"unexpected {answer.status} {answer.code}"] += 1
        elif answer.status in _MUST_SAY_WHEN and answer.retry_after_s is None:
            self.breaches[f"{answer.status} {answer.code} without Retry-After"] += 1


async def flood(plan: Plan, buyers: Buyers, health_url: str, runtime: Runtime) -> Report:
    """Send the plan, then look at the gateway's health; seats are counted before and after, for the auditor."""
    report = Report()
    await buyers.count(plan.event_id)
    began = runtime.clock()
    run = f"{int(runtime.random() * 16**10):010x}"

    async def one(index: int, meant_at: float) -> None:
        user_id = f"load-{index}" if plan.unique_users else "load"
        answer = await buyers.reserve(user_id, plan.event_id, f"load-{run}-{index:06d}")
        report.add(answer, runtime.clock() - meant_at)

    await (_closed(plan, one, runtime) if plan.rate_per_s is None else _open(plan, one, runtime))
    report.elapsed_s = runtime.clock() - began
    report.accepted_s.sort()
    await buyers.count(plan.event_id)
    report.healthy_after = await _is_healthy(buyers, health_url, runtime)
    return report


_One = Callable[[int, float], Awaitable[None]]


async def _closed(plan: Plan, one: _One, runtime: Runtime) -> None:
    numbers = iter(range(plan.requests))

    async def work() -> None:
        for index in numbers:  # shared: each worker takes the next one
            await one(index, runtime.clock())

    await asyncio.gather(*(work() for _ in range(plan.workers)))


async def _open(plan: Plan, one: _One, runtime: Runtime) -> None:
    assert plan.rate_per_s is not None
    began, room = runtime.clock(), asyncio.Semaphore(_MAX_IN_FLIGHT)

    async def bounded(index: int, meant_at: float) -> None:
        async with room:
            await one(index, meant_at)

    async with asyncio.TaskGroup() as tasks:
        for index in range(plan.requests):
            meant_at = began + index / plan.rate_per_s
            await runtime.sleep(max(0.0, meant_at - runtime.clock()))
            tasks.create_task(bounded(index, meant_at))


async def _is_healthy(buyers: Buyers, url: str, runtime: Runtime) -> bool:
    end = runtime.clock() + _HEALTH_LIMIT_S
    while True:
        if (await buyers.call("GET", url)).status == 200:
            return True
        if runtime.clock() >= end:
            return False
        await runtime.sleep(0.1)
