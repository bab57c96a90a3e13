"""The network: every fault of an exchange, as the caller sees it and as the callee does."""

import asyncio
import contextvars

import httpx
import pytest

from chaos.simulate.loop import PROCESS, Process, SimulationLoop
from chaos.simulate.network import LinkFaults, Network, Wire
from chaos.simulate.server import Server
from chaos.simulate.tally import Tally


class Callee:
    """An app that counts, on a host of its own; one that calls it."""

    def __init__(self, **faults):
        self.loop, self.tally = SimulationLoop(), Tally()
        self.network = Network(self.loop, seed=1, tally=self.tally)
        self.network.faults = LinkFaults(**faults)
        self.executed, self.cancelled = [], 0
        self.process = Process("callee", 1)
        self.loop.processes.append(self.process)
        context = contextvars.Context()
        context.run(PROCESS.set, self.process)
        self.server = Server(self.app, self.loop, self.process, context)
        self.server.listening = True
        self.network.servers["callee"] = self.server
        self.headers = []
        self.takes_s = 0.0

    async def app(self, scope, receive, send):
        try:
            await asyncio.sleep(self.takes_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.executed.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        await send({"type": "http.response.body", "body": b"{}"})

    def call(self, patience_s=30.0, rest_s=30.0):
        """Status, or the name of the failure; the world goes on for a while after it."""
        wire = Wire(self.network, "caller")

        async def main():
            request = httpx.Request("POST", "http://callee/do", content=b"once")
            try:
                async with asyncio.timeout(patience_s):
                    found = (await wire.handle_async_request(request)).status_code
            except (httpx.TransportError, TimeoutError) as error:
                found = type(error).__name__
            await asyncio.sleep(rest_s)
            return found

        return self.loop.run_until_complete(main())


@pytest.fixture
def callee(request):
    made = []

    def make(**faults):
        made.append(Callee(**faults))
        return made[-1]

    yield make
    for one in made:
        one.loop.bury()


@pytest.mark.parametrize(
    ("fault", "seen", "executed"),
    [
        ("drop", "TimeoutError", 0),
        ("reset", "ReadError", 0),
        ("lost_reply", "TimeoutError", 1),
        ("reset_reply", "RemoteProtocolError", 1),
        ("duplicate", 200, 2),
        ("slow", 200, 1),
    ],
)
def test_a_fault_is_what_it_says(callee, fault, seen, executed):
    world = callee(**{fault: 1.0})
    assert world.call() == seen
    assert len(world.executed) == executed
    assert world.tally.faults[fault] >= 1


def test_nothing_wrong(callee):
    world = callee()
    assert world.call() == 200
    assert world.executed == [b"once"]
    assert world.tally.faults == {}
    assert world.tally.calls == {"caller → callee /do": 1}


def test_nobody_listens(callee):
    world = callee()
    world.server.listening = False
    assert world.call() == "ConnectError"


def test_a_partition_works_one_way(callee):
    world = callee()
    world.network.cut.add(("caller", "callee"))
    assert (world.call(), len(world.executed)) == ("TimeoutError", 0)
    world.network.cut = {("callee", "caller")}
    assert (world.call(), len(world.executed)) == ("TimeoutError", 1)
    world.network.cut.clear()
    assert world.call() == 200


def test_a_callee_that_dies_is_heard_of(callee):
    world = callee()
    world.takes_s = 5.0
    world.network.later(
        1.0, lambda: (setattr(world.process, "alive", False), world.server.crash(world.network))
    )
    assert world.call() == "ReadError"
    assert world.executed == []


def test_a_copy_comes_after_the_answer_and_not_to_a_closed_door(callee):
    world = callee(duplicate=1.0)
    world.headers = [(b"x-shed", b"1")]
    assert world.call() == 200
    assert len(world.executed) == 1


def test_a_server_may_give_up_when_its_caller_has_gone(callee):
    world = callee()
    world.takes_s = 5.0
    assert world.call(patience_s=1.0) == "TimeoutError"
    assert (len(world.executed), world.cancelled) == (1, 0)
    world.network.servers_give_up = True
    assert world.call(patience_s=1.0) == "TimeoutError"
    assert (len(world.executed), world.cancelled) == (1, 1)


def test_a_hang_up_strikes_both_ends(callee):
    world = callee(hang_up=1.0)
    world.takes_s = 5.0
    assert world.call() == "ReadError"
    assert (world.executed, world.cancelled) == ([], 1)


def test_a_muted_fault_does_not_strike_and_others_keep_their_luck(callee):
    first = callee(drop=1.0)
    first.call()
    assert first.network.struck == ["caller→callee 1 drop"]
    muted = callee(drop=1.0)
    muted.network._muted = frozenset({"caller→callee 1 drop"})
    assert muted.call() == 200
    assert muted.call() == "TimeoutError"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_caller_can_die_before_or_after_its_call(callee, moment):
    world = callee()
    caller = Process("caller", 1)
    died = []
    caller.die = lambda why: (died.append(why), setattr(caller, "alive", False))
    world.loop.processes.append(caller)
    context = contextvars.Context()
    context.run(PROCESS.set, caller)
    world.network.kill_at_call["caller"] = (1, moment)
    wire = Wire(world.network, "caller")

    async def main():
        request = httpx.Request("POST", "http://callee/do", content=b"once")
        world.loop.create_task(wire.handle_async_request(request), context=context)
        await asyncio.sleep(5)

    world.loop.run_until_complete(main())
    assert died == [f"{moment} a call to callee"]
    assert len(world.executed) == (moment == "after")
    assert world.tally.killed == {f"{moment} caller → callee /do": 1}
