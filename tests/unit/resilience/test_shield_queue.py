"""The Shield with a queue, priorities and rates: what callers of a busy server see."""

import asyncio

import httpx
import pytest

from resilience import Limit, Queue, RateLimit, Shield, deadline, read_priority
from resilience.testing import virtual_runtime


class App:
    """Takes its time, and notes who came in under which deadline."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.paths: list[str] = []
        self.left_s: list[float | None] = []

    async def __call__(self, scope, receive, send) -> None:
        self.paths.append(scope["path"])
        self.left_s.append(deadline.remaining_s())
        await asyncio.sleep(self.takes_s)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


def make(app, limit: int = 1, **options) -> Shield:
    options.setdefault("runtime", virtual_runtime(3))
    return Shield(app, limit=Limit(fixed=limit), name="stock", **options)


def client(shield: Shield, address: str = "10.0.0.1") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(shield, client=(address, 1234))
    return httpx.AsyncClient(transport=transport, base_url="http://stock")


async def test_a_full_server_lets_a_moment_pass_before_it_refuses(events):
    app = App(takes_s=0.04)
    shield = make(app, queue=Queue(), on_event=[events])
    async with client(shield) as http:
        answers = await asyncio.gather(*(http.get(f"/{number}") for number in range(5)))
    assert [answer.status_code for answer in answers] == [200, 200, 200, 503, 503]
    assert app.paths == ["/0", "/1", "/2"]
    for refused in answers[3:]:
        assert refused.headers["X-Shed"] == "1"
        assert refused.headers["Retry-After"] in {"1", "2", "3"}
        assert refused.json()["code"] == "overloaded"
    assert [event.detail["reason"] for event in events.of("shed")] == ["waited"] * 2


async def test_the_snapshot_shows_the_queue():
    shield = make(App(takes_s=0.05), queue=Queue(length=1))
    async with client(shield) as http:
        requests = [asyncio.create_task(http.get("/")) for _ in range(3)]
        await asyncio.sleep(0.01)
        busy = shield.snapshot()
        await asyncio.wait(requests)
    assert busy == {
        "limit": 1,
        "in_flight": 1,
        "queued": 1,
        "lag_s": 0.0,
        "threshold": 0.0,
        "refused_total": 1,
        "refused": {"full": 1},
    }
    assert shield.snapshot()["queued"] == 0


async def test_work_that_expires_in_the_queue_is_never_begun(events):
    app = App(takes_s=0.08)
    shield = make(app, queue=Queue(), on_event=[events])
    async with client(shield) as http:
        busy = asyncio.create_task(http.get("/busy"))
        await asyncio.sleep(0.001)
        late = await http.post("/late", headers={"X-Deadline-Ms": "30"})
        assert (await busy).status_code == 200
    assert late.status_code == 504
    assert late.headers["X-Deadline-Expired"] == "1"
    assert "X-Shed" not in late.headers
    assert app.paths == ["/busy"]
    assert events.kinds() == ["deadline_expired"]
    assert shield.snapshot()["refused"] == {"deadline": 1}


async def test_waiting_uses_up_the_deadline():
    app = App(takes_s=0.05)
    async with client(make(app, queue=Queue())) as http:
        headers = {"X-Deadline-Ms": "1000"}
        await asyncio.gather(*(http.get("/", headers=headers) for _ in range(2)))
    assert app.left_s == [pytest.approx(1.0), pytest.approx(0.95)]


async def test_a_client_that_goes_away_leaves_the_queue():
    app = App(takes_s=0.05)
    shield = make(app, queue=Queue())
    async with client(shield) as http:
        requests = [asyncio.create_task(http.get(f"/{number}")) for number in range(3)]
        await asyncio.sleep(0.01)
        requests[1].cancel()
        await asyncio.wait(requests)
    assert app.paths == ["/0", "/2"]
    assert shield.snapshot()["in_flight"] == shield.snapshot()["queued"] == 0


async def test_the_slot_of_a_crashed_request_goes_to_who_waits():
    async def crash(scope, receive, send):
        await asyncio.sleep(0.01)
        raise RuntimeError("bug")

    shield = make(crash, queue=Queue())
    transport = httpx.ASGITransport(shield, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://stock") as http:
        answers = await asyncio.gather(*(http.get("/") for _ in range(5)))
    assert [answer.status_code for answer in answers] == [500] * 5
    assert shield.snapshot()["in_flight"] == 0


async def test_compensations_pass_new_reservations():
    app = App(takes_s=0.02)
    shield = make(app, queue=Queue(), priority=lambda scope: 8 if "cancel" in scope["path"] else 5)
    async with client(shield) as http:
        paths = ["/reserve/1", "/reserve/2", "/cancel/1"]
        answers = await asyncio.gather(*(http.post(path) for path in paths))
    assert {answer.status_code for answer in answers} == {200}
    assert app.paths == ["/reserve/1", "/cancel/1", "/reserve/2"]


def test_a_priority_needs_a_queue():
    with pytest.raises(ValueError, match="needs a queue"):
        make(App(0), priority=read_priority)


@pytest.mark.parametrize(("value", "expected"), [(b"8", 8), (b"0", 0), (b"2.75", 2.75)])
def test_the_priority_header_is_a_small_number(value, expected):
    assert read_priority({"headers": [(b"x-priority", value)]}) == expected


@pytest.mark.parametrize(
    "value", [None, b"", b"high", b"-1", b"1e3", b"nan", b".", b"1.2.3", b"1" * 40]
)
def test_anything_else_counts_as_no_priority(value):
    headers = [] if value is None else [(b"x-priority", value)]
    assert read_priority({"headers": headers}) == 5


def test_no_priority_is_higher_than_the_highest_class():
    assert 9 < read_priority({"headers": [(b"x-priority", b"99")]}) < 10


# Rates


async def test_a_client_that_comes_too_often_is_refused_before_any_work(events):
    app = App(takes_s=0.0)
    shield = make(app, limit=10, rate=RateLimit(rate_per_s=1, burst=2), on_event=[events])
    async with client(shield) as eager, client(shield, "10.0.0.2") as patient:
        answers = [await eager.get("/eager") for _ in range(4)]
        other = await patient.get("/patient")
        await asyncio.sleep(1.0)
        again = await eager.get("/again")
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert (other.status_code, again.status_code) == (200, 200)
    for refused in answers[2:]:
        assert refused.json()["code"] == "rate_limited"
        assert refused.headers["Retry-After"] in {"1", "2"}
        assert refused.headers["X-Shed"] == "1"
    assert app.paths == ["/eager", "/eager", "/patient", "/again"]
    assert shield.snapshot()["refused"] == {"rate": 2}
    assert {event.detail["reason"] for event in events.of("shed")} == {"rate"}


async def test_the_application_says_who_a_client_is():
    def key(scope):
        return dict(scope["headers"]).get(b"x-api-key", b"").decode()

    shield = make(App(0.0), limit=10, rate=RateLimit(rate_per_s=0.1, burst=1), client=key)
    async with client(shield) as http:
        statuses = [
            (await http.get("/", headers={"X-Api-Key": name})).status_code for name in "aabba"
        ]
        rest = await http.get("/", headers={"X-Api-Key": "a"})
    assert statuses == [200, 429, 200, 429, 429]
    assert int(rest.headers["Retry-After"]) >= 10


async def test_rates_concern_only_what_is_guarded():
    shield = make(
        App(0.0),
        rate=RateLimit(rate_per_s=0.1, burst=1),
        guards=lambda scope: scope["method"] == "POST",
        exempt=lambda scope: scope["path"] == "/healthz",
    )
    async with client(shield) as http:
        free = [(await http.get("/")).status_code for _ in range(3)]
        free += [(await http.post("/healthz")).status_code for _ in range(3)]
        guarded = [(await http.post("/")).status_code for _ in range(2)]
    assert free == [200] * 6
    assert guarded == [200, 429]


async def test_a_refused_client_takes_no_slot_and_no_place():
    shield = make(App(0.05), queue=Queue(length=1), rate=RateLimit(rate_per_s=0.1, burst=1))
    async with client(shield) as eager, client(shield, "10.0.0.2") as patient:
        first, second, other = await asyncio.gather(
            eager.get("/"), eager.get("/"), patient.get("/")
        )
    assert (first.status_code, second.status_code, other.status_code) == (200, 429, 200)
