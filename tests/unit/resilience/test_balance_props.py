"""Properties of balancing, for any number of addresses, any behaviour of each and any timing:

1. as long as one address answers, a call that may be passed on succeeds: no verdict stops the traffic;
2. an attempt goes to every address at most once before any is repeated;
3. when nothing is in flight, nothing is counted as in flight, whatever was cancelled;
4. loads are finite and never negative.
"""

import asyncio
import math

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience import Balance, Policy, ResilientTransport, Retry
from resilience.testing import After, Script, run_virtual, virtual_runtime

SICK = [httpx.ConnectError("refused"), httpx.ReadError("reset"), 500, 503, After(9.0, 200)]
sick = st.lists(st.sampled_from(SICK), min_size=1, max_size=3)
seeds = st.integers(0, 1000)


class Upstream(httpx.AsyncBaseTransport):
    def __init__(self, *scripts: Script) -> None:
        self.scripts = scripts
        self.seen: list[int] = []

    @property
    def hosts(self) -> list[str]:
        return [f"http://10.0.0.{number}" for number in range(len(self.scripts))]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        number = int(request.url.host.rsplit(".")[-1])
        self.seen.append(number)
        return await self.scripts[number].handle_async_request(request)


def open_client(policy: Policy, upstream: Upstream, seed: int) -> httpx.AsyncClient:
    transport = ResilientTransport(
        policy, upstream, hosts=upstream.hosts, runtime=virtual_runtime(seed)
    )
    return httpx.AsyncClient(transport=transport, base_url="http://stock", timeout=None)


@settings(max_examples=60)
@given(st.lists(sick, max_size=3), st.floats(0, 20), seeds)
def test_one_healthy_address_is_enough(others, every_s, seed):
    async def scenario() -> None:
        upstream = Upstream(Script(After(0.01, 200)), *(Script(*steps) for steps in others))
        retry = Retry(len(others) + 1, base_s=0.001, quota=None)
        async with open_client(Policy(attempt_s=1.0, retry=retry), upstream, seed) as http:
            for _ in range(30):
                assert (await http.get("/x")).status_code == 200
                await asyncio.sleep(every_s)

    run_virtual(scenario())


@settings(max_examples=40)
@given(st.integers(2, 5), seeds)
def test_nobody_is_asked_twice_before_all_were_asked(number, seed):
    async def scenario() -> None:
        upstream = Upstream(*(Script(503) for _ in range(number)))
        policy = Policy(
            retry=Retry(number, base_s=0.001, quota=None), balance=Balance(consecutive=99)
        )
        async with open_client(policy, upstream, seed) as http:
            await http.get("/x")
        assert sorted(upstream.seen) == list(range(number))

    run_virtual(scenario())


@settings(max_examples=40)
@given(st.lists(sick, min_size=1, max_size=3), st.lists(st.floats(0, 3), max_size=20), seeds)
def test_cancelled_calls_leave_nothing_in_flight(behaviours, cancel_after_s, seed):
    async def scenario() -> None:
        upstream = Upstream(*(Script(*steps) for steps in behaviours))
        policy = Policy(attempt_s=2.0, retry=Retry(3, base_s=0.01))
        async with open_client(policy, upstream, seed) as http:
            calls = [asyncio.create_task(http.get("/x")) for _ in cancel_after_s]
            for call, after_s in zip(calls, cancel_after_s, strict=True):
                asyncio.get_running_loop().call_later(after_s, call.cancel)
            await asyncio.gather(http.get("/x"), *calls, return_exceptions=True)
            for one in http._transport.snapshot()["stock:80"]["hosts"].values():
                assert one["pending"] == 0
                assert one["latency_s"] is None or 0 <= one["latency_s"] < math.inf

    run_virtual(scenario())
