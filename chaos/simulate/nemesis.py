"""The nemesis: now and then it does something bad to one host, one link or one disk, and undoes it after a while.

Each act has a number and a stream of its own, so that leaving one out (`muted`) changes no other.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Final

from chaos.simulate.disk import Disk, DiskFaults
from chaos.simulate.host import Host
from chaos.simulate.loop import SimulationLoop
from chaos.simulate.network import LinkFaults, Network
from chaos.simulate.scenario import Scenario
from chaos.simulate.tally import Tally
from chaos.simulate.trace import Trace

BUYERS: Final = "buyers"
"""The host that buyers call from."""


class Nemesis:
    """Acts while chaos lasts.

    Args:
        scenario: What it may do.
        hosts: Its victims.
        disks: Likewise.
        network: Likewise.
        loop: The run's.
        tally: Counts what it did.
        trace: Told of every act.
        muted: Acts (`act 7`) and kinds left out, for shrinking.

    Attributes:
        acts: Names of the acts done.
    """

    def __init__(  # noqa: PLR0913 - keyword-only
        self,
        scenario: Scenario,
        *,
        hosts: Mapping[str, Host],
        disks: Mapping[str, Disk],
        network: Network,
        loop: SimulationLoop,
        tally: Tally,
        trace: Trace | None,
        muted: frozenset[str],
    ) -> None:
        self.acts: list[str] = []
        self._scenario = scenario
        self._hosts = hosts
        self._disks = disks
        self._network = network
        self._loop = loop
        self._tally = tally
        self._trace = trace
        self._muted = muted
        self._over = False

    async def act(self) -> None:
        """Until `chaos_s` have passed."""
        scenario = self._scenario
        if not scenario.nemeses:
            return
        lots = random.Random(f"nemesis:{scenario.seed}")
        number = 0
        while True:
            await asyncio.sleep(lots.expovariate(1 / scenario.gap_s))
            if self._loop.now_s >= scenario.chaos_s:
                return
            number += 1
            kind, host = lots.choice(scenario.nemeses), lots.choice(list(self._hosts))
            if f"act {number}" in self._muted or kind in self._muted:
                continue
            chance = random.Random(f"act:{scenario.seed}:{number}")
            what = self._do(kind, self._hosts[host], chance)
            if what is not None:
                self.acts.append(f"act {number}")
                self._tally.faults[kind] += 1
                if self._trace is not None:
                    self._trace.note(
                        self._loop.now_s, "fault", host, f"{kind}: {what}", number=number
                    )

    def _do(self, kind: str, host: Host, chance: random.Random) -> str | None:
        """Do it; what it was in words, or None when it cannot be done now."""
        if kind in ("partition", "gray link"):
            return self._link(kind, host, chance)
        if kind in ("bad disk", "full disk", "crash at a commit"):
            return self._disk(kind, host, chance)
        if not host.process.alive:
            return None
        if kind == "crash":
            again_in_s = chance.choice((0.05, 0.5, 4.0)) * (0.5 + chance.random())
            host.die("by the nemesis", again_in_s=again_in_s)
            return f"again in {again_in_s:.1f} s"
        if kind == "crash at a step":
            host.process.dies_in = chance.randint(1, 120)
            return f"in {host.process.dies_in} steps"
        if kind == "crash at a call":
            call = (chance.randint(1, 6), chance.choice(("before", "after")))
            self._network.kill_at_call[host.name] = call
            return f"{call[1]} its call {call[0]} from now"
        if kind == "pause":
            seconds = chance.choice((0.5, 4.0, 12.0)) * (0.2 + chance.random())
            host.stop(seconds)
            return f"{seconds:.1f} s"
        jump_s = chance.choice((-1, 1)) * chance.choice((0.5, 4.0, 60.0)) * chance.random()
        host.process.clock_offset_s += jump_s
        return f"{jump_s:+.1f} s"

    def _link(self, kind: str, host: Host, chance: random.Random) -> str:
        others = [name for name in (*self._hosts, BUYERS) if name != host.name]
        other = chance.choice(others)
        seconds = 0.5 + chance.random() * 8.0
        if kind == "partition":
            links = [(host.name, other), (other, host.name)]
            cut = chance.choice((links, links[:1], links[1:]))
            self._network.cut.update(cut)
            self._network.later(seconds, self._network.cut.difference_update, cut)
            return f"{' and '.join('→'.join(link) for link in cut)} for {seconds:.1f} s"
        link = chance.choice(((host.name, other), (other, host.name)))
        self._network.sick[link] = LinkFaults(
            slow=chance.random(),
            drop=chance.random() * 0.4,
            lost_reply=chance.random() * 0.4,
            duplicate=chance.random() * 0.5,
        )
        self._network.later(seconds, self._network.sick.pop, link, None)
        return f"{'→'.join(link)} for {seconds:.1f} s"

    def _disk(self, kind: str, host: Host, chance: random.Random) -> str | None:
        if not host.disks:
            return None
        disk = chance.choice(host.disks)
        if kind == "crash at a commit":
            number, moment = chance.randint(1, 6), chance.choice(("before", "after"))
            disk.kill_at_commit(number, moment)  # type: ignore[arg-type]  # one of two
            return f"{moment} commit {number} of {disk.name} from now"
        seconds = 0.5 + chance.random() * 4.0
        if kind == "full disk":
            disk.fill()
        else:
            disk.faults = DiskFaults(
                latency_s=disk.faults.latency_s,
                slow=chance.random() * 0.3,
                fail_before=chance.random() * 0.3,
                fail_after=chance.random() * 0.3,
            )
        self._network.later(seconds, self._recover, disk)
        return f"{disk.name} for {seconds:.1f} s"

    def calm(self) -> None:
        """Everything bad ends: links and disks are whole, clocks right, the stopped go on, the dead are started."""
        self._over = True
        network = self._network
        network.faults = LinkFaults(latency_s=network.faults.latency_s)
        network.sick.clear()
        network.cut.clear()
        network.kill_at_call.clear()
        for disk in self._disks.values():
            disk.heal()
        for host in self._hosts.values():
            host.calm()

    def _recover(self, disk: Disk) -> None:
        if not self._over:
            disk.heal()
            disk.set_faults(self._scenario.disk)
