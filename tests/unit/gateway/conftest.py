"""The real gateway in process, on virtual time, in front of scripted services."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from chassis.runtime import simulated
from chassis.testing import InProcessTransport, serve
from gateway.app import create_app
from gateway.settings import Settings
from resilience.testing import Script

SERVICES = ("reservations", "inventory", "payments", "notifications")


class Door(httpx.AsyncBaseTransport):
    """The way in from outside, for the gateway's calls to itself; open once the app has started."""

    inner: httpx.AsyncBaseTransport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.inner.handle_async_request(request)


@dataclass
class Bench:
    """One running gateway, a client of it, and what stands behind it."""

    door: InProcessTransport
    http: httpx.AsyncClient
    callees: dict[str, Any]

    @property
    def reservations(self) -> Script:
        return self.callees["reservations"]

    async def asgi(
        self, method: str, path: str, receive: Any, send: Any, headers: dict[str, str] | None = None
    ) -> None:
        """One request message by message, for what a client library hides."""
        given = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"content-type", b"application/json"), *given],
            "server": ("gateway", 80),
            "state": dict(self.door._state),
        }
        await self.door._app(scope, receive, send)

    async def reserve(self, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        order = {"user_id": "ana", "event_id": "concert-01", **body}
        return await self.http.post("/api/reserve", json=order, headers=headers)


@asynccontextmanager
async def bench(
    *steps: object, lab: bool = False, settings: dict[str, Any] | None = None, **others: Any
) -> AsyncIterator[Bench]:
    """`steps` is the script of reservations; other services by name, refusing connections by default."""
    callees: dict[str, Any] = {name: Script(httpx.ConnectError("refused")) for name in SERVICES}
    if steps:
        callees["reservations"] = Script(*steps)
    callees |= others
    made = Settings(
        **{
            "chaos_enabled": lab,
            "gateway_limit": "fixed",
            "id_secret": "a-secret-for-the-tests",
            **(settings or {}),
        }
    )
    front = Door()
    app = create_app(made, simulated(7, {"gateway": front, **callees}))
    async with serve(app) as door:
        front.inner = door
        async with httpx.AsyncClient(transport=door, base_url="http://gateway") as http:
            yield Bench(door, http, callees)


def says(status: int, body: Any, **headers: str) -> httpx.Response:
    """A service's JSON answer; underscores in header names are dashes."""
    return httpx.Response(
        status,
        json=body,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def confirmed(**changes: Any) -> httpx.Response:
    """What reservations says when it sold a seat."""
    body = {
        "status": "confirmed",
        "message": "Reserva confirmada.",
        "reservation_id": "r1",
        "event_id": "concert-01",
        "seats": ["A-07"],
        "quantity": 1,
        "total": {"amount_minor": 5000, "currency": "USD"},
        "notification": {"sent": True, "detail": None},
        "manage_token": "token-1",
        "replayed": False,
        **changes,
    }
    return says(202 if body["status"] == "pending" else 200, body)


def refusal(status: int, code: str, **extensions: Any) -> httpx.Response:
    """A decided refusal as a service sends it."""
    retry_after = extensions.pop("retry_after", None)
    headers = {"x_outcome": "final"} | ({"retry_after": str(retry_after)} if retry_after else {})
    return says(status, {"type": "x", "code": code, "status": status, **extensions}, **headers)


@pytest.fixture
def key() -> str:
    return "0123456789abcdef"
