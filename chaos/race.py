"""The race: more buyers than seats, all at once; as many win as there are seats, the rest do not.

The event is left as it was: after the verdict as many seats are free again as before.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from chaos.buyers import Answer, Buyers
from resilience import Runtime

_BUSY_LIMIT_S: Final = 60.0
"""Longest wait for open holds of the event: time to live, grace and sweep of the lab, and some."""

_BUYER_LIMIT_S: Final = 60.0
_FIRST_PAUSE_S: Final = 0.2


class LabClosed(Exception):
    """The event cannot be prepared: no lab routes, no such event, or it stays busy.

    Args:
        answer: What inventory said.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"inventory answered {answer.status} {answer.code}")
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Counters:
    """Seats of one event by state."""

    available: int
    held: int
    sold: int


@dataclass(slots=True)
class Verdict:
    """How the race ended.

    Attributes:
        outcomes: Final answers by (status, code).
        retries: How often a buyer came back after a 429.
        sold: Seats that inventory sold during the race.
        left: Free and held seats afterwards.
        faults: What went wrong, English; empty is a pass.
    """

    buyers: int
    seats: int
    outcomes: Counter[tuple[int, str]] = field(default_factory=Counter)
    retries: int = 0
    sold: int = 0
    left: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the seats went to exactly as many buyers."""
        return not self.faults

    def as_json(self) -> dict[str, Any]:
        """The verdict for machines."""
        return {
            "ok": self.ok,
            "buyers": self.buyers,
            "seats": self.seats,
            "outcomes": [
                {"status": status, "code": code, "count": count}
                for (status, code), count in sorted(self.outcomes.items())
            ],
            "retries_after_429": self.retries,
            "inventory": {"sold": self.sold, "left": self.left},
            "faults": self.faults,
        }


class Race:
    """One race on one event.

    Args:
        buyers: The crowd.
        inventory_url: For counters and the reset (lab only).
        event_id: The event raced for.
        runtime: Clock, sleep and jitter.
        token: CHAOS_TOKEN, if the lab has one.
    """

    def __init__(
        self,
        buyers: Buyers,
        inventory_url: str,
        event_id: str,
        runtime: Runtime,
        token: str | None = None,
    ) -> None:
        self._token = token
        self._buyers = buyers
        self._inventory_url = inventory_url
        self._event_id = event_id
        self._runtime = runtime

    async def run(self, count: int, seats: int) -> Verdict:
        """Prepare `seats` free seats, let `count` buyers loose, judge, put the event back.

        Raises:
            LabClosed: The event could not be prepared or read.
        """
        free_before = (await self._counters()).available
        await self._reset(seats)
        before = await self._counters()
        verdict = Verdict(count, seats)
        run = f"{int(self._runtime.random() * 16**10):010x}"
        await self._buyers.count(self._event_id)
        answers = await asyncio.gather(
            *(
                self._buy(f"race-{index}", f"race-{run}-{index:06d}", verdict)
                for index in range(count)
            )
        )
        verdict.outcomes.update((answer.status, answer.code) for answer in answers)
        await self._buyers.count(self._event_id)
        after = await self._counters()
        verdict.sold = after.sold - before.sold
        verdict.left = after.available + after.held
        _judge(verdict)
        await self._reset(free_before)
        return verdict

    async def _buy(self, user_id: str, key: str, verdict: Verdict) -> Answer:
        end = self._runtime.clock() + _BUYER_LIMIT_S
        while True:
            answer = await self._buyers.reserve(user_id, self._event_id, key, client=user_id)
            if answer.status != 429 or self._runtime.clock() >= end:
                return answer
            verdict.retries += 1
            await self._pause(answer)

    async def _reset(self, seats: int) -> None:
        end = self._runtime.clock() + _BUSY_LIMIT_S
        while True:
            answer = await self._buyers.reset(
                self._inventory_url, self._event_id, seats, self._token
            )
            if answer.status == 200:
                return
            if answer.code != "event_busy" or self._runtime.clock() >= end:
                raise LabClosed(answer)
            await self._pause(answer)

    async def _pause(self, answer: Answer) -> None:
        # Everybody was told the same wait: jitter of its size keeps them from returning as one.
        wait_s = answer.retry_after_s or _FIRST_PAUSE_S
        await self._runtime.sleep(wait_s * (1.0 + self._runtime.random()))

    async def _counters(self) -> Counters:
        answer = await self._buyers.call("GET", f"{self._inventory_url}/events")
        for event in answer.body.get("events", ()):
            if event["event_id"] == self._event_id:
                return Counters(event["available"], event["held"], event["sold"])
        raise LabClosed(answer)


def _judge(verdict: Verdict) -> None:
    winners = min(verdict.buyers, verdict.seats)
    won = verdict.outcomes[200, "confirmed"]
    lost = verdict.outcomes[409, "sold_out"]
    if won != winners:
        verdict.faults.append(f"{won} buyers won {winners} seats")
    if lost != verdict.buyers - winners:
        verdict.faults.append(f"{lost} buyers heard sold_out, not {verdict.buyers - winners}")
    if verdict.sold != won:
        verdict.faults.append(f"inventory sold {verdict.sold} seats, buyers got {won}")
    if verdict.left != verdict.seats - winners:
        verdict.faults.append(f"{verdict.left} seats are left, not {verdict.seats - winners}")
