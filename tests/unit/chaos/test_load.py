"""The flood against a scripted gateway, on a clock moved by hand."""

import asyncio

import httpx
import pytest

from chaos.buyers import Buyers
from chaos.load import Plan, flood
from tests.unit.chaos.faults_app import HandClock

GATEWAY = "http://gateway"


def plan(**changes) -> Plan:
    same = {
        "requests": 20,
        "workers": 4,
        "rate_per_s": None,
        "event_id": "e",
        "unique_users": False,
    }
    return Plan(**{**same, **changes})


async def send(chosen: Plan, answer, clock: HandClock | None = None, health=200):
    clock = clock or HandClock(lots=[0.5])

    async def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/healthz":
            return httpx.Response(health)
        return answer(request)

    async with Buyers(GATEWAY, 4, httpx.MockTransport(handle)) as buyers:
        return await flood(chosen, buyers, f"{GATEWAY}/healthz", clock.runtime())


def confirmed(_request):
    return httpx.Response(200, json={"status": "confirmed"})


def saturated(_request):
    return httpx.Response(429, json={"code": "gateway_saturated"}, headers={"Retry-After": "1"})


async def test_every_request_is_sent_once_with_a_key_of_its_own():
    keys, users = [], set()

    def note(request):
        keys.append(request.headers["Idempotency-Key"])
        users.add(request.read())
        return confirmed(request)

    report = await send(plan(unique_users=True), note)
    assert len(set(keys)) == len(keys) == len(users) == 20
    assert all(16 <= len(key) <= 128 for key in keys)
    assert report.ok
    assert report.as_json()["outcomes"] == [{"status": 200, "code": "confirmed", "count": 20}]


async def test_a_429_is_an_answer_and_is_not_retried():
    report = await send(plan(), saturated)
    assert report.outcomes == {(429, "gateway_saturated"): 20}
    assert report.ok
    assert report.percentile_s(0.5) is None


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(500, json={"code": "internal_error"}),
        httpx.Response(429, json={"code": "gateway_saturated"}),
        httpx.Response(503, json={"code": "inventory_unavailable"}),
        httpx.Response(418),
    ],
)
async def test_an_answer_outside_the_contract_fails_the_run(response):
    answers = iter([response])
    report = await send(plan(requests=1), lambda _request: next(answers))
    assert not report.ok
    assert report.breaches.total() == 1


async def test_no_answer_fails_the_run():
    def refuse(_request):
        raise httpx.ConnectError("no")

    report = await send(plan(requests=3), refuse)
    assert report.outcomes == {(0, "ConnectError"): 3}
    assert not report.ok


async def test_a_sick_gateway_fails_the_run():
    clock = HandClock(lots=[0.5])
    assert not (await send(plan(), confirmed, clock, health=503)).ok
    assert clock.slept  # it was given some time


async def test_open_loop_counts_from_the_meant_start():
    """A gateway that stalls must show its queue: the tenth buyer waited too (coordinated omission)."""
    clock = HandClock(lots=[0.5])

    def stall(request):
        clock.now += 1.0
        return confirmed(request)

    report = await send(plan(requests=10, rate_per_s=10.0, workers=0), stall, clock)
    assert report.percentile_s(0.5) > 1.0
    assert report.percentile_s(0.99) == pytest.approx(10, abs=0.3)


async def test_closed_loop_keeps_to_its_workers():
    at_once, most = 0, 0

    async def handle(request: httpx.Request) -> httpx.Response:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        return confirmed(request)

    async with Buyers(GATEWAY, 4, httpx.MockTransport(handle)) as buyers:
        clock = HandClock(lots=[0.5])
        await flood(plan(), buyers, f"{GATEWAY}/healthz", clock.runtime())
    assert most == 4
