"""What goes out: one request, framed as announced, or nothing."""

import asyncio

import httpx
import pytest

from tests.unit.chassis.wire.far_end import FarEnd, Peer, outcome


async def test_a_request_goes_out_as_it_was_given(far: FarEnd, open_wire):
    async with open_wire() as wire:
        headers = {"host": "shop", "X-Key": "a b", "content-length": "4"}
        await outcome(wire, far.url() + "a%20b?c=d", headers=headers, content=b"\r\n\0!")
    head, body = far.requests[0].split(b"\r\n\r\n", 1)
    first, *fields = head.split(b"\r\n")
    assert first == b"POST /a%20b?c=d HTTP/1.1"
    assert {b"host: shop", b"X-Key: a b", b"content-length: 4"} <= set(fields)
    assert body == b"\r\n\0!"


async def test_a_stream_goes_out_in_chunks(far: FarEnd, open_wire):
    async def parts():
        yield b"one"
        yield b"two"

    async with open_wire() as wire:
        assert (await outcome(wire, far.url(), content=parts()))[0] == 200
    head, body = far.requests[0].split(b"\r\n\r\n", 1)
    assert b"transfer-encoding: chunked" in head.lower()
    assert body.endswith(b"0\r\n\r\n")
    assert b"".join(body.split(b"\r\n")[1::2]) == b"onetwo"


FORGED = {
    "line feed in a value": {"x": "a\nforged: 1"},
    "whole line in a value": {"x": "a\r\nforged: 1"},
    "carriage return in a value": {"x": "a\rb"},
    "NUL in a value": {"x": "a\0b"},
    "line in a name": {"x\r\nforged": "1"},
    "colon in a name": {"x:y": "1"},
    "space in a name": {"x y": "1"},
    "no name": {"": "1"},
    "length that is no number": {"content-length": "one"},
    "unknown transfer coding": {"transfer-encoding": "gzip"},
}


@pytest.mark.parametrize("case", FORGED)
async def test_what_would_not_be_one_request_is_refused(far: FarEnd, open_wire, case):
    """Were it sent, the rest of it or the next caller's request would be taken for something else."""
    async with open_wire() as wire:
        found = await outcome(wire, far.url(), headers={"host": "a", **FORGED[case]})
        assert found == "LocalProtocolError"
        assert far.requests == []
        assert await outcome(wire, far.url()) == (200, b"x")


@pytest.mark.parametrize("kind", ["own"])  # stock httpx sends it, as far as the length goes
@pytest.mark.parametrize("length", ["0", "10"])
async def test_a_length_that_is_not_the_bodys_is_refused(far: FarEnd, open_wire, length, kind):
    async with open_wire() as wire:
        headers = {"host": "a", "content-length": length}
        assert await outcome(wire, far.url(), headers=headers) == "LocalProtocolError"
        headers = {"host": "a", "content-length": "1", "transfer-encoding": "chunked"}
        assert await outcome(wire, far.url(), headers=headers) == "LocalProtocolError"
    assert far.requests == []


@pytest.mark.parametrize("method", ["GE T", "GET\r\nx: y", ""])
async def test_a_method_that_is_no_word_is_refused(far: FarEnd, open_wire, method):
    async with open_wire() as wire:
        assert await outcome(wire, far.url(), method, content=b"x") == "LocalProtocolError"
    assert far.requests == []


async def test_a_request_without_host_is_refused(far: FarEnd, open_wire):
    async with open_wire() as wire:
        request = httpx.Request("GET", far.url(), stream=httpx.ByteStream(b""))
        with pytest.raises(httpx.LocalProtocolError):
            await wire.handle_async_request(request)
    assert far.requests == []


async def test_other_schemes_are_refused(open_wire):
    async with open_wire() as wire:
        assert await outcome(wire, "ftp://shop/", "GET") == "UnsupportedProtocol"


async def test_https_speaks_tls(far: FarEnd, open_wire):
    """To a port that speaks none: the failure is httpx's own."""

    async def hang_up(peer: Peer):
        await peer.reader.read(1)

    far.script = hang_up
    async with open_wire() as wire:
        url = far.url().replace("http:", "https:")
        assert await outcome(wire, url, "GET") == "ConnectError"
    assert far.requests == []


async def test_a_unix_socket_serves_as_well(open_wire, tmp_path):
    far = FarEnd()
    server = await asyncio.start_unix_server(far._accept, tmp_path / "wire.sock")
    async with open_wire(uds=str(tmp_path / "wire.sock")) as wire:
        assert await outcome(wire, "http://shop/") == (200, b"x")
    async with open_wire(uds=str(tmp_path / "nobody.sock")) as wire:
        assert await outcome(wire, "http://shop/") == "ConnectError"
    server.close()
    await asyncio.gather(*far.peers, return_exceptions=True)


@pytest.mark.parametrize("kind", ["own"])  # for stock httpx its client adds it
async def test_an_error_carries_its_request(open_wire, kind):
    async with open_wire() as wire:
        request = httpx.Request("GET", "http://127.0.0.1:1/")
        with pytest.raises(httpx.ConnectError) as raised:
            await wire.handle_async_request(request)
    assert raised.value.request is request
