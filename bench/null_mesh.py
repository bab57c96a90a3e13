#!/usr/bin/env python3
# ruff: noqa: PLC0415 - a service imports what its wire needs, and nothing else
"""The empty mesh: what five FastAPI services cost that call each other as a reservation does, and do nothing.

gateway → reservations → inventory hold → payments pay → inventory confirm → notifications send: six requests served and
five calls made for one `POST /api/reserve`. Plain FastAPI with models in and out, uvicorn on uvloop and httptools;
neither storage nor policies, metrics or logs. What differs is the wire under the calls:

- `httpx`: one `httpx.AsyncClient()` per service, as it comes;
- `httpx-aiohttp`: the same client over `httpx_aiohttp.AiohttpTransport`;
- `adapter`: an `httpx.Request` handed straight to aiohttp's own session, its failures named as httpx names them;
- `own`: an `httpx.Request` handed straight to our own wire, as `chassis.clients` does it.

    python3 -m bench.null_mesh --urls '{"reservations": "http://…", …}' --wire httpx --serve gateway --port 20000

Not here: starting five of them (`meshes.py`).
"""

import argparse
import importlib.metadata
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from bench.peers import in_peers_venv

WIRES: Final = ("httpx", "httpx-aiohttp", "adapter", "own")
NEEDED: Final = (
    *("fastapi", "uvicorn", "uvloop", "httptools", "httpx", "httpx-aiohttp", "aiohttp"),
    *("flask", "waitress", "requests"),
)
"""Distributions that the meshes of this folder may need; `--peers` says which of them there are."""

Call = Callable[[str, str, bytes], Awaitable[tuple[int, bytes]]]
"""Service, path and JSON body to status and body."""


# --------------------------------------------------------------------------- the wires
def client_wire(urls: Mapping[str, str], *, aiohttp: bool) -> tuple[Call, Callable[[], Any]]:
    """Calls through `httpx.AsyncClient`, and what closes it."""
    import httpx

    transport = None
    if aiohttp:
        from httpx_aiohttp import AiohttpTransport

        transport = AiohttpTransport()
    client = httpx.AsyncClient(transport=transport)
    headers = {"content-type": "application/json"}

    async def call(service: str, path: str, body: bytes) -> tuple[int, bytes]:
        answer = await client.post(urls[service] + path, content=body, headers=headers)
        return answer.status_code, answer.content

    return call, client.aclose


def _request(address: Any, path: str, body: bytes) -> Any:
    """A POST with as few headers as will do, its body read."""
    import httpx

    headers = {
        "host": address.netloc.decode(),
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    request = httpx.Request(
        "POST",
        address.copy_with(raw_path=path.encode()),
        headers=headers,
        stream=httpx.ByteStream(body),
        extensions={"timeout": {"connect": 5.0, "read": 5.0, "write": 5.0, "pool": 5.0}},
    )
    request.read()
    return request


def adapter_wire(urls: Mapping[str, str]) -> tuple[Call, Callable[[], Any]]:
    """Calls through aiohttp's session behind httpx's types: the leanest transport that could be had from it."""
    import aiohttp
    import httpx

    session = aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=5.0)
    )
    addresses = {service: httpx.URL(url) for service, url in urls.items()}

    async def call(service: str, path: str, body: bytes) -> tuple[int, bytes]:
        request = _request(addresses[service], path, body)
        try:
            async with session.post(
                str(request.url), data=request.content, headers=request.headers
            ) as answer:
                content = await answer.read()
        except aiohttp.ClientConnectorError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        except TimeoutError as error:
            raise httpx.ReadTimeout(str(error), request=request) from error
        except aiohttp.ServerDisconnectedError as error:
            raise httpx.RemoteProtocolError(str(error), request=request) from error
        except aiohttp.ClientError as error:
            raise httpx.ReadError(str(error), request=request) from error
        response = httpx.Response(
            answer.status, headers=answer.raw_headers, content=content, request=request
        )
        return response.status_code, response.content

    return call, session.close


def own_wire(urls: Mapping[str, str]) -> tuple[Call, Callable[[], Any]]:
    """Calls straight through `chassis.wire`, one pool per callee, without any policy."""
    import httpx

    from chassis import runtime

    effects = runtime.real(wire="own")
    transports = {service: effects.http(service) for service in urls}
    addresses = {service: httpx.URL(url) for service, url in urls.items()}

    async def call(service: str, path: str, body: bytes) -> tuple[int, bytes]:
        request = _request(addresses[service], path, body)
        answer = await transports[service].handle_async_request(request)
        return answer.status_code, answer.content  # it is read

    async def close() -> None:
        for transport in transports.values():
            await transport.aclose()

    return call, close


def wire_of(name: str, urls: Mapping[str, str]) -> tuple[Call, Callable[[], Any]]:
    """One of `WIRES`: how to call, and how to close it."""
    if name == "own":
        return own_wire(urls)
    if name == "adapter":
        return adapter_wire(urls)
    return client_wire(urls, aiohttp=name == "httpx-aiohttp")


# --------------------------------------------------------------------------- the services
def app_of(service: str, urls: Mapping[str, str], wire: str) -> Any:
    """The FastAPI app of one service."""
    from fastapi import FastAPI

    # Made by the lifespan: pools belong to the loop they are used in.
    calls: list[Call] = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        call, close = wire_of(wire, urls)
        calls.append(call)
        yield
        await close()

    async def through(callee: str, path: str, body: bytes) -> tuple[int, bytes]:
        return await calls[0](callee, path, body)

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    ROUTES[service](app, through)
    return app


def _gateway(app: Any, call: Call) -> None:
    from fastapi import Request, Response

    @app.post("/api/reserve")
    async def reserve(request: Request) -> Response:
        status, body = await call("reservations", "/reserve", await request.body())
        return Response(body, status, media_type="application/json")


def _reservations(app: Any, call: Call) -> None:
    from pydantic import BaseModel

    class Order(BaseModel):
        user_id: str
        event_id: str
        quantity: int

    class Sold(BaseModel):
        status: str
        reservation_id: str
        hold_id: str
        payment_id: str

    async def step(callee: str, path: str, **asked: object) -> Any:
        status, body = await call(callee, path, json.dumps(asked).encode())
        if status != 200:
            raise RuntimeError(f"{callee}{path}: {status}")
        return json.loads(body)

    @app.post("/reserve")
    async def reserve(order: Order) -> Sold:
        hold = await step("inventory", "/reserve", event_id=order.event_id, quantity=order.quantity)
        paid = await step("payments", "/pay", hold_id=hold["hold_id"], amount_minor=3500)
        await step("inventory", "/confirm", hold_id=hold["hold_id"])
        await step("notifications", "/send", to=order.user_id, template="confirmed")
        return Sold(
            status="confirmed",
            reservation_id="r-1",
            hold_id=hold["hold_id"],
            payment_id=paid["payment_id"],
        )


def _inventory(app: Any, _call: Call) -> None:
    from pydantic import BaseModel

    class Seats(BaseModel):
        event_id: str
        quantity: int

    class Confirm(BaseModel):
        hold_id: str

    class Hold(BaseModel):
        hold_id: str
        status: str

    @app.post("/reserve")
    async def reserve(_seats: Seats) -> Hold:
        return Hold(hold_id="h-1", status="held")

    @app.post("/confirm")
    async def confirm(asked: Confirm) -> Hold:
        return Hold(hold_id=asked.hold_id, status="sold")


def _payments(app: Any, _call: Call) -> None:
    from pydantic import BaseModel

    class Pay(BaseModel):
        hold_id: str
        amount_minor: int

    class Payment(BaseModel):
        payment_id: str
        status: str

    @app.post("/pay")
    async def pay(_pay: Pay) -> Payment:
        return Payment(payment_id="p-1", status="authorized")


def _notifications(app: Any, _call: Call) -> None:
    from pydantic import BaseModel

    class Notice(BaseModel):
        to: str
        template: str

    class Sent(BaseModel):
        status: str

    @app.post("/send")
    async def send(_notice: Notice) -> Sent:
        return Sent(status="sent")


ROUTES: Final[Mapping[str, Callable[[Any, Call], None]]] = {
    "gateway": _gateway,
    "reservations": _reservations,
    "inventory": _inventory,
    "payments": _payments,
    "notifications": _notifications,
}


# --------------------------------------------------------------------------- the process
def service_options(what: str | None) -> argparse.ArgumentParser:
    """Arguments of a service process of this folder."""
    made = argparse.ArgumentParser(description=(what or "").split("\n")[0])
    made.add_argument("--serve", choices=tuple(ROUTES), help="which service to be")
    made.add_argument("--port", type=int, default=0, help="where to listen on loopback")
    made.add_argument("--urls", type=json.loads, default={}, help="JSON: address by service")
    return made


def tell_peers() -> None:
    """What the venv of the peers has, as JSON: version by distribution, "" where it is missing."""

    def version(name: str) -> str:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return ""

    found = {name: version(name) for name in NEEDED}
    print(json.dumps({"python": sys.executable, "modules": found}))


def main() -> None:
    """Be one service."""
    options = service_options(__doc__)
    options.add_argument("--wire", choices=WIRES, default="httpx", help="under the calls")
    options.add_argument("--peers", action="store_true", help="make the peers' venv and list it")
    chosen = options.parse_args()
    if chosen.peers:
        in_peers_venv("bench.null_mesh")
        tell_peers()
        return
    if chosen.serve is None:
        options.error("--serve is missing; `python3 -m bench.mesh` starts all five")
    import uvicorn

    uvicorn.run(
        app_of(chosen.serve, chosen.urls, chosen.wire),
        host="127.0.0.1",
        port=chosen.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=30,
        backlog=4096,
    )


if __name__ == "__main__":
    main()
