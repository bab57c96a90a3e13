"""A Shield that is asked beforehand: the same rules, nothing taken, and whoever has passed is not asked twice."""

import asyncio

from resilience import Limit, Queue, Refusal, Shield
from resilience.testing import virtual_runtime


def scope(path: str = "/", **headers: str) -> dict:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "POST", "path": path, "headers": pairs}


class App:
    """Stays inside until told to leave."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()

    async def __call__(self, scope, receive, send) -> None:
        await self.may_end.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def make(app=None, **options) -> Shield:
    options.setdefault("limit", Limit(fixed=2))
    return Shield(app or App(), name="stock", runtime=virtual_runtime(3), **options)


async def enter(shield: Shield, request: dict) -> asyncio.Task:
    async def nothing(message=None):
        return {"type": "http.request", "body": b""}

    task = asyncio.create_task(shield(request, nothing, nothing))
    await asyncio.sleep(0)
    return task


async def test_looking_takes_nothing():
    shield = make()
    assert [shield.look(scope(), 0) for _ in range(5)] == [True] * 5
    assert shield.snapshot()["in_flight"] == 0


async def test_those_who_are_coming_count_as_inside():
    shield = make()
    assert shield.look(scope(), 1) is True
    refusal = shield.look(scope(), 2)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "full"
    assert refusal.retry_after_s in (1, 2, 3)
    assert shield.snapshot()["refused_total"] == 0  # until whoever refuses says so
    shield.count(refusal)
    assert shield.snapshot()["refused"] == {"full": 1}


async def test_what_room_does_not_concern_is_left_alone():
    shield = make(
        exempt=lambda one: one["path"] == "/healthz", guards=lambda one: one["path"] == "/buy"
    )
    assert shield.look(scope("/healthz"), 9) is False
    assert shield.look(scope("/other"), 9) is False
    assert shield.look(scope("/buy", x_deadline_ms="0"), 9) is False
    assert shield.look({"type": "websocket", "path": "/buy"}, 9) is False
    assert isinstance(shield.look(scope("/buy"), 9), Refusal)


async def test_the_lag_before_the_shield_belongs_to_what_a_request_took():
    """A limit that learns must see that its own server is slow, not only the work behind it."""
    app = App()
    shield = make(app, limit=Limit(start=2, max=4))
    seen = []
    release = shield._limiter.release
    shield._limiter.release = lambda ticket, duration_s, outcome: (
        seen.append(duration_s),
        release(ticket, duration_s, outcome),
    )
    request = scope()
    shield.look(request, 0)
    await asyncio.sleep(0.2)
    task = await enter(shield, request)
    await asyncio.sleep(0.1)
    app.may_end.set()
    await task
    assert [round(one, 3) for one in seen] == [0.3]


async def test_a_queue_has_places_until_it_is_standing_then_one():
    app = App()
    queue = Queue(target_s=5, interval_s=10, length=3)
    shield = make(app, limit=Limit(fixed=1), queue=queue)
    tasks = [await enter(shield, scope())]
    assert shield.look(scope(), 2) is True
    assert isinstance(shield.look(scope(), 3), Refusal)
    tasks.append(await enter(shield, scope()))
    assert shield.look(scope(), 0) is True
    await asyncio.sleep(9.9)
    tasks.append(await enter(shield, scope()))
    await asyncio.sleep(0.2)  # standing now: the first who waited has gone, the second has not
    assert shield.snapshot()["queued"] == 1
    assert isinstance(shield.look(scope(), 0), Refusal)
    app.may_end.set()
    await asyncio.gather(*tasks)
    # Those who were turned away a moment ago would have waited: an empty queue is no news.
    assert isinstance(shield.look(scope(), 2), Refusal)
    await asyncio.sleep(11)
    assert shield.look(scope(), 2) is True


async def test_a_higher_class_finds_a_place_where_a_lower_one_waits():
    queue = Queue(target_s=5, interval_s=10, length=1)
    shield = make(
        limit=Limit(fixed=1), queue=queue, priority=lambda one: 8 if one["path"] == "/end" else 5
    )
    tasks = [await enter(shield, scope()), await enter(shield, scope())]
    assert isinstance(shield.look(scope(), 0), Refusal)
    assert shield.look(scope("/end"), 0) is True
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
