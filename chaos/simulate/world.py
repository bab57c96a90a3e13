"""One world: five unmodified services and the provider on hosts of their own, the network, the buyers, the nemesis.

Its life: start, chaos (buyers buy, the nemesis acts), calm (everything is healed; by a deadline nothing may be open any
more), audit.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from starlette.types import ASGIApp

import gateway.app
import inventory.app
import notifications.app
import payments.app
import reservations.app
from chaos.simulate import provider
from chaos.simulate.buyers import Crowd
from chaos.simulate.disk import Arrow, Disk
from chaos.simulate.host import Host, Program
from chaos.simulate.loop import SimulationLoop
from chaos.simulate.nemesis import BUYERS, Nemesis
from chaos.simulate.network import Network, Wire
from chaos.simulate.scenario import EVENT, OTHER_EVENT, Scenario
from chaos.simulate.tally import Tally
from chaos.simulate.trace import Trace
from chaos.simulate.witness import Witness
from chassis.runtime import Runtime

DATABASES: Final = ("inventory", "payments", "notifications", "reservations", "provider")
_MODULES: Final = {
    "gateway": gateway.app,
    "reservations": reservations.app,
    "inventory": inventory.app,
    "payments": payments.app,
    "notifications": notifications.app,
}
_WHOSE: Final = """
    SELECT delivery_id, reason, saga_log.attempt FROM saga_log JOIN reservation USING (saga) WHERE seq = ?
"""

_AFTERMATH_S: Final = 2.0
"""How long the nemesis goes on when the last buyer has gone: what is still owed then must survive it too."""

_LOOK_EVERY_S: Final = 0.5


class World:
    """Everything that one seed is played in. Made on its own loop; `close` afterwards.

    Args:
        scenario: What is played.
        loop: The run's.
        trace: Told of everything; None costs nothing.
        muted: Faults, acts and buyers left out, for shrinking.
        folder: Where databases are WAL files; in memory if None.
    """

    def __init__(
        self,
        scenario: Scenario,
        loop: SimulationLoop,
        *,
        trace: Trace | None = None,
        muted: frozenset[str] = frozenset(),
        folder: Path | None = None,
    ) -> None:
        self.scenario = scenario
        self.in_files = folder is not None
        self.tally = Tally()
        self.witness = Witness()
        self._loop = loop
        # What is being committed concerns; asked for before, told before and after.
        self._about: list[Any] = []
        seed = scenario.seed
        self.network = Network(
            loop,
            seed=seed,
            tally=self.tally,
            trace=trace,
            muted=muted,
            once=frozenset({BUYERS}),
        )
        self.disks = {
            name: Disk(name, loop, seed=seed, tally=self.tally, trace=trace, folder=folder)
            for name in DATABASES
        }
        make = partial(
            Host, loop=loop, network=self.network, seed=seed, tally=self.tally, trace=trace
        )
        self.hosts = {
            name: make(name, program, disks=self._disks_of(name))
            for name, program in _programs(scenario, self.network).items()
        }
        self.nemesis = Nemesis(
            scenario,
            hosts=self.hosts,
            disks=self.disks,
            network=self.network,
            loop=loop,
            tally=self.tally,
            trace=trace,
            muted=muted,
        )
        self.crowd = Crowd(scenario, network=self.network, loop=loop, tally=self.tally, muted=muted)

    def start(self, images: Mapping[str, bytes]) -> None:
        """Databases as `images` have them, processes started, faults on."""
        scenario, network = self.scenario, self.network
        for name, image in images.items():
            self.disks[name].load(image)
        if images:
            self.cut_halls(scenario.seats)
        self.disks["reservations"].witness = self._commits
        self.disks["inventory"].witness = lambda _, arrows, done: self.witness.holds(
            arrows, done=done
        )
        network.reached, network.answered = self.witness.reaches, self.witness.hears
        for host in self.hosts.values():
            host.start()

    def cut_halls(self, seats: tuple[int, int]) -> None:
        """Leave so many seats of `EVENT` and of `OTHER_EVENT`, and none of the others."""
        inventory = self.disks["inventory"]
        inventory.rows("DELETE FROM seat WHERE event_id NOT IN (?, ?)", (EVENT, OTHER_EVENT))
        for event, left in zip((EVENT, OTHER_EVENT), seats, strict=True):
            inventory.rows("DELETE FROM seat WHERE event_id = ? AND rank >= ?", (event, left))

    async def ready(self) -> None:
        """Every process listens."""
        while not all(host.ready for host in self.hosts.values()):  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.05)

    async def chaos(self) -> None:
        """Buyers and nemesis, to their end."""
        self.network.faults = self.scenario.link
        self.network.servers_give_up = self.scenario.servers_give_up
        for disk in self.disks.values():
            disk.set_faults(self.scenario.disk)
        buying, acting = (
            asyncio.create_task(self.crowd.buy()),
            asyncio.create_task(self.nemesis.act()),
        )
        await buying
        await asyncio.wait({acting}, timeout=_AFTERMATH_S)
        acting.cancel()

    async def calm(self, still_open: Callable[[], Sequence[str]]) -> list[str]:
        """Heal, and wait until nothing is open; what still is at the deadline.

        Args:
            still_open: What is open now, in words.
        """
        self.nemesis.calm()
        end_s = self._loop.now_s + self.scenario.calm_s
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            found = list(still_open())
            for host in self.hosts.values():
                found += [f"{host.name} {what}" for what in host.unrest()]
            quiet = self._loop.now_s >= self.network.quiet_at_s
            if (not found and quiet) or self._loop.now_s >= end_s:
                return found

    def close(self) -> None:
        """Free the databases."""
        for disk in self.disks.values():
            disk.destroy()

    def _disks_of(self, host: str) -> dict[str, Disk]:
        name = host.partition("-")[0]
        return {name: self.disks[name]} if name in self.disks else {}

    def _commits(self, connection: Any, arrows: Sequence[Arrow], done: bool) -> None:
        if not done:
            self._about = [connection.execute(_WHOSE, (one.seq,)).fetchone() for one in arrows]
        self.witness.commits(arrows, self._about, done=done)


def _programs(scenario: Scenario, network: Network) -> dict[str, Program]:
    second = {"reservations-2": "reservations"} if scenario.orchestrators == 2 else {}
    services = {name: name for name in _MODULES} | second
    found: dict[str, Program] = {
        host: partial(_service, service, scenario, Wire(network, host))
        for host, service in services.items()
    }
    found["provider"] = partial(
        provider.running, declines=scenario.declines, latency_s=scenario.provider_latency_s
    )
    return found


@asynccontextmanager
async def _service(
    name: str, scenario: Scenario, wire: Wire, runtime: Runtime
) -> AsyncIterator[tuple[ASGIApp, Mapping[str, Any]]]:
    """A service as its own process runs it."""
    settings = _settings(name, scenario)
    app: FastAPI
    if name == "payments":
        app = payments.app.create_app(settings, runtime, provider=provider.Remote(wire))
    else:
        app = _MODULES[name].create_app(settings, runtime)
    async with app.router.lifespan_context(app) as state:
        yield app, state or {}


def _settings(name: str, scenario: Scenario) -> Any:
    default = _defaults(name)
    known = type(default).model_fields
    chosen = {key: value for key, value in scenario.settings.items() if key in known}
    if scenario.orchestrators == 2 and "reservations_url" in known:
        chosen["reservations_url"] = "http://reservations,http://reservations-2"
    if "orchestrators" in known:
        chosen["orchestrators"] = scenario.orchestrators
    return default.model_copy(update=chosen)


@cache
def _defaults(name: str) -> Any:
    fields: Any = _MODULES[name].Settings
    known = fields.model_fields
    chosen: dict[str, Any] = {
        f"{other}_url": f"http://{other}" for other in _MODULES if f"{other}_url" in known
    }
    chosen |= {"id_secret": "a secret of the simulation"} if "id_secret" in known else {}
    return fields(data_dir=Path("/nowhere"), chaos_enabled=False, **chosen)
