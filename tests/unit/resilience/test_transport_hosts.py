"""A transport with several addresses: what goes over the wire, whose state is whose, and a death."""

import asyncio
import math
from collections import Counter
from contextlib import suppress

import httpx
import pytest

from resilience import (
    Balance,
    Breaker,
    Limit,
    Policy,
    ResilientTransport,
    Retry,
    deadline,
)
from resilience.testing import After, Script

A, B, C = "http://10.0.0.1:5002", "http://10.0.0.2:5002", "http://10.0.0.3:5002"
REFUSED = httpx.ConnectError("refused")
RESET = httpx.ReadError("reset")


def now() -> float:
    return asyncio.get_running_loop().time()


def snapshot(http: httpx.AsyncClient) -> dict:
    return http._transport.snapshot()["stock:80"]["hosts"]


# The wire


async def test_only_the_origin_is_rewritten_and_the_name_stays(runtime, replicas):
    callees = replicas(a=200)
    transport = ResilientTransport(
        Policy(), callees, hosts=["https://10.0.0.1:8443"], runtime=runtime
    )
    http = httpx.AsyncClient(transport=transport, base_url="http://stock")
    async with http, deadline(2.0):
        response = await http.post("/hold?x=1", json={"seats": 2}, headers={"X-A": "b"})
    (sent,) = callees.requests
    assert str(sent.url) == "https://10.0.0.1:8443/hold?x=1"
    assert (sent.method, sent.headers["Host"], sent.headers["X-A"]) == ("POST", "stock", "b")
    assert sent.headers["X-Deadline-Ms"] == "1995"
    assert b"".join([part async for part in sent.stream]) == b'{"seats":2}'
    assert str(response.request.url) == "http://stock/hold?x=1"
    assert "X-Deadline-Ms" not in response.request.headers


async def test_errors_carry_the_request_with_the_name(open_mesh, replicas):
    async with open_mesh(Policy(), replicas(a=RESET), "a") as http:
        with pytest.raises(httpx.ReadError) as caught:
            await http.get("/seats")
    assert caught.value.request.url == "http://stock/seats"


async def test_a_streamed_body_is_sent_again_elsewhere(open_mesh, replicas):
    async def upload():
        yield b"two "
        yield b"parts"

    callees = replicas(a=REFUSED, b=200)
    async with open_mesh(Policy(), callees) as http:
        for _ in range(8):
            assert (await http.post("/seats", content=upload())).status_code == 200


@pytest.mark.parametrize(
    "hosts",
    [
        ["10.0.0.1:5002"],
        ["http://"],
        ["ftp://a"],
        ["http://a/path"],
        ["http://a?q"],
        ["http://me:pw@a"],
        ["http://a:x"],
        ["http://a", "http://a:80"],
    ],
)
def test_addresses_are_bare_origins_and_distinct(hosts):
    with pytest.raises(ValueError, match=r"origin|twice"):
        ResilientTransport(Policy(), Script(200), hosts=hosts)


# State


async def test_breaker_and_limit_are_per_address_quota_is_shared(open_mesh, replicas, ask):
    policy = Policy(retry=Retry(2, base_s=0.01), breaker=Breaker(), limit=Limit(fixed=3))
    async with open_mesh(policy, replicas(a=503, b=200)) as http:
        await ask(http, 3)
        state = http._transport.snapshot()["stock:80"]
        assert set(state) == {"quota", "hosts"}
        assert set(state["hosts"]) == {"10.0.0.1:5002", "10.0.0.2:5002"}
        one = state["hosts"]["10.0.0.1:5002"]
        assert set(one) == {"ejected_s", "latency_s", "pending", "breaker", "limit", "in_flight"}
        assert one["breaker"]["failed"] >= 1
        assert state["hosts"]["10.0.0.2:5002"]["breaker"]["failed"] == 0


async def test_events_say_which_address(open_mesh, replicas, ask, events):
    async with open_mesh(Policy(retry=Retry(2, base_s=0.01)), replicas(a=503, b=200)) as http:
        await ask(http, 4)
    attempts = {one.detail["host"]: one.detail["status"] for one in events.of("attempt")}
    assert attempts == {"10.0.0.1:5002": 503, "10.0.0.2:5002": 200}
    assert {one.detail["host"] for one in events.of("retry")} == {"stock:80"}


async def test_a_new_policy_keeps_what_is_known_of_the_addresses(open_mesh, replicas, ask):
    policy = Policy(breaker=Breaker(), retry=Retry(2))
    async with open_mesh(policy, replicas(a=REFUSED, b=After(0.1, 200))) as http:
        await ask(http, 5)
        before = snapshot(http)
        http._transport.policy = Policy(attempt_s=3.0, breaker=Breaker(), retry=Retry(2))
        assert snapshot(http) == before
        http._transport.policy = Policy(balance=Balance(consecutive=9))
        assert snapshot(http)["10.0.0.1:5002"]["ejected_s"] == 0


async def test_in_flight_calls_are_counted_across_a_new_policy_and_a_cancellation(
    open_mesh, replicas, ask
):
    async with open_mesh(Policy(), replicas(a=After(math.inf)), "a") as http:
        calls = [asyncio.create_task(http.get("/seats")) for _ in range(3)]
        await asyncio.sleep(0.1)
        http._transport.policy = Policy(attempt_s=9.0)
        assert snapshot(http)["10.0.0.1:5002"]["pending"] == 3
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        assert snapshot(http)["10.0.0.1:5002"]["pending"] == 0


# The whole story


async def test_a_replica_dies_under_load_and_not_one_idempotent_call_fails(
    open_mesh, replicas, ask, events
):
    """In flight: reset. Afterwards: refused. The dead one takes no traffic within a second."""
    policy = Policy(
        attempt_s=1.0, retry=Retry(3, base_s=0.02), breaker=Breaker(), limit=Limit(fixed=16)
    )
    dead = asyncio.Event()

    async def mortal(request: httpx.Request) -> object:
        if dead.is_set():
            return REFUSED
        with suppress(TimeoutError):
            await asyncio.wait_for(dead.wait(), 0.05)
        return RESET if dead.is_set() else 200

    async def buyer(until_s: float) -> None:
        while now() < until_s:
            answers.update(await ask(http, every_s=0.02))

    callees, answers = replicas(a=200, b=After(0.05, 200)), Counter()
    callees.now_plays("a", mortal)
    async with open_mesh(policy, callees) as http:
        buyers = [asyncio.create_task(buyer(6.0)) for _ in range(12)]
        await asyncio.sleep(2.0)
        dead.set()
        await asyncio.sleep(1.0)
        callees.seen.clear()
        await asyncio.gather(*buyers)
    assert set(answers) == {200}
    assert answers[200] > 800
    assert len(events.of("retry")) >= 1  # some were in flight
    assert "a" not in callees.seen
