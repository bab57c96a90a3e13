"""Apps of one process share their route tables and nothing else."""

from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache

import httpx
import pytest
from fastapi import APIRouter, Request

from chassis import runtime
from chassis.app import Chassis, build_app
from chassis.errors import StorageUnavailable
from chassis.settings import ServiceSettings
from chassis.testing import serve


@cache
def routes():
    router = APIRouter()

    @router.get("/who")
    async def who(request: Request):
        return {"who": request.state.svc}

    return router


def build(who, **settings):
    chassis = Chassis("inventory", ServiceSettings(**settings), runtime.simulated(1, {}))

    @asynccontextmanager
    async def service():
        chassis.health.checks["store"] = ready
        yield who

    async def ready():
        if who == "eva":
            raise StorageUnavailable
        return who == "ana"

    specs = {who: f"/openapi/{who}.json"}
    return build_app(chassis, summary=who, service=service, routers=[routes()], specs=specs)


@pytest.fixture
async def two():
    """Two apps of one service, both running: ana's is ready and its switches want a token, luis's is neither."""
    async with AsyncExitStack() as stack:
        clients = []
        for app in (
            build("ana", chaos_enabled=True, chaos_token="secret"),
            build("luis", chaos_enabled=True),
        ):
            transport = await stack.enter_async_context(serve(app))
            clients.append(
                await stack.enter_async_context(
                    httpx.AsyncClient(transport=transport, base_url="http://t")
                )
            )
        yield clients


def test_the_tables_are_the_same():
    ana, luis = build("ana"), build("luis")
    mine = {route.path: route for route in ana.routes}
    shared = [route for route in luis.routes if mine[route.path] is route]
    assert {route.path for route in luis.routes} - {route.path for route in shared} == {
        "/openapi.json"
    }


async def test_each_answers_with_its_own_state(two):
    assert [(await http.get("/who")).json()["who"] for http in two] == ["ana", "luis"]


async def test_each_has_its_own_readiness(two):
    assert [(await http.get("/readyz")).status_code for http in two] == [200, 503]


async def test_a_store_that_does_not_answer_is_not_ready_and_no_refusal():
    async with serve(build("eva")) as transport:
        http = httpx.AsyncClient(transport=transport, base_url="http://t")
        answer = await http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "not_ready", "checks": {"store": False}}


async def test_each_counts_its_own_requests(two):
    ana, luis = two
    await ana.get("/who")
    pages = [(await http.get("/metrics")).text for http in (ana, luis)]
    assert ['http_route="/who"' in page for page in pages] == [True, False]


async def test_each_has_its_own_switches_and_its_own_token(two):
    ana, luis = two
    assert (await luis.post("/chaos/crash", json={"enabled": True})).status_code == 200
    assert (await ana.post("/chaos/crash", json={"enabled": True})).status_code == 401
    listed = await ana.get("/chaos", headers={"authorization": "Bearer secret"})
    assert not any(fault["enabled"] for fault in listed.json()["faults"])
    assert [(await http.get("/who")).status_code for http in (ana, luis)] == [200, 503]


async def test_each_has_its_own_documents(two):
    assert [(await http.get("/openapi.json")).json()["info"]["summary"] for http in two] == [
        "ana",
        "luis",
    ]
    pages = [(await http.get("/docs")).text for http in two]
    assert ["/openapi/ana.json" in page for page in pages] == [True, False]


async def test_an_app_outside_the_lab_has_no_switches_after_one_that_has():
    async with (
        serve(build("ana", chaos_enabled=True)),
        serve(build("luis")) as transport,
        httpx.AsyncClient(transport=transport, base_url="http://t") as http,
    ):
        assert (await http.get("/chaos")).status_code == 404
