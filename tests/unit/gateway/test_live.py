"""The live stream: snapshot, deltas, bounds, and no work while nobody watches."""

import asyncio
import json

import httpx
import pytest

from gateway.clients.live import Live
from resilience.testing import Script
from tests.support import until
from tests.unit.gateway.conftest import Bench, bench, says
from tests.unit.gateway.test_api import EVENT

READY = {"status": "ready", "checks": {}, "live": {}}


class Viewer:
    """A browser with the stream open."""

    def __init__(self, desk: Bench, last_event_id: str | None = None) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.text = ""
        self._left = asyncio.Event()
        self._asked = False
        given = {"last-event-id": last_event_id} if last_event_id else {}
        self.task = asyncio.ensure_future(
            desk.asgi("GET", "/api/live", self._receive, self._send, given)
        )

    async def _receive(self):
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b""}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            self.text += message["body"].decode()

    @property
    def events(self) -> list[dict]:
        found = []
        for block in self.text.replace("\r\n", "\n").split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            if "event" in fields:
                data = json.loads(fields["data"])
                found.append({"id": fields["id"], "kind": fields["event"], "data": data})
        return found

    async def leave(self) -> None:
        self._left.set()
        await self.task


def counting_inventory() -> Script:
    sold = iter(range(1000))

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/events":
            return says(200, {"events": [{**EVENT, "sold": next(sold)}]})
        return says(200, READY)

    return Script(answer)


async def test_snapshot_comes_first_and_then_what_changed_with_growing_ids():
    async with bench(inventory=counting_inventory()) as desk:
        viewer = Viewer(desk)
        await until(lambda: len(viewer.events) >= 3, 5)
        await viewer.leave()
    first, second, third = viewer.events[:3]
    assert viewer.status == 200
    assert viewer.headers["content-type"].startswith("text/event-stream")
    assert viewer.headers["cache-control"] == "no-store"
    assert first["kind"] == "snapshot"
    assert set(first["data"]) == {"events", "mesh", "faults"}
    assert first["data"]["faults"] is None
    states = {one["service"]: one["state"] for one in first["data"]["mesh"]}
    assert states == {
        "gateway": "ready",
        "reservations": "down",
        "inventory": "ready",
        "payments": "down",
        "notifications": "down",
    }
    assert (second["kind"], set(second["data"])) == ("delta", {"events"})
    assert viewer.text.count("retry: 1000") == 1
    ids = [event["id"].rpartition("-") for event in (first, second, third)]
    assert len({name for name, _, _ in ids}) == 1
    assert [int(number) for _, _, number in ids] == [1, 2, 3]


async def test_nothing_is_asked_while_nobody_watches():
    inventory = counting_inventory()
    async with bench(inventory=inventory) as desk:
        await asyncio.sleep(10)  # virtual
        assert inventory.attempts == 0
        viewer = Viewer(desk)
        await until(lambda: viewer.events, 5)
        await viewer.leave()
        asked = inventory.attempts
        await asyncio.sleep(10)  # virtual
        assert inventory.attempts <= asked + 2


async def test_second_viewer_gets_a_snapshot_at_once_and_shares_the_samples():
    inventory = counting_inventory()
    async with bench(inventory=inventory) as desk:
        one = Viewer(desk)
        await until(lambda: len(one.events) >= 2, 5)
        asked = inventory.attempts
        other = Viewer(desk)
        await until(lambda: other.events, 0.4)
        assert inventory.attempts <= asked + 2
        assert other.events[0]["kind"] == "snapshot"
        assert other.events[0]["id"] == one.events[-1]["id"]
        await one.leave()
        await other.leave()


async def test_stream_shows_active_faults_and_broken_services_in_the_lab():
    fault = {"name": "crash", "enabled": True, "seconds": None, "left_s": 12.2}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/chaos":
            return says(200, {"faults": [fault, {"name": "down", "enabled": False}]})
        return says(503, {"code": "service_crashed"})

    async with bench(lab=True, inventory=Script(answer)) as desk:
        viewer = Viewer(desk)
        await until(lambda: viewer.events, 5)
        await viewer.leave()
    data = viewer.events[0]["data"]
    assert data["faults"] == [
        {"service": "inventory", "fault": "crash", "seconds": None, "left_s": 13}
    ]
    assert data["events"] is None
    assert {"service": "inventory", "state": "failing", "breakers": []} in data["mesh"]


async def test_viewers_beyond_the_limit_are_refused():
    async with bench(settings={"live_clients_max": 2}) as desk:
        viewers = [Viewer(desk), Viewer(desk)]
        await until(lambda: all(one.events for one in viewers), 5)
        response = await desk.http.get("/api/live")
        assert (response.status_code, response.json()["code"]) == (503, "overloaded")
        assert "retry-after" in response.headers
        for one in viewers:
            await one.leave()
        late = Viewer(desk)
        await until(lambda: late.events, 5)
        await late.leave()


async def test_stopping_ends_every_stream():
    async with bench() as desk:
        viewer = Viewer(desk)
        await until(lambda: viewer.events, 5)
    await asyncio.wait_for(viewer.task, 1)


async def test_an_idle_mesh_sends_nothing_and_says_so_at_once_to_whoever_comes_back():
    async with bench(inventory=Script(says(200, READY))) as desk:
        viewer = Viewer(desk)
        await until(lambda: viewer.events, 5)
        await asyncio.sleep(10)  # virtual
        (only,) = viewer.events
        again = Viewer(desk, only["id"])
        await until(lambda: again.events, 5)
        assert again.events == [{"id": only["id"], "kind": "delta", "data": {}}]
        await viewer.leave()
        await again.leave()


async def test_who_reconnects_goes_on_where_it_was_even_if_nobody_listened_meanwhile():
    async with bench(inventory=counting_inventory()) as desk:
        viewer = Viewer(desk)
        await until(lambda: len(viewer.events) >= 2, 5)
        await viewer.leave()
        left = viewer.events[-1]
        await asyncio.sleep(10)  # virtual
        again = Viewer(desk, left["id"])
        await until(lambda: again.events, 5)
        await again.leave()
    first = again.events[0]
    assert (first["kind"], set(first["data"])) == ("delta", {"events"})
    assert first["data"] != left["data"]


@pytest.mark.parametrize("last", ["7", "00000000-1", "", "x" * 5000, "{name}-99"])
async def test_who_comes_with_an_id_that_means_nothing_gets_everything(last):
    async with bench(inventory=counting_inventory()) as desk:
        viewer = Viewer(desk)
        await until(lambda: viewer.events, 5)
        name = viewer.events[0]["id"].partition("-")[0]
        other = Viewer(desk, last.format(name=name))
        await until(lambda: other.events, 5)
        assert other.events[0]["kind"] == "snapshot"
        await viewer.leave()
        await other.leave()


async def test_a_slow_viewer_is_told_once_what_it_missed_and_nothing_is_kept_for_it():
    live = Live(5, lambda: "0123456789abcdef")
    slow = live.listen()
    first = asyncio.ensure_future(anext(slow))
    await asyncio.sleep(0)
    live.publish({"a": 0, "b": 0, "c": 0})
    assert (await first).kind == "snapshot"
    for number in range(1, 1001):
        live.publish({"a": number, "b": number % 2, "c": 0})
    event = await anext(slow)
    assert (event.event_id, event.kind, json.loads(event.data)) == (
        "01234567-1001",
        "delta",
        {"a": 1000, "b": 0},
    )
    assert len(live._written) <= 1
    live.close()
    assert [event async for event in slow] == []
    assert not live.is_watched


def edge(target: str, **changes) -> dict:
    quiet = {"phase": None, "retry_after_s": None, "why": None, "in_flight": 0, "per_s": 0.0}
    quiet |= {"attempts_per_s": 0.0, "effective": None, "actual": None}
    return {"target": target, **quiet, "p50_ms": None, "p95_ms": None, **changes}


async def test_edges_of_the_lab_are_those_that_the_services_tell_of():
    traffic = {"provider": {"per_s": 1.5}}
    told = says(200, {**READY, "live": {"traffic": traffic}})
    async with bench(lab=True, payments=Script(told), inventory=counting_inventory()) as desk:
        viewer = Viewer(desk)
        await until(lambda: viewer.events, 5)
        await viewer.leave()
    closed = {"source": "gateway", "phase": "closed"}
    assert viewer.events[0]["data"]["edges"] == [
        edge("inventory", **closed),
        edge("reservations", **closed),
        {"source": "payments", "target": "provider", "per_s": 1.5},
    ]


async def test_nonsense_from_a_service_does_not_stop_the_stream():
    async with bench(lab=True, payments=Script(says(200, {"live": {"traffic": ["?"]}}))) as desk:
        viewer = Viewer(desk)
        await until(lambda: viewer.events, 5)
        await viewer.leave()
    assert {one["source"] for one in viewer.events[0]["data"]["edges"]} == {"gateway"}
