"""A scripted gateway for the engine: no socket, and time is the running loop's."""

import asyncio
import json
import math

from chaos.load.engine import Engine
from chaos.load.plan import Plan, Share
from chaos.load.tally import Second, total
from chaos.load.wire import Answer

SERVICE_S = 0.002


def confirmed() -> Answer:
    return Answer(200, body=json.dumps({"status": "confirmed", "reservation_id": "r"}).encode())


def refusal(status: int, code: str, retry_after: bytes = b"1") -> Answer:
    return Answer(status, body=json.dumps({"code": code}).encode(), retry_after=retry_after)


class Gateway:
    """Answers each request `service_s` after it came, and nobody from `stall_at_s` for `stall_s`."""

    def __init__(self, answer=confirmed, *, service_s=SERVICE_S, stall_at_s=math.inf, stall_s=0.0):
        self._answer = answer
        self._service_s = service_s
        self._stall = (stall_at_s, stall_at_s + stall_s)
        self.requests: list[bytes] = []
        self.in_flight = self.most = 0

    def answers_at(self, came_s: float) -> float:
        begin, end = self._stall
        return (end if begin <= came_s < end else came_s) + self._service_s

    def send(self, wire, told):
        loop = asyncio.get_running_loop()
        self.requests.append(wire)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)

        def answer():
            self.in_flight -= 1
            told(self._answer())

        loop.call_at(self.answers_at(loop.time()), answer)


def plan(**changes) -> Plan:
    return Plan(**{"event_id": "e", "requests": 20, "workers": 4, **changes})


def crowd(rate_per_s: float, seconds: float, **changes) -> Plan:
    return plan(requests=round(rate_per_s * seconds), workers=0, rate_per_s=rate_per_s, **changes)


async def bought(chosen: Plan, gateway, *, room=1000, journal=None, kind=Engine) -> Second:
    """What a run of one process comes to."""
    loop = asyncio.get_running_loop()
    engine = kind(Share(chosen, 0, "0123456789", room), gateway, loop.time, journal)
    await engine.run(loop.time())
    assert engine.in_flight == 0
    return total(second for _, second in engine.take_seconds())
