"""The transport: bodies, streams, cancellation, and the state it keeps per host."""

import asyncio
import math
from contextlib import suppress

import httpx
import pytest

from resilience import (
    AttemptTimeout,
    Breaker,
    BreakerOpen,
    Limit,
    LimitFull,
    Policy,
    Quota,
    ResilientTransport,
    Retry,
)
from resilience.testing import After, Script

STOCK = "http://stock:5002/seats"
RETRY = Policy(attempt_s=1.0, retry=Retry(3, base_s=0.01))


# Bodies


class Dripping(httpx.AsyncByteStream):
    """Sends a byte every 0.3 s, for ever by default; each read alone is quick."""

    def __init__(self, parts: float = math.inf) -> None:
        self.parts = parts
        self.closed = False

    async def __aiter__(self):
        sent = 0
        while sent < self.parts:
            await asyncio.sleep(0.3)
            yield b"."
            sent += 1

    async def aclose(self) -> None:
        self.closed = True


async def test_a_dripping_body_is_cut_at_the_attempt_timeout(open_client):
    body = Dripping()
    policy = Policy(attempt_s=1.0)
    async with open_client(policy, httpx.Response(200, stream=body)) as (http, _):
        with pytest.raises(AttemptTimeout):
            await http.get(STOCK)
        assert asyncio.get_running_loop().time() == pytest.approx(1.0)
    assert body.closed  # so that the connection goes back to its pool


async def test_a_streamed_answer_is_read_and_usable(open_client):
    body = Dripping(parts=3)
    async with open_client(RETRY, httpx.Response(200, stream=body)) as (http, _):
        response = await http.get(STOCK)
    assert response.content == b"..."
    assert response.elapsed.total_seconds() == pytest.approx(0.9)
    assert response.request.url == STOCK
    assert body.closed


async def test_a_streaming_caller_still_gets_the_body(open_client):
    answer = httpx.Response(200, stream=Dripping(parts=3))
    async with open_client(RETRY, answer) as (http, _), http.stream("GET", STOCK) as response:
        assert [part async for part in response.aiter_bytes()] == [b"..."]


async def test_redirects_and_mock_transports_work_as_ever(runtime):
    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/old":
            return httpx.Response(307, headers={"Location": "/new"})
        return httpx.Response(
            200, json={"path": request.url.path, "body": request.content.decode()}
        )

    transport = ResilientTransport(RETRY, httpx.MockTransport(serve), runtime=runtime)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://stock", follow_redirects=True
    ) as http:
        response = await http.post("/old", content="hello")
    assert response.json() == {"path": "/new", "body": "hello"}
    assert response.elapsed.total_seconds() >= 0


async def test_a_streamed_request_body_is_sent_again_on_retry(open_client):
    bodies = []

    async def read(request: httpx.Request) -> httpx.Response:
        bodies.append(b"".join([part async for part in request.stream]))
        return httpx.Response(503 if len(bodies) == 1 else 200)

    async def upload():
        yield b"two "
        yield b"parts"

    async with open_client(RETRY, read) as (http, _):
        await http.put(STOCK, content=upload())
    assert bodies == [b"two parts", b"two parts"]


# State and life cycle


async def test_state_is_kept_per_host_and_port(open_client):
    async with open_client(Policy(breaker=Breaker()), httpx.Response(503)) as (http, _):
        for _ in range(5):
            await http.get("http://stock:1/x")
        with pytest.raises(BreakerOpen):
            await http.get("http://stock:1/y")
        assert (await http.get("http://stock:2/x")).status_code == 503
        assert (await http.get("https://other/x")).status_code == 503
        snapshot = http._transport.snapshot()
    assert set(snapshot) == {"stock:1", "stock:2", "other:443"}
    assert snapshot["stock:1"]["breaker"]["phase"] == "open"


async def test_a_new_policy_keeps_the_state_of_unchanged_parts(runtime, events):
    callee = Script(httpx.Response(503))
    policy = Policy(attempt_s=1.0, retry=Retry(2), breaker=Breaker(), limit=Limit(fixed=5))
    transport = ResilientTransport(policy, callee, runtime=runtime, on_event=[events])
    async with httpx.AsyncClient(transport=transport) as http:
        for _ in range(3):
            with suppress(BreakerOpen):
                await http.get(STOCK)
        before = transport.snapshot()["stock:5002"]
        assert before["breaker"]["phase"] == "open"
        transport.policy = Policy(
            attempt_s=0.5, retry=Retry(4), breaker=Breaker(), limit=Limit(fixed=6)
        )
        after = transport.snapshot()["stock:5002"]
        assert after["breaker"] == before["breaker"]
        assert after["quota"] == before["quota"] < 100
        assert after["limit"] == 6
        transport.policy = Policy(retry=Retry(4, quota=Quota(50)))
        assert transport.snapshot()["stock:5002"] == {"quota": 50}
        assert (await http.post(STOCK)).status_code == 503
    assert events.kinds().count("policy_replaced") == 2


async def test_a_full_limit_is_both_ours_and_httpxs_error(open_client):
    policy = Policy(limit=Limit(fixed=1))
    async with open_client(policy, After(1.0, 200)) as (http, _):
        first = asyncio.create_task(http.get(STOCK))
        await asyncio.sleep(0.1)
        with pytest.raises(LimitFull) as caught:
            await http.get(STOCK)
        assert isinstance(caught.value, httpx.TransportError)
        assert caught.value.request.url == STOCK
        assert (await first).status_code == 200


async def test_cancelling_a_request_cancels_the_attempt(open_client):
    policy = Policy(attempt_s=9.0, retry=Retry(3), breaker=Breaker(), limit=Limit(fixed=1))
    async with open_client(policy, After(math.inf), 200) as (http, callee):
        task = asyncio.create_task(http.get(STOCK))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert callee.cancelled == 1
        assert (await http.get(STOCK)).status_code == 200  # slot and connection are free


async def test_events_carry_name_and_host(runtime, events):
    transport = ResilientTransport(
        RETRY, Script(httpx.Response(503), 200), name="stock", runtime=runtime, on_event=[events]
    )
    async with httpx.AsyncClient(transport=transport) as http:
        await http.get(STOCK)
    assert events.kinds() == ["attempt", "retry", "attempt"]
    assert {(event.name, event.detail["host"]) for event in events} == {("stock", "stock:5002")}
    assert [event.detail["status"] for event in events.of("attempt")] == [503, 200]
