"""What the lab's page lives on, from a real mesh: the stream of its edges, and the auditor on its databases."""

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.support import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Page:
    """The state of a page that follows the live stream, and the kinds of the events that made it."""

    def __init__(self):
        self.state = {}
        self.kinds = []
        self.last_id = None

    async def follow(self, response):
        fields = {}
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            fields[name] = value
            if not line and "data" in fields:
                self.state |= json.loads(fields["data"])
                self.kinds.append(fields["event"])
                self.last_id = fields["id"]
                fields = {}

    def edge(self, source, target):
        for one in self.state.get("edges", ()):
            if (one["source"], one["target"]) == (source, target):
                return one
        return None


@asynccontextmanager
async def page(stack, last_id=None):
    headers = {"last-event-id": last_id} if last_id else {}
    async with (
        httpx.AsyncClient(timeout=httpx.Timeout(5, read=30)) as http,
        http.stream("GET", stack.url("gateway", "/api/live"), headers=headers) as response,
    ):
        looking = Page()
        task = asyncio.create_task(looking.follow(response))
        try:
            await until(lambda: looking.kinds, 10)
            yield looking
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def ask(stack, method, path, **how):
    async with httpx.AsyncClient(timeout=60) as http:
        return await http.request(method, stack.url("gateway", path), **how)


async def reserve(stack, user_id):
    order = {"user_id": user_id, "event_id": "festival-01"}  # a hall that no test sells out
    return await ask(stack, "POST", "/api/reserve", json=order)


async def test_an_open_breaker_and_its_reason_are_seen_on_the_edge_and_go_again(stack):
    fault = "/api/lab/faults/inventory/crash"
    async with page(stack) as looking:
        assert looking.kinds == ["snapshot"]
        assert looking.edge("reservations", "inventory")["phase"] == "closed"
        await ask(stack, "POST", fault, json={"enabled": True})
        for number in range(4):
            assert (await reserve(stack, f"u{number}")).status_code == 503
        await until(lambda: looking.edge("reservations", "inventory")["phase"] == "open", 10)
        edge = looking.edge("reservations", "inventory")
        assert edge["why"] in ("consecutive_failures", "probe_failed")
        assert edge["effective"] < 0.5
        assert edge["retry_after_s"] is not None
        await ask(stack, "POST", fault, json={"enabled": False})

        async def sold_and_closed():
            sold = (await reserve(stack, "again")).status_code == 200
            return sold and looking.edge("reservations", "inventory")["phase"] == "closed"

        await until(sold_and_closed, 40)
        assert looking.edge("reservations", "inventory")["why"] is None
        assert "snapshot" not in looking.kinds[1:]


async def test_a_page_that_comes_back_goes_on_where_it_was(stack):
    async with page(stack) as looking:
        last_id = looking.last_id
    assert (await reserve(stack, "meanwhile")).status_code == 200
    async with page(stack, last_id) as again:
        assert again.kinds[0] == "delta"
        await until(lambda: "events" in again.state, 10)


async def test_the_auditor_is_asked_from_the_page_and_finds_the_books_true(stack):
    assert (await reserve(stack, "audited")).status_code == 200
    answers = await asyncio.gather(*(ask(stack, "GET", "/api/lab/audit") for _ in range(3)))
    report = answers[0].json()
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert len({answer.json()["at"] for answer in answers}) == 1, "one audit for all who ask"
    assert report["ok"], report
    judged = [one for one in report["invariants"] if one["ok"] is not None]
    assert len(judged) >= 15
    assert all(one["ok"] for one in judged)


async def test_a_flood_and_a_race_can_be_drawn(stack):
    flood = (await ask(stack, "POST", "/api/lab/load", json={"requests": 30, "workers": 10})).json()
    assert len(flood["series"]) == 30
    race = (await ask(stack, "POST", "/api/lab/race", json={"buyers": 4, "seats": 1})).json()
    assert sorted(one["outcome"] for one in race["series"]) == ["confirmed"] + 3 * ["sold_out"]
