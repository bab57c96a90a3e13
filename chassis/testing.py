"""Run apps in this process: lifespan included, each request in a task of its own, as behind a real socket.

A caller that gives up stops waiting and nothing else: the app goes on, as it would in its own process. Context
variables do not cross either. No streaming answers.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.types import Message

from chaos.faults import ConnectionDropped


class InProcessTransport(httpx.AsyncBaseTransport):
    """Reaches one started app."""

    def __init__(self, app: FastAPI, state: dict[str, Any]) -> None:
        self._app = app
        self._state = state
        # Requests still being worked on, also those whose caller has gone.
        self._running: set[asyncio.Task[None]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, or break the connection as a fault demands.

        Raises:
            httpx.ReadError: The connection broke before the answer was complete.
        """
        exchange = _Exchange(request, await request.aread(), self._state)
        task = asyncio.get_running_loop().create_task(exchange.run(self._app), context=Context())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await exchange.finished.wait()
        if exchange.status is None:
            raise httpx.ReadError("connection broken without an answer", request=request)
        return httpx.Response(
            exchange.status, headers=exchange.headers, content=bytes(exchange.body), request=request
        )

    async def drain(self) -> None:
        """Let abandoned requests end."""
        while self._running:
            await asyncio.wait(list(self._running))


class _Exchange:
    """One request and the answer as it comes in."""

    def __init__(self, request: httpx.Request, body: bytes, state: dict[str, Any]) -> None:
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": request.url.raw_path.split(b"?")[0],
            "query_string": request.url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "server": (request.url.host, request.url.port),
            "client": ("127.0.0.1", 1),
            "state": dict(state),
        }
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()
        self.finished = asyncio.Event()
        self._request_body: bytes | None = body

    async def run(self, app: FastAPI) -> None:
        """Let the app answer; a crash after the problem renderer leaves a broken connection."""
        try:
            await app(self.scope, self._receive, self._send)
        except ConnectionDropped:
            self.status = None
        finally:
            self.finished.set()

    async def _receive(self) -> Message:
        if self._request_body is None:
            await self.finished.wait()
            return {"type": "http.disconnect"}
        body, self._request_body = self._request_body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message["headers"])
            return
        self.body += message.get("body", b"")
        if not message.get("more_body", False):
            self.finished.set()


@asynccontextmanager
async def serve(app: FastAPI) -> AsyncIterator[InProcessTransport]:
    """Start `app`, yield a transport that reaches it, let abandoned requests end, then shut it down."""
    async with app.router.lifespan_context(app) as state:
        transport = InProcessTransport(app, dict(state or {}))
        try:
            yield transport
        finally:
            await transport.drain()
