"""A listening process: its ASGI app, and what it is answering. It dies with its process."""

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message

from chaos.simulate.loop import Process, SimulationLoop

if TYPE_CHECKING:
    from chaos.simulate.network import Exchange, Network


class Server:
    """What uvicorn is to a real process.

    Args:
        app: The app.
        loop: The run's.
        process: Whose it is.
        context: Names that process; requests run in copies of it.

    Attributes:
        listening: From the end of its start-up to its death.
        state: What the app's lifespan yields.
    """

    def __init__(
        self, app: ASGIApp, loop: SimulationLoop, process: Process, context: Context
    ) -> None:
        self.listening = False
        self.state: dict[str, Any] = {}
        self.process = process
        self._app = app
        self._loop = loop
        self._context = context
        self._running: dict[Exchange, asyncio.Task[Any]] = {}

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return bool(self._running)

    def serve(self, exchange: "Exchange", network: "Network") -> None:
        """Answer a request that has arrived."""
        turn = _Turn(self, exchange, network)
        context = self._context.copy()
        self._running[exchange] = self._loop.create_task(turn.run(self._app), context=context)

    def give_up(self, exchange: "Exchange") -> None:
        """Cancel a request whose caller has gone, if it is still being answered."""
        task = self._running.pop(exchange, None)
        if task is not None and self.process.alive:
            task.cancel()

    def done(self, exchange: "Exchange") -> None:
        """A request was answered."""
        self._running.pop(exchange, None)

    def crash(self, network: "Network") -> None:
        """The process has died: whoever waits for an answer hears of it."""
        self.listening = False
        for exchange in self._running:
            network.dies(exchange)
        self._running.clear()


class _Turn:
    """One request in an app."""

    def __init__(self, server: Server, exchange: "Exchange", network: "Network") -> None:
        self._server = server
        self._exchange = exchange
        self._network = network
        self._asked = False
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = b""
        self._answered = False

    async def run(self, app: ASGIApp) -> None:
        """Let the app answer; what it does not catch is a 500, as behind uvicorn."""
        request = self._exchange.request
        url = request.url
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": self._exchange.path,
            "raw_path": url.raw_path.split(b"?")[0],
            "query_string": url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "server": (url.host, 80),
            "client": (self._exchange.source, 1),
            "state": self._server.state.copy(),
        }
        try:
            await app(scope, self._receive, self._send)
        except Exception:
            self._status, self._headers, self._body = 500, [], b"Internal Server Error"
            self._answer()
            raise

    async def _receive(self) -> Message:
        if self._asked:  # nobody hangs up here before the answer
            await self._server_loop().create_future()
        self._asked = True
        return {"type": "http.request", "body": self._exchange.body, "more_body": False}

    def _server_loop(self) -> SimulationLoop:
        return self._server._loop

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], message.get("headers", [])
            return
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            self._answer()

    def _answer(self) -> None:
        if not self._answered:
            self._answered = True
            self._server.done(self._exchange)
            self._network.reply(self._exchange, self._status, self._headers, self._body)
