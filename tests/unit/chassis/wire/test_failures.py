"""What every way to fail is called. The column of stock httpx is asserted too: it is the oracle, not our memory of it.

The table in docs/adr/0013 is this file's.
"""

import asyncio
import socket

import pytest

from tests.support import until
from tests.unit.chassis.wire.far_end import OK, FarEnd, Peer, outcome

SHORT = {"read": 0.1}


async def silent(peer: Peer):
    await peer.request()
    await peer.stay()


async def close_at_once(peer: Peer):
    return


async def reset_at_once(peer: Peer):
    peer.reset()


async def close_after_the_request(peer: Peer):
    await peer.request()


async def reset_after_the_request(peer: Peer):
    await peer.request()
    peer.reset()


def says(*pieces: bytes, then: str = "close"):
    """Read the request, say the pieces, and then `close`, `reset` or `stay`."""

    async def script(peer: Peer):
        await peer.request()
        await peer.say(*pieces)
        if then == "reset":
            peer.reset()
        elif then == "stay":
            await peer.stay()

    return script


HEAD = b"HTTP/1.1 200 OK\r\n"
LONG, CHUNKED = HEAD + b"content-length: 100\r\n\r\n", HEAD + b"transfer-encoding: chunked\r\n\r\n"

BROKEN = {
    "no answer": (silent, "ReadTimeout"),
    "half a head, then silence": (says(HEAD, then="stay"), "ReadTimeout"),
    "half a body, then silence": (says(LONG, b"half", then="stay"), "ReadTimeout"),
    "closed after the request": (close_after_the_request, "RemoteProtocolError"),
    "reset after the request": (reset_after_the_request, "ReadError"),
    "half a head": (says(HEAD), "RemoteProtocolError"),
    "half a body": (says(LONG, b"half"), "RemoteProtocolError"),
    "half a body, then reset": (says(LONG, b"half", then="reset"), "ReadError"),
    "half a chunk": (says(CHUNKED, b"5\r\nha"), "RemoteProtocolError"),
    "no last chunk": (says(CHUNKED, b"2\r\nok\r\n"), "RemoteProtocolError"),
    "no chunk size": (says(CHUNKED, b"zz\r\nok\r\n0\r\n\r\n"), "RemoteProtocolError"),
    "no status line": (says(b"hello\r\n\r\n"), "RemoteProtocolError"),
    "no status": (says(b"HTTP/1.1 OK\r\n\r\n"), "RemoteProtocolError"),
    "no header": (says(HEAD + b"nonsense\r\n\r\n"), "RemoteProtocolError"),
    "no length": (says(HEAD + b"content-length: ten\r\n\r\n"), "RemoteProtocolError"),
    "two lengths": (
        says(HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nok"),
        "RemoteProtocolError",
    ),
    "unknown transfer coding": (
        says(HEAD + b"transfer-encoding: gzip\r\n\r\nok"),
        "RemoteProtocolError",
    ),
    "two transfer codings": (
        says(CHUNKED[:-2] + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        "RemoteProtocolError",
    ),
    "switched, to nothing": (says(b"HTTP/1.1 101 Switching\r\n\r\n" + OK), "RemoteProtocolError"),
    "switched protocols": (
        says(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
        "RemoteProtocolError",
    ),
    "endless head": (says(HEAD, b"a: " + b"a" * 500_000, then="stay"), "RemoteProtocolError"),
    "only a provisional answer": (
        says(b"HTTP/1.1 100 Continue\r\n\r\n"),
        "RemoteProtocolError",
    ),
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("case", BROKEN)
async def test_a_broken_answer_has_its_name_and_the_request_went_out_once(
    far: FarEnd, open_wire, case, method
):
    far.script, expected = BROKEN[case]
    time_outs = SHORT if expected == "ReadTimeout" else {}
    async with open_wire() as wire:
        assert await outcome(wire, far.url(), method, time_outs=time_outs) == expected
        assert len(far.requests) == 1
        far.script = far.polite
        assert (await outcome(wire, far.url()))[0] == 200


async def test_closed_before_the_request_is_read(far: FarEnd, open_wire):
    """Whether the request was on its way already is a matter of luck, and so is how the end is heard."""
    far.script = close_at_once
    async with open_wire() as wire:
        found = await outcome(wire, far.url())
    assert found in ("RemoteProtocolError", "ReadError")


async def test_reset_before_the_request_is_read(far: FarEnd, open_wire, kind):
    far.script = reset_at_once
    async with open_wire() as wire:
        found = await outcome(wire, far.url())
    # ConnectError only if nothing at all was sent; stock httpx calls that ReadError too.
    assert found in ({"ReadError"} | ({"ConnectError"} if kind == "own" else set()))


@pytest.mark.parametrize("rounds", range(10))
async def test_reset_at_any_moment_is_heard(open_wire, rounds):
    """Between the opening of a connection and the first byte too: what is written then goes nowhere, in silence."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        async with open_wire() as wire:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/"
            call = asyncio.create_task(outcome(wire, url, time_outs={"read": 1.0}))
            for _ in range(rounds):
                await asyncio.sleep(0)
            await until(lambda: _reset_one(server), 2)
            assert await call in ("ReadError", "ConnectError")


def _reset_one(server: socket.socket) -> bool:
    accepted, _ = server.accept()  # an OSError while there is none
    with accepted:
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    return True


async def test_refused(open_wire):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        async with open_wire() as wire:
            assert await outcome(wire, f"http://127.0.0.1:{port}/") == "ConnectError"


async def test_no_such_host(open_wire):
    async with open_wire() as wire:
        assert await outcome(wire, "http://nobody.invalid/") == "ConnectError"


@pytest.mark.parametrize("kind", ["own"])  # stock httpx lets a UnicodeError through
async def test_a_name_that_no_host_can_have(open_wire, kind):
    async with open_wire() as wire:
        assert await outcome(wire, f"http://{'a' * 64}/") == "ConnectError"


async def test_full_backlog(open_wire):
    """Nobody accepts and the queue is full: Linux lets a further connect hang."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        try:
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(deaf.getsockname())
            async with open_wire() as wire:
                url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
                found = await outcome(wire, url, time_outs={"connect": 0.1})
                assert found == "ConnectTimeout"
        finally:
            for one in waiting:
                one.close()


async def test_full_pool(far: FarEnd, open_wire):
    """Who waits in vain was never sent; who waits long enough is served in order."""
    far.script = silent
    async with open_wire(connections=1) as wire:
        first = asyncio.create_task(outcome(wire, far.url()))
        await until(lambda: far.requests, 2)
        assert await outcome(wire, far.url(), time_outs={"pool": 0.05}) == "PoolTimeout"
        assert len(far.requests) == 1
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        far.script = far.polite
        assert (await outcome(wire, far.url()))[0] == 200


async def test_nobody_reads_what_we_write(far: FarEnd, open_wire):
    async def deaf(peer: Peer):
        await never.wait()

    never = asyncio.Event()
    far.script = deaf
    async with open_wire() as wire:
        found = await outcome(wire, far.url(), content=b"x" * 2**25, time_outs={"write": 0.1})
        assert found == "WriteTimeout"
        never.set()
        far.script = far.polite
        assert (await outcome(wire, far.url()))[0] == 200


async def test_reset_while_we_write(far: FarEnd, open_wire):
    """Stock httpx swallows the write error and then fails to read; so do we."""

    async def script(peer: Peer):
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.reset()

    far.script = script
    async with open_wire() as wire:
        assert await outcome(wire, far.url(), content=b"x" * 2**25) == "ReadError"


async def test_the_read_time_out_is_for_each_read(far: FarEnd, open_wire):
    async def drip(peer: Peer):
        await peer.request()
        for piece in (OK[:5], OK[5:20], OK[20:-2], OK[-2:-1], OK[-1:]):
            await asyncio.sleep(0.1)
            await peer.say(piece)
        await peer.stay()

    far.script = drip
    async with open_wire() as wire:
        assert await outcome(wire, far.url(), time_outs={"read": 0.4}) == (200, b"ok")
        assert await outcome(wire, far.url(), time_outs={"read": 0.03}) == "ReadTimeout"


async def test_the_read_time_out_starts_when_the_request_is_written(far: FarEnd, open_wire):
    """However long that took."""

    async def slow_reader(peer: Peer):
        await asyncio.sleep(0.2)
        await silent(peer)

    far.script = slow_reader
    async with open_wire() as wire:
        content = b"x" * 2**24
        assert await outcome(wire, far.url(), content=content, time_outs=SHORT) == "ReadTimeout"
    await until(lambda: far.requests, 2)


async def test_a_time_out_ends_with_its_call(far: FarEnd, open_wire):
    """What one caller was ready to wait says nothing about the next one on the same connection."""

    async def script(peer: Peer):
        await peer.request()
        await peer.say(OK)
        await peer.request()
        await asyncio.sleep(0.5)
        await peer.say(OK)
        await peer.stay()

    far.script = script
    async with open_wire() as wire:
        assert await outcome(wire, far.url(), time_outs={"read": 0.4}) == (200, b"ok")
        assert await outcome(wire, far.url(), time_outs={"read": None}) == (200, b"ok")
    assert far.accepted == 1


async def test_without_time_outs_nothing_is_timed(far: FarEnd, open_wire):
    none = dict.fromkeys(("connect", "read", "write", "pool"))
    async with open_wire() as wire:
        assert await outcome(wire, far.url(), time_outs=none) == (200, b"x")
