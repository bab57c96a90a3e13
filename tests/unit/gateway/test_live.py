"""The live stream: snapshot, deltas, bounds, and no work while nobody watches."""

import asyncio
import json

import httpx

from gateway.clients.live import BACKLOG, Live
from resilience.testing import Script
from tests.support import until
from tests.unit.gateway.conftest import Bench, bench, says
from tests.unit.gateway.test_api import EVENT

READY = {"status": "ready", "checks": {}, "live": {}}


class Viewer:
    """A browser with the stream open."""

    def __init__(self, desk: Bench) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.text = ""
        self._left = asyncio.Event()
        self._asked = False
        self.task = asyncio.ensure_future(desk.asgi("GET", "/api/live", self._receive, self._send))

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
                found.append({"id": int(fields["id"]), "kind": fields["event"], "data": data})
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
    assert [first["id"], second["id"], third["id"]] == [1, 2, 3]


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


async def test_viewer_that_does_not_read_is_let_go():
    live = Live(most=5)
    stream = live.listen()
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    for number in range(BACKLOG + 2):
        live.publish({"n": number})
    assert not live.is_watched
    kinds = [(await first).kind] + [event.kind async for event in stream]
    assert kinds[0] == "snapshot"
    assert len(kinds) <= BACKLOG + 1
