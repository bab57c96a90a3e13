"""The Shield: who gets in, what the refused are told, and under which deadline the rest run."""

import asyncio
import json

import httpx
import pytest

from resilience import Limit, Shield, deadline
from resilience.testing import virtual_runtime


class App:
    """An ASGI application that takes its time and notes the deadline it ran under."""

    def __init__(self, takes_s: float = 0.0, status: int = 200) -> None:
        self.takes_s = takes_s
        self.status = status
        self.left_s: list[float | None] = []
        self.scopes: list[str] = []

    async def __call__(self, scope, receive, send) -> None:
        self.scopes.append(scope["type"])
        if scope["type"] != "http":
            return
        self.left_s.append(deadline.remaining_s())
        await asyncio.sleep(self.takes_s)
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


def client(shield: Shield) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(shield, raise_app_exceptions=False), base_url="http://stock"
    )


def make(app, limit: int = 2, **options) -> Shield:
    options.setdefault("runtime", virtual_runtime(3))
    return Shield(app, limit=Limit(fixed=limit), name="stock", **options)


async def test_a_full_server_refuses_at_once_with_its_marks(events):
    app = App(takes_s=1.0)
    shield = make(app, on_event=[events])
    async with client(shield) as http:
        answers = await asyncio.gather(*(http.get("/") for _ in range(20)))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) == 18
    assert len(app.left_s) == 2
    for answer in refused:
        assert answer.status_code == 503
        assert answer.headers["X-Shed"] == "1"
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "overloaded"
        assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert {answer.headers["Retry-After"] for answer in refused} == {"1", "2", "3"}
    assert events.kinds() == ["shed"] * 18
    assert {event.detail["reason"] for event in events} == {"full"}
    assert shield.snapshot() == {
        "limit": 2,
        "in_flight": 0,
        "refused_total": 18,
        "refused": {"full": 18},
    }


async def test_slots_come_back_when_the_application_crashes():
    async def crash(scope, receive, send):
        raise RuntimeError("bug")

    shield = make(crash, limit=1)
    async with client(shield) as http:
        for _ in range(3):
            assert (await http.get("/")).status_code == 500
    assert shield.snapshot()["in_flight"] == 0


async def test_slots_come_back_when_the_client_goes_away():
    shield = make(App(takes_s=60), limit=1)
    async with client(shield) as http:
        request = asyncio.create_task(http.get("/"))
        await asyncio.sleep(0.1)
        assert shield.snapshot()["in_flight"] == 1
        request.cancel()
        await asyncio.wait([request])
    assert shield.snapshot()["in_flight"] == 0


async def test_the_application_runs_inside_its_callers_deadline():
    app = App()
    async with client(make(app)) as http:
        await http.get("/", headers={"X-Deadline-Ms": "1500"})
        await http.get("/")
    assert app.left_s == [pytest.approx(1.5), None]
    assert deadline.remaining_s() is None


async def test_a_request_without_the_header_has_no_deadline_even_in_process():
    app = App()
    async with client(make(app)) as http, deadline(3.0):
        await http.get("/")
    assert app.left_s == [None]


@pytest.mark.parametrize("value", ["0", "-5"])
async def test_expired_work_is_refused_before_the_application(value, events):
    app = App()
    shield = make(app, on_event=[events])
    async with client(shield) as http:
        answer = await http.post("/", headers={"X-Deadline-Ms": value})
    assert answer.status_code == 504
    assert answer.headers["X-Deadline-Expired"] == "1"
    assert "X-Shed" not in answer.headers
    assert "Retry-After" not in answer.headers
    assert answer.json()["code"] == "deadline_exceeded"
    assert app.scopes == []
    assert events.kinds() == ["deadline_expired"]
    assert shield.snapshot()["refused_total"] == 1


@pytest.mark.parametrize("value", ["", "soon", "1.5", "1_000", "+9", "9" * 30, "--5", "١"])
async def test_a_bad_deadline_is_ignored(value):
    app = App()
    async with client(make(app)) as http:
        headers = {"X-Deadline-Ms": value.encode()}
        assert (await http.get("/", headers=headers)).status_code == 200
    assert app.left_s == [None]


async def test_a_running_request_is_not_cut_at_its_deadline():
    """A cancelled database call may still commit; work in flight ends by its own timeouts."""
    async with client(make(App(takes_s=5.0))) as http:
        assert (await http.get("/", headers={"X-Deadline-Ms": "100"})).status_code == 200


async def test_exempt_requests_meet_neither_limit_nor_deadline():
    app = App(takes_s=1.0)
    shield = make(app, limit=1, exempt=lambda scope: scope["path"] == "/healthz")
    async with client(shield) as http:
        busy = asyncio.create_task(http.get("/"))
        await asyncio.sleep(0.1)
        answer = await http.get("/healthz", headers={"X-Deadline-Ms": "0"})
        await busy
    assert answer.status_code == 200
    assert app.left_s == [None, None]


async def test_guards_choose_what_the_limit_counts_while_deadlines_hold_for_all():
    app = App(takes_s=1.0)
    shield = make(app, limit=1, guards=lambda scope: scope["method"] == "POST")
    async with client(shield) as http:
        headers = {"X-Deadline-Ms": "2000"}
        reads = [http.get("/", headers=headers) for _ in range(5)]
        writes = [http.post("/", headers=headers) for _ in range(3)]
        answers = await asyncio.gather(*reads, *writes)
        assert (await http.get("/", headers={"X-Deadline-Ms": "0"})).status_code == 504
    assert [answer.status_code for answer in answers] == [200] * 6 + [503] * 2
    assert app.left_s == [pytest.approx(2.0)] * 6


async def test_refusals_are_rendered_by_the_callback():
    seen = []

    def refuse(refusal, scope):
        seen.append((refusal.reason, refusal.retry_after_s, scope["path"]))
        body = json.dumps({"code": "gateway_saturated"}).encode()
        return 429, [(b"content-type", b"application/problem+json"), (b"x-more", b"1")], body

    shield = make(App(takes_s=1.0), limit=1, refuse=refuse)
    async with client(shield) as http:
        first, second = await asyncio.gather(http.get("/a"), http.get("/b"))
        late = await http.get("/c", headers={"X-Deadline-Ms": "0"})
    assert (first.status_code, second.status_code, late.status_code) == (200, 429, 429)
    assert second.json() == {"code": "gateway_saturated"}
    assert (second.headers["X-Shed"], second.headers["X-More"]) == ("1", "1")
    assert seen == [("full", int(second.headers["Retry-After"]), "/b"), ("deadline", None, "/c")]


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_other_scopes_pass_through(kind):
    app = App()
    await make(app)({"type": kind}, None, None)
    assert app.scopes == [kind]


async def test_an_adaptive_limit_learns_from_slow_failures_only(runtime):
    """Unmarked 503 and 504 answers mean too much to do; a quick 500 says nothing about load."""
    for status, expected in [(503, 16), (500, 20)]:
        app = App(takes_s=0.3, status=status)
        shield = Shield(app, limit=Limit(start=20), name="stock", runtime=runtime)
        async with client(shield) as http:
            for _ in range(2):  # the first ones only open the window
                await asyncio.gather(*(http.get("/") for _ in range(10)))
        assert shield.snapshot()["limit"] == expected
