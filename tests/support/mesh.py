"""The whole mesh in this process, on the running (virtual-time) loop: five real apps, no socket."""

import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from fastapi import FastAPI

import gateway.app
import inventory.app
import notifications.app
import payments.app
import reservations.app
from chassis import runtime
from chassis.testing import InProcessTransport, serve

APPS = {
    "inventory": inventory.app,
    "payments": payments.app,
    "notifications": notifications.app,
    "reservations": reservations.app,
    "gateway": gateway.app,
}


@dataclass
class Mesh:
    """Five started apps and a client for each."""

    clients: dict[str, httpx.AsyncClient]
    apps: dict[str, FastAPI] = field(default_factory=dict)

    def __getitem__(self, name: str) -> httpx.AsyncClient:
        return self.clients[name]

    async def fault(self, service: str, fault: str, **order) -> None:
        answer = await self[service].post(f"/chaos/{fault}", json=order or {"enabled": True})
        assert answer.status_code == 200, answer.text

    async def calm(self) -> None:
        """All faults off."""
        for client in self.clients.values():
            await client.delete("/chaos")

    async def reserve(self, **body) -> httpx.Response:
        headers = body.pop("headers", {})
        wanted = {"user_id": "ana", "event_id": "concert-01", "quantity": 1, **body}
        return await self["gateway"].post("/api/reserve", json=wanted, headers=headers)

    async def event(self, event_id: str = "concert-01") -> dict:
        events = (await self["inventory"].get("/events")).json()["events"]
        return next(event for event in events if event["event_id"] == event_id)


@asynccontextmanager
async def mesh(
    data: Path, *, seed: int = 1, exit_process: Callable[[int], object] | None = None, **settings
) -> AsyncIterator[Mesh]:
    """Start everything; `settings` are fields of whichever services have them, `exit_process` is what a crash calls."""
    started: dict[str, InProcessTransport] = {}
    effects = runtime.simulated(seed, {name: Wire(name, started) for name in APPS})
    if exit_process is not None:
        effects = dataclasses.replace(effects, exit_process=exit_process)
    async with AsyncExitStack() as stack:
        clients, apps = {}, {}
        for name, module in APPS.items():
            fields = module.Settings.model_fields
            chosen = {
                "data_dir": data,
                "chaos_enabled": True,
                **{key: value for key, value in settings.items() if key in fields},
            }
            app = apps[name] = module.create_app(module.Settings(**chosen), effects)
            started[name] = await stack.enter_async_context(serve(app))
            clients[name] = await stack.enter_async_context(
                httpx.AsyncClient(
                    transport=Wire(name, started), base_url=f"http://{name}", timeout=None
                )
            )
        yield Mesh(clients, apps)


class Wire(httpx.AsyncBaseTransport):
    """The way to one service, which may not have started yet; closing it closes nothing."""

    def __init__(self, name: str, started: dict[str, InProcessTransport]) -> None:
        self._name = name
        self._started = started

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._name not in self._started:
            raise httpx.ConnectError("not started", request=request)
        return await self._started[self._name].handle_async_request(request)
