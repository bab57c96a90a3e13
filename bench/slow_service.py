"""What is flooded: a service that waits 10 ms, as for a store, and then takes 2 ms of its core.

    python3 -m bench.slow_service stub --port 20000
    python3 -m bench.slow_service service --port 20000 --cpu-ms 2

`stub` stands in for reservations: bare ASGI, no limit of its own, its answer is one that the gateway understands.
`service` is the same work as a route of a service of ours: everything that the chassis gives it, and its limit.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import uvicorn
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from chassis.app import Chassis, build_app
from chassis.runtime import Runtime
from chassis.serve import serve
from chassis.settings import ServiceSettings

ANSWER: Final = {
    "status": "confirmed",
    "message": "Reserva confirmada.",
    "reservation_id": "r-0123456789abcdef",
    "event_id": "festival-01",
    "seats": ["A-07"],
    "quantity": 1,
    "notification": {"sent": True},
    "replayed": False,
}


class Order(BaseModel):
    """What a buyer wants."""

    user_id: str
    event_id: str
    quantity: int = Field(ge=1, le=10)


async def work(sleep_s: float, cpu_s: float) -> None:
    """Wait, then burn; CPU time, so that a busy machine makes it longer, not cheaper."""
    if sleep_s:
        await asyncio.sleep(sleep_s)
    end_s = time.thread_time() + cpu_s
    while time.thread_time() < end_s:
        pass


def stub(sleep_s: float, cpu_s: float) -> Any:
    """Bare ASGI: every POST is a reservation, every GET is fine."""
    body = json.dumps(ANSWER).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] == "POST":
            while (await receive()).get("more_body"):
                pass
            await work(sleep_s, cpu_s)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def service(port: int, sleep_s: float, cpu_s: float) -> None:
    """A service of ours whose only route works."""
    router = APIRouter()

    @router.post("/api/reserve", response_model=None)
    async def reserve(order: Order) -> JSONResponse:
        await work(sleep_s, cpu_s)
        return JSONResponse({**ANSWER, "quantity": order.quantity})

    @asynccontextmanager
    async def nothing() -> AsyncIterator[None]:
        yield

    def create_app(settings: ServiceSettings, effects: Runtime) -> Any:
        chassis = Chassis("bench", settings, effects)
        return build_app(chassis, summary="Bench", service=nothing, routers=[router])

    os.environ["PORT"] = str(port)
    serve("bench", ServiceSettings, create_app)


def main() -> None:
    """Run one of both until SIGTERM."""
    options = argparse.ArgumentParser(description="A slow backend.")
    options.add_argument("kind", choices=["stub", "service"])
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--sleep-ms", type=float, default=10.0)
    options.add_argument("--cpu-ms", type=float, default=2.0)
    chosen = options.parse_args()
    sleep_s, cpu_s = chosen.sleep_ms / 1e3, chosen.cpu_ms / 1e3
    if chosen.kind == "service":
        service(chosen.port, sleep_s, cpu_s)
        return
    uvicorn.run(
        stub(sleep_s, cpu_s),
        port=chosen.port,
        access_log=False,
        log_level="critical",
        lifespan="off",
        backlog=4096,
        timeout_keep_alive=60,
    )


if __name__ == "__main__":
    main()
