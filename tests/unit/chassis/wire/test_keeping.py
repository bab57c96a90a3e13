"""Connections that are kept: whose answer is whose, who waits, who is cancelled, and what becomes of a stale one."""

import asyncio
import contextlib

import pytest

from tests.support import until
from tests.unit.chassis.wire.far_end import OK, FarEnd, Peer, outcome
from tests.unit.chassis.wire.test_failures import HEAD, silent

LOST = {"RemoteProtocolError", "ReadError"}


async def test_a_connection_is_used_again_and_the_spare_ones_rest(far: FarEnd, open_wire):
    """One caller at a time needs one connection: the others may expire."""
    users = []

    async def script(peer: Peer):
        while True:
            await peer.request()
            users.append(peer)
            await peer.say(OK)

    far.script = script
    async with open_wire(connections=4) as wire:
        await asyncio.gather(*(outcome(wire, far.url()) for _ in range(4)))
        for _ in range(5):
            assert await outcome(wire, far.url()) == (200, b"ok")
    assert far.accepted == 4
    assert len(set(users[4:])) == 1


async def test_spare_connections_are_closed_and_may_be_opened_again(far: FarEnd, open_wire):
    async with open_wire(connections=2, keepalive_s=0.3) as wire:

        async def one_is_left():
            assert await outcome(wire, far.url()) == (200, b"x")
            return len(far.peers) == 1

        await asyncio.gather(outcome(wire, far.url()), outcome(wire, far.url()))
        assert far.accepted == 2
        await until(one_is_left, 2)
        await asyncio.gather(outcome(wire, far.url()), outcome(wire, far.url()))
        assert far.accepted == 3


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_closed_when_the_request_arrives_is_lost_and_never_sent_again(
    far: FarEnd, open_wire, method, how
):
    """The keep-alive race: nobody can tell whether the callee acted, and only the caller knows if it may repeat."""

    async def script(peer: Peer):
        await peer.request()
        await peer.say(OK)
        await peer.request()
        if how == "reset":
            peer.reset()

    far.script = script
    async with open_wire() as wire:
        assert await outcome(wire, far.url(), method) == (200, b"ok")
        expected = "ReadError" if how == "reset" else "RemoteProtocolError"
        assert await outcome(wire, far.url(), method) == expected
    assert len(far.requests) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_closed_while_idle_is_not_used(far: FarEnd, open_wire, method):
    async def script(peer: Peer):
        await peer.request()
        await peer.say(OK)

    far.script = script
    async with open_wire() as wire:
        for number in range(1, 6):
            assert await outcome(wire, far.url(), method) == (200, b"ok")
            await until(lambda: not far.peers, 2)  # the end is on its way, or here
            assert len(far.requests) == far.accepted == number


@pytest.mark.parametrize("said", [b"", OK, b"HTTP/1.1 408 Too Slow\r\nconnection: close\r\n\r\n"])
async def test_what_came_while_the_loop_did_not_look_is_seen(far: FarEnd, open_wire, said):
    """The end, or an answer to nobody, is in the socket when the next call comes, and the loop has not heard."""
    kept = []

    async def script(peer: Peer):
        kept.append(peer)
        await far.polite(peer)

    far.script = script
    async with open_wire() as wire:
        assert await outcome(wire, far.url()) == (200, b"x")
        kept[0].at_once(said)
        assert await outcome(wire, far.url(), content=b"mine") == (200, b"mine")
    assert far.accepted == 2
    assert len(far.requests) == 2


async def test_closed_right_after_the_answer_is_used_or_lost_but_never_sent_twice(far, open_wire):
    async def script(peer: Peer):
        await peer.request()
        peer.writer.write(OK)

    far.script = script
    async with open_wire() as wire:
        found = [await outcome(wire, far.url()) for _ in range(50)]
    assert {one for one in found if one != (200, b"ok")} <= LOST
    assert len(far.requests) <= 50


async def test_an_idle_connection_expires(far: FarEnd, open_wire):
    async with open_wire(keepalive_s=0.05) as wire:
        await outcome(wire, far.url())
        await asyncio.sleep(0.1)  # the time itself is what is tested
        await outcome(wire, far.url())
    assert far.accepted == 2


@pytest.mark.parametrize("kind", ["own"])  # stock httpx gives the second answer to the next caller
@pytest.mark.parametrize("second", [OK, b"HTTP/1.1 2", b"nonsense"])
async def test_an_answer_that_nobody_asked_for_is_never_given(far, open_wire, second, kind):
    async def script(peer: Peer):
        await peer.request()
        await peer.say(HEAD + b"content-length: 5\r\n\r\nfirst" + second)
        await far.polite(peer)

    far.script = script
    async with open_wire() as wire:
        assert await outcome(wire, far.url()) == (200, b"first")
        far.script = far.polite
        assert await outcome(wire, far.url(), content=b"mine") == (200, b"mine")
    assert far.accepted == 2


@pytest.mark.parametrize("kind", ["own"])  # likewise
async def test_what_comes_while_idle_closes_the_connection(far, open_wire, kind):
    said = asyncio.Event()

    async def script(peer: Peer):
        await peer.request()
        await peer.say(HEAD + b"content-length: 5\r\n\r\nfirst")
        await peer.say(OK)
        said.set()
        await far.polite(peer)

    far.script = script
    async with open_wire() as wire:
        assert await outcome(wire, far.url()) == (200, b"first")
        await said.wait()
        await until(lambda: not far.peers, 2)
        far.script = far.polite
        assert await outcome(wire, far.url(), content=b"mine") == (200, b"mine")
    assert far.accepted == 2


async def test_who_asked_the_connection_to_be_closed_is_heard(far: FarEnd, open_wire):
    async with open_wire() as wire:
        for _ in range(2):
            headers = {"host": "a", "connection": "close", "content-length": "1"}
            assert await outcome(wire, far.url(), headers=headers) == (200, b"x")
    assert far.accepted == 2


@pytest.mark.parametrize("kind", ["own"])  # stock httpx may serve a later one first
async def test_callers_wait_in_line(far, open_wire, kind):
    async with open_wire(connections=1) as wire:
        calls = [outcome(wire, far.url(), content=str(i).encode()) for i in range(20)]
        assert await asyncio.gather(*calls) == [(200, str(i).encode()) for i in range(20)]
    assert [request.rpartition(b"\r\n")[2] for request in far.requests] == [
        str(i).encode() for i in range(20)
    ]
    assert far.accepted == 1


@pytest.mark.parametrize(
    "kind", ["own"]
)  # stock httpx can lose the place for good, then all is PoolTimeout
@pytest.mark.parametrize("rounds", range(12))
async def test_a_cancelled_caller_takes_the_connection_along(far, open_wire, rounds, kind):
    """Cancelled after a few rounds of the loop: while it connects, writes or waits for the answer."""
    far.script = silent
    async with open_wire(connections=1) as wire:
        call = asyncio.create_task(outcome(wire, far.url()))
        for _ in range(rounds):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert call.cancelled()
        far.script = far.polite
        assert await outcome(wire, far.url(), content=b"mine") == (200, b"mine")
        await until(lambda: len(far.peers) <= 1, 2)


async def test_who_is_cancelled_when_the_turn_has_come_passes_it_on(far: FarEnd, open_wire):
    async with open_wire(connections=1) as wire:

        async def first():
            found = await outcome(wire, far.url())
            second.cancel()  # whose turn it is since a moment ago, without knowing
            return found

        calls = [asyncio.create_task(first())]
        second = asyncio.create_task(outcome(wire, far.url(), content=b"2"))
        calls.append(asyncio.create_task(outcome(wire, far.url(), content=b"3")))
        assert await asyncio.gather(*calls) == [(200, b"x"), (200, b"3")]
        await asyncio.gather(second, return_exceptions=True)
        assert await outcome(wire, far.url()) == (200, b"x")


async def test_who_is_cancelled_together_with_the_one_before_is_passed_over(far: FarEnd, open_wire):
    far.script = silent
    async with open_wire(connections=1) as wire:
        calls = [asyncio.create_task(outcome(wire, far.url())) for _ in range(3)]
        await until(lambda: far.requests, 2)
        far.script = far.polite
        calls[0].cancel()
        calls[1].cancel()
        assert await calls[2] == (200, b"x")
        await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.parametrize("kind", ["own"])  # stock httpx looks before it hands over, not after
async def test_who_is_given_a_connection_that_has_ended_opens_another(far, open_wire, kind):
    kept = []

    async def script(peer: Peer):
        kept.append(peer)
        await far.polite(peer)

    far.script = script
    async with open_wire(connections=1) as wire:

        async def first():
            found = await outcome(wire, far.url())
            kept[0].at_once(b"")
            return found

        calls = (first(), outcome(wire, far.url(), content=b"2"))
        assert await asyncio.gather(*calls) == [(200, b"x"), (200, b"2")]
    assert far.accepted == len(far.requests) == 2


@pytest.mark.parametrize("kind", ["own"])  # stock httpx now and then loses a place for good
async def test_in_a_storm_of_cancellations_nobody_gets_the_answer_of_another(far, open_wire, rng):
    async def script(peer: Peer):
        while True:
            body = await peer.request()
            await asyncio.sleep(rng.random() * 0.01)
            head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)
            await peer.say(head, body[:1], body[1:])

    far.script = script
    async with open_wire(connections=8) as wire:

        async def call(number: int):
            body = str(number).encode()
            assert await outcome(wire, far.url(), content=body) == (200, body)

        calls = [asyncio.create_task(call(number)) for number in range(300)]
        for doomed in calls[1::2]:
            asyncio.get_running_loop().call_later(rng.random() * 0.4, doomed.cancel)
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(one) for one in found} <= {type(None), asyncio.CancelledError}
        assert found.count(None) >= 150
        await asyncio.gather(*(call(1000 + number) for number in range(32)))
        await until(lambda: len(far.peers) <= 8, 2)
    await until(lambda: not far.peers, 2)


@pytest.mark.parametrize(
    "kind", ["own"]
)  # in stock httpx those who wait go on waiting, and later calls open it again
async def test_closing_ends_what_is_in_flight_and_what_waits(far: FarEnd, open_wire, kind):
    far.script = silent
    async with open_wire(connections=2) as wire:
        calls = [asyncio.create_task(outcome(wire, far.url())) for _ in range(4)]
        await until(lambda: len(far.requests) == 2, 2)
        await wire.aclose()
        found = await asyncio.gather(*calls)
        assert sorted(found) == ["ConnectError", "ConnectError", "ReadError", "ReadError"]
        assert await outcome(wire, far.url()) == "ConnectError"
        await wire.aclose()
    await until(lambda: not far.peers, 2)
    assert len(far.requests) == 2


@pytest.mark.parametrize("kind", ["own"])
async def test_closing_while_a_connection_is_being_opened_sends_nothing(far, open_wire, kind):
    async with open_wire() as wire:
        call = asyncio.create_task(outcome(wire, far.url()))
        await asyncio.sleep(0)
        await wire.aclose()
        assert await call == "ConnectError"
    assert far.requests == []
    with contextlib.suppress(asyncio.CancelledError):
        await until(lambda: not far.peers, 2)
