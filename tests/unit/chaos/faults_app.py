"""A small application to break, and a clock to move by hand."""

from collections.abc import Callable

from fastapi import FastAPI, Request

from chaos.faults import FaultMiddleware, Faults, control_routes
from resilience import Runtime


class HandClock:
    """A `Runtime` whose sleeping moves the clock and nothing else; `lots` are the random numbers to come."""

    def __init__(self, lots: list[float] | None = None):
        self.now = 1000.0
        self.slept: list[float] = []
        self.lots = lots or []
        self.on_sleep: Callable[[], None] = lambda: None

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.on_sleep()

    def runtime(self) -> Runtime:
        return Runtime(clock=lambda: self.now, sleep=self.sleep, random=lambda: self.lots.pop(0))


def make_app(faults: Faults) -> FastAPI:
    """Answers on every path with what it read, and counts how often it ran in `app.state.runs`."""
    app = FastAPI()
    app.state.runs = []
    app.state.faults = faults
    app.include_router(control_routes())

    @app.get("/healthz")
    async def healthz():
        return {"alive": True}

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def anything(path: str, request: Request):
        app.state.runs.append(path)
        return {"path": path, "body": (await request.body()).decode()}

    app.add_middleware(FaultMiddleware, faults=faults)
    return app
