"""The mesh in one process whose services can die as with kill -9 and come back, and a buyer who keeps a journal.

A dead service's connections to its database are closed, what was not committed is gone; nothing reaches it and it
reaches nobody. Its tasks may run on: without disk and network nobody can tell.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiosqlite
import httpx

from chaos.audit import Report, audit
from chaos.journal import Journal, entry_of, read
from chassis import runtime
from chassis.testing import InProcessTransport, serve
from tests.support import until
from tests.support.mesh import APPS, Mesh

EPOCH = 1_767_225_600.0
"""Where virtual time begins: 2026-01-01."""


class Machine:
    """One process of one service."""

    def __init__(self, world: "World", name: str) -> None:
        self.alive = True
        self._connections: list[aiosqlite.Connection] = []
        world.starts += 1
        ways = {other: Way(world, other, sender=self) for other in APPS}
        effects = runtime.simulated(world.seed + world.starts, ways)
        self._open = effects.connect_db
        self.effects = replace(effects, connect_db=self._connect, exit_process=self.die)

    def die(self, _code: int = 137) -> None:
        """What `kill -9` leaves: committed rows, and nothing else."""
        self.alive = False
        for connection in self._connections:
            raw = connection._connection
            connection._connection = None
            if raw is not None:
                raw.close()

    async def _connect(self, path: Path) -> aiosqlite.Connection:
        if not self.alive:
            raise OSError("no disk: the process is dead")
        connection = await self._open(path)
        self._connections.append(connection)
        return connection


class Way(httpx.AsyncBaseTransport):
    """The way to a service from a process, or from outside."""

    def __init__(self, world: "World", name: str, sender: Machine | None = None) -> None:
        self._world, self._name, self._sender = world, name, sender

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        machine = self._world.machines.get(self._name)
        self._check_sender(request)
        if machine is None or not machine.alive:
            raise httpx.ConnectError("connection refused", request=request)
        answering = asyncio.ensure_future(
            self._world.started[self._name].handle_async_request(request)
        )
        while not answering.done() and machine.alive:
            await asyncio.wait({answering}, timeout=0.01)
        self._check_sender(request)
        if not machine.alive:
            answering.cancel()
            raise httpx.ReadError("connection reset: the process died", request=request)
        return answering.result()

    def _check_sender(self, request: httpx.Request) -> None:
        if self._sender is not None and not self._sender.alive:
            raise httpx.ConnectError("no network: the process is dead", request=request)


class World(Mesh):
    """Five services that can die, and buyers with a journal."""

    def __init__(self, data: Path, stack: AsyncExitStack, journal: Journal, settings: dict) -> None:
        super().__init__({})
        self.data, self.seed, self.starts = data, 100 * settings.pop("seed", 1), 0
        self.machines: dict[str, Machine] = {}
        self.started: dict[str, InProcessTransport] = {}
        self._stack, self._journal, self._settings = stack, journal, settings
        self._transports: list[InProcessTransport] = []

    async def start(self, name: str, **changes: Any) -> None:
        """Start a service, again if need be, on the same files."""
        machine = Machine(self, name)
        module = APPS[name]
        known = module.Settings.model_fields
        chosen = {key: value for key, value in self._settings.items() if key in known} | changes
        settings = module.Settings(data_dir=self.data, chaos_enabled=True, **chosen)
        app = module.create_app(settings, machine.effects)
        transport = await self._stack.enter_async_context(serve(app))
        self.started[name] = transport
        self._transports.append(transport)
        self.machines[name] = machine
        if name not in self.clients:
            client = httpx.AsyncClient(
                transport=Way(self, name), base_url=f"http://{name}", timeout=None
            )
            self.clients[name] = await self._stack.enter_async_context(client)

    def kill(self, name: str) -> None:
        """kill -9."""
        self.machines[name].die()

    async def end(self) -> None:
        """Requests that wait for ever end: what a broken rule leaves must not keep the test from ending."""
        for transport in self._transports:
            for task in list(transport._running):
                task.cancel()
        await asyncio.sleep(0.1)

    async def until_dead(self, name: str, limit_s: float = 30.0) -> None:
        await until(lambda: not self.machines[name].alive, limit_s)

    async def buy(
        self, key: str = "k" * 20, user_id: str = "ana", *, client: str = "", **body: Any
    ) -> httpx.Response:
        """Reserve by the front door, and take down what came of it."""
        wanted = {"user_id": user_id, "event_id": "concert-01", "quantity": 1, **body}
        asked = {name: wanted[name] for name in ("user_id", "event_id", "quantity")}
        asked |= {"key": key, "client": client}
        return await self._send("reserve", "/api/reserve", wanted, asked, {"idempotency-key": key})

    async def give_back(self, bought: httpx.Response) -> httpx.Response:
        """Cancel what was bought."""
        body = bought.json()
        token = {"x-manage-token": body["manage_token"]}
        asked = {"reservation_id": body["reservation_id"]}
        path = f"/api/reservations/{body['reservation_id']}/cancel"
        return await self._send("cancel", path, {}, asked, token)

    async def count(self, event_id: str = "concert-01") -> None:
        """Take down how many seats there are."""
        began_s = self._journal.now_s()
        event = await self.event(event_id)
        asked = {"event_id": event_id, "capacity": event["capacity"], "free": event["available"]}
        at_s = (began_s, self._journal.now_s())
        self._journal.note(entry_of("count", asked, {}, status=200, code="", at_s=at_s))

    async def post(self, service: str, path: str, body: dict) -> httpx.Response:
        """A call between services, made by hand."""
        return await self[service].post(path, json=body)

    async def _send(self, op, path, body, asked, headers) -> httpx.Response:
        began_s = self._journal.now_s()
        try:
            answer = await self["gateway"].post(path, json=body, headers=headers)
        except httpx.TransportError as error:
            answer = httpx.Response(0, json={"code": type(error).__name__})
        told = answer.json()
        told |= {"replayed": answer.headers.get("idempotent-replayed") == "true"}
        code = str(told.get("code") or told.get("status"))
        at_s = (began_s, self._journal.now_s())
        self._journal.note(
            entry_of(op, asked, told, status=answer.status_code, code=code, at_s=at_s)
        )
        return answer

    async def verdict(self, rest_s: float = 60.0) -> Report:
        """Let everything come to rest, then audit."""
        await asyncio.sleep(rest_s)
        now = EPOCH + asyncio.get_running_loop().time()
        path = self._journal.path
        return audit(self.data, now=now, journals=[path] if read(path).entries else [])


@asynccontextmanager
async def world(data: Path, **settings: Any) -> AsyncIterator[World]:
    """All five, started; whatever still runs at the end dies."""
    loop = asyncio.get_running_loop()
    path = data / "journal" / "buyers.jsonl"
    with Journal.open(path, clock=loop.time, began_at=EPOCH + loop.time()) as journal:
        async with AsyncExitStack() as stack:
            running = World(data, stack, journal, {"gateway_max_inflight": 50, **settings})
            for name in APPS:
                await running.start(name)
            try:
                yield running
            finally:
                await running.end()
