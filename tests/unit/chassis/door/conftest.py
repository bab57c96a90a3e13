"""Real sockets and uvicorn itself, so real time: every test runs on asyncio's loop and on uvloop's."""

import asyncio
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from types import SimpleNamespace

import httpx
import pytest
import uvicorn
import uvloop
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from chassis import runtime
from chassis.app import Admission, Chassis, build_app
from chassis.connections import Guarded
from chassis.settings import ServiceSettings
from resilience import Limit
from tests.support import until


def pytest_asyncio_loop_factories(config, item):
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


class Work:
    """A service whose POSTs end when the test says so."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.inside = 0
        self.busiest = 0
        self.bodies: list[bytes] = []

    def router(self) -> APIRouter:
        router = APIRouter()

        @router.post("/task")
        async def work(request: Request) -> JSONResponse:
            self.inside += 1
            self.busiest = max(self.busiest, self.inside)
            self.bodies.append(await request.body())
            await self.may_end.wait()
            self.inside -= 1
            return JSONResponse({})

        @router.get("/look")
        async def look() -> JSONResponse:
            return JSONResponse({})

        return router


class NobodyThere(Guarded):
    """The protocol without its door."""

    def on_headers_complete(self) -> None:
        if self.check_head():
            super().on_headers_complete()
            self.headers = []


@pytest.fixture
def open_service():
    """`async with open_service(admission) as far`: a service behind uvicorn, with `far.work` and `far.http`."""

    @asynccontextmanager
    async def opener(admission=None, *, at_the_door=True):
        work = Work()
        chassis = Chassis("test", ServiceSettings(max_inflight=2), runtime.real())

        @asynccontextmanager
        async def service():
            yield None

        app = build_app(
            chassis,
            summary="Test",
            service=service,
            routers=[work.router()],
            admission=admission or Admission(Limit(fixed=2)),
        )
        config = uvicorn.Config(
            app,
            port=0,
            http=app.state.door.protocol()
            if at_the_door
            else partial(NobodyThere, app.state.door.connections),
            log_level="critical",
            lifespan="on",
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        server = uvicorn.Server(config)
        server.capture_signals = nullcontext  # the test's own process keeps its signals
        task = asyncio.create_task(server.serve())
        await until(lambda: server.started, 10)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10
        ) as http:
            try:
                yield SimpleNamespace(work=work, http=http, port=port, chassis=chassis)
            finally:
                work.may_end.set()
                await http.aclose()
                server.should_exit = True
                await task

    return opener
