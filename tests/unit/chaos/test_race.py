"""The race against a scripted shop."""

import json

import httpx
import pytest

from chaos.buyers import Buyers
from chaos.race import LabClosed, Race
from tests.unit.chaos.faults_app import HandClock


class Shop:
    """Gateway and inventory in one; `oversells` gives away one seat too many, `full_first` says 429 that often."""

    def __init__(self, *, oversells: int = 0, full_first: int = 0, busy_first: int = 0):
        self.free, self.sold = 30, 4
        self.extra, self.full, self.busy = oversells, full_first, busy_first

    def __call__(self, request: httpx.Request) -> httpx.Response:
        match request.url.path:
            case "/events":
                event = {"event_id": "e", "available": self.free, "held": 0, "sold": self.sold}
                return httpx.Response(200, json={"events": [event]})
            case "/admin/reset":
                return self.reset(json.loads(request.content))
            case _:
                return self.reserve()

    def reset(self, body) -> httpx.Response:
        if self.busy:
            self.busy -= 1
            return httpx.Response(409, json={"code": "event_busy"}, headers={"Retry-After": "2"})
        self.free = body["seats"]
        return httpx.Response(200, json={})

    def reserve(self) -> httpx.Response:
        if self.full:
            self.full -= 1
            return httpx.Response(
                429, json={"code": "gateway_saturated"}, headers={"Retry-After": "1"}
            )
        if self.free or self.extra:
            if self.free:
                self.free -= 1
            else:
                self.extra -= 1
            self.sold += 1
            return httpx.Response(200, json={"status": "confirmed"})
        return httpx.Response(409, json={"code": "sold_out"})


class Even(list):
    """Random numbers without end."""

    def pop(self, _index: int = -1) -> float:
        return 0.5


async def run(
    shop: Shop, buyers: int, seats: int, event: str = "e", clock: HandClock | None = None
):
    clock = clock or HandClock()
    clock.lots = Even([1])
    async with Buyers("http://gateway", buyers, httpx.MockTransport(shop)) as crowd:
        return await Race(crowd, "http://inventory", event, clock.runtime()).run(buyers, seats)


async def test_one_seat_goes_to_one_buyer_and_the_event_is_put_back():
    shop = Shop()
    verdict = await run(shop, 64, 1)
    assert verdict.ok
    assert verdict.outcomes == {(200, "confirmed"): 1, (409, "sold_out"): 63}
    assert (verdict.sold, verdict.left) == (1, 0)
    assert shop.free == 30


async def test_buyers_come_back_after_429_and_wait_as_told():
    clock = HandClock()
    verdict = await run(Shop(full_first=5), 8, 3, clock=clock)
    assert verdict.ok
    assert verdict.retries == 5
    assert clock.slept == [1.5] * 5


async def test_more_seats_than_buyers_leaves_the_rest():
    verdict = await run(Shop(), 2, 5)
    assert verdict.ok
    assert verdict.left == 3


async def test_overselling_is_found():
    verdict = await run(Shop(oversells=1), 4, 1)
    assert not verdict.ok
    assert "2 buyers won 1 seats" in verdict.as_json()["faults"]


async def test_a_busy_event_is_waited_for():
    assert (await run(Shop(busy_first=3), 2, 1)).ok


@pytest.mark.parametrize(("shop", "event"), [(Shop(), "unknown"), (Shop(busy_first=10_000), "e")])
async def test_an_event_that_cannot_be_prepared_is_told(shop, event):
    with pytest.raises(LabClosed):
        await run(shop, 2, 1, event)
