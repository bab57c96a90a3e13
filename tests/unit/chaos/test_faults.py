"""Every fault on a small application: what the caller sees, and what ran."""

import asyncio

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from chaos.faults import FAULTS, SCENARIOS, ConnectionDropped, FaultNotFound, Faults
from chaos.faults.base import is_under
from tests.support import until
from tests.unit.chaos.faults_app import HandClock, make_app


def parts(service: str = "payments", lots: list[float] | None = None, **routes: str):
    clock = HandClock(lots)
    faults = Faults(clock.runtime(), service, routes)
    app = make_app(faults)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")
    return clock, faults, app, client


@pytest.mark.parametrize(
    ("fault", "service", "status", "code"),
    [
        ("crash", "inventory", 503, "service_crashed"),
        ("down", "notifications", 503, "service_down"),
        ("error", "payments", 500, "service_failed"),
    ],
)
async def test_broken_service_answers_at_once_unmarked_and_runs_nothing(
    fault, service, status, code
):
    _, faults, app, client = parts(service)
    faults.switch_on(fault)
    response = await client.post("/reserve", json={})
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code
    assert not {"retry-after", "x-shed", "x-outcome"} & set(response.headers)
    assert app.state.runs == []


async def test_latency_waits_first_and_then_runs_the_request_whole():
    clock, faults, app, client = parts()
    faults.switch_on("latency", seconds=5)
    response = await client.post("/pay", content="abc")
    assert clock.slept == [5]
    assert response.json()["body"] == "abc"
    assert app.state.runs == ["pay"]


async def test_latency_outlasts_a_caller_that_left():
    """The late request must still meet the service: that is what the fault is for."""
    _, faults, app, _ = parts()
    faults.switch_on("latency", seconds=5)
    asked = []

    async def receive():
        asked.append(1)
        return (
            {"type": "http.request", "body": b""}
            if len(asked) == 1
            else {"type": "http.disconnect"}
        )

    async def send(_message):
        return

    scope = {"type": "http", "method": "POST", "path": "/pay", "headers": [], "query_string": b""}
    await app(scope, receive, send)
    assert app.state.runs == ["pay"]


async def test_a_default_route_keeps_the_other_paths_whole():
    clock, faults, _, client = parts(latency="/pay")
    faults.switch_on("latency", seconds=5)
    await client.post("/capture")
    assert clock.slept == []
    await client.post("/pay")
    assert clock.slept == [5]
    faults.switch_on("latency", seconds=5, route="*")
    await client.post("/capture")
    assert clock.slept == [5, 5]


async def test_hang_answers_only_after_it_is_off():
    clock, faults, _, client = parts()
    faults.switch_on("hang", ttl_s=2)
    response = await client.post("/pay")
    assert clock.now == pytest.approx(1002, abs=0.11)
    assert response.status_code == 200
    faults.switch_on("hang")
    clock.on_sleep = faults.reset
    await client.post("/pay")
    assert clock.now < 1003


async def test_reset_breaks_before_and_lost_reply_after_running():
    _, faults, app, client = parts()
    faults.switch_on("reset")
    with pytest.raises(ConnectionDropped):
        await client.post("/pay")
    assert app.state.runs == []
    faults.reset()
    faults.switch_on("lost_reply")
    with pytest.raises(ConnectionDropped):
        await client.post("/pay")
    assert app.state.runs == ["pay"]


async def test_duplicate_runs_twice_and_gives_one_answer():
    _, faults, app, client = parts()
    faults.switch_on("duplicate")
    response = await client.post("/pay", content="abc")
    assert response.json() == {"path": "pay", "body": "abc"}
    assert app.state.runs == ["pay", "pay"]


async def test_slow_body_drips_the_same_answer():
    clock, faults, _, client = parts()
    faults.switch_on("slow_body", seconds=10)
    response = await client.post("/pay", content="x" * 100)
    assert response.json()["body"] == "x" * 100
    assert sum(clock.slept) == pytest.approx(10)
    assert len(clock.slept) > 10


async def test_faults_go_around_each_other_in_the_order_of_the_catalogue():
    clock, faults, _, client = parts()
    faults.switch_on("crash")
    faults.switch_on("latency", seconds=3)
    response = await client.post("/pay")
    assert clock.slept == [3]
    assert response.status_code == 503


async def test_probability_strikes_its_share():
    _, faults, _, client = parts(lots=[0.1, 0.3])
    faults.switch_on("error", probability=0.2)
    assert (await client.post("/pay")).status_code == 500
    assert (await client.post("/pay")).status_code == 200


@pytest.mark.parametrize("path", ["/chaos", "/healthz", "/metrics", "/api/lab/faults"])
async def test_the_way_back_stays_open(path):
    _, faults, _, client = parts()
    faults.switch_on("crash")
    assert (await client.get(path)).status_code == 200


async def test_a_fault_ends_by_itself():
    clock, faults, _, client = parts()
    faults.switch_on("crash", ttl_s=10)
    clock.now += 9.9
    assert faults.state("crash").left_s == pytest.approx(0.1)
    clock.now += 0.2
    assert faults.active("crash") is None
    assert (await client.get("/pay")).status_code == 200


def test_db_flap_fails_before_or_after_and_half_of_the_time():
    _, faults, _, _ = parts("reservations", lots=[0.9, 0.1, 0.1, 0.1, 0.9])
    assert faults.store_plan() is None
    faults.switch_on("db_flap")
    assert [faults.store_plan() for _ in range(3)] == [None, "before", "after"]


def test_payments_declines_while_fail_is_on():
    _, faults, _, _ = parts()
    assert not faults.declines()
    faults.switch_on("fail")
    assert faults.declines()


def test_a_service_has_only_its_own_switches():
    _, faults, _, _ = parts("inventory")
    with pytest.raises(FaultNotFound):
        faults.switch_on("fail")
    assert "down" not in {state.fault.name for state in faults.states()}


def test_every_scenario_names_a_switch_that_exists():
    for one in SCENARIOS:
        if one.fault is not None:
            fault = next(fault for fault in FAULTS if fault.name == one.fault)
            assert fault.is_offered_by(one.service)
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize(
    ("path", "prefix", "covered"),
    [
        ("/pay", "/pay", True),
        ("/pay/1", "/pay", True),
        ("/payments/1", "/pay", False),
        ("/x", "/", True),
    ],
)
def test_prefixes_match_whole_segments(path, prefix, covered):
    assert is_under(path, prefix) is covered


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_real_connection_breaks_without_an_answer(loop):
    """Over a socket there is a reset and nothing else, and the server goes on serving."""
    if loop == "uvloop":
        uvloop = pytest.importorskip("uvloop")
        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    else:
        runner = asyncio.Runner()
    with runner:
        runner.run(_break_real_connections())


async def _break_real_connections() -> None:
    clock = HandClock()
    faults = Faults(clock.runtime(), "payments")
    app = make_app(faults)
    config = uvicorn.Config(app, port=0, log_level="critical", lifespan="off", http="httptools")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started, 10)
        port = server.servers[0].sockets[0].getsockname()[1]
        await _see_broken_connections(faults, app, f"http://127.0.0.1:{port}/pay")
    finally:
        server.should_exit = True
        await serving


async def _see_broken_connections(faults: Faults, app: FastAPI, url: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        for fault, runs in (("reset", 0), ("lost_reply", 1)):
            faults.reset()
            faults.switch_on(fault)
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                await client.post(url, content="abc")
            assert len(app.state.runs) == runs
        faults.reset()
        assert (await client.post(url)).json()["path"] == "pay"
