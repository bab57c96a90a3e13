"""Answers of every shape that HTTP/1.1 allows, and what a caller gets of them."""

import asyncio
import gzip
from contextlib import suppress

import httpx
import pytest

from tests.unit.chassis.wire.far_end import OK, TIME_OUTS, FarEnd, Peer, outcome
from tests.unit.chassis.wire.test_failures import CHUNKED, HEAD, says

TWO = b"content-length: 2\r\n"

WHOLE = {
    "a length": ((OK,), (200, b"ok"), True),
    "bytes one by one": (tuple(OK[i : i + 1] for i in range(len(OK))), (200, b"ok"), True),
    "an empty body": ((HEAD + b"content-length: 0\r\n\r\n",), (200, b""), True),
    "chunks": ((CHUNKED, b"1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n"), (200, b"ok"), True),
    "trailers": ((CHUNKED, b"2\r\nok\r\n0\r\n", b"x-sum: 1\r\n\r\n"), (200, b"ok"), True),
    "no length": ((HEAD + b"\r\n", b"o", b"k"), (200, b"ok"), False),
    "no content": ((b"HTTP/1.1 204 No Content\r\n\r\n",), (204, b""), True),
    "not modified": ((b"HTTP/1.1 304 Not Modified\r\n" + TWO + b"\r\n",), (304, b""), True),
    "continue": ((b"HTTP/1.1 100 Continue\r\n\r\n", OK), (200, b"ok"), True),
    "early hints": ((b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + OK,), (200, b"ok"), True),
    "told to close": ((HEAD + TWO + b"connection: close\r\n\r\nok",), (200, b"ok"), False),
    "of HTTP/1.0": ((b"HTTP/1.0 200 OK\r\n" + TWO + b"\r\nok",), (200, b"ok"), False),
    "a long head": ((HEAD + TWO, b"a: " + b"a" * 60_000 + b"\r\n\r\nok"), (200, b"ok"), True),
    "a failure": ((b"HTTP/1.1 503 Busy\r\n" + TWO + b"\r\nno",), (503, b"no"), True),
    "no reason phrase": ((b"HTTP/1.1 200 \r\n" + TWO + b"\r\nok",), (200, b"ok"), True),
}


@pytest.mark.parametrize("case", WHOLE)
async def test_an_answer_is_whole_and_its_connection_is_used_again_if_it_may(
    far: FarEnd, open_wire, case
):
    pieces, expected, is_kept = WHOLE[case]

    async def script(peer: Peer):
        await peer.request()
        await peer.say(*pieces)
        if is_kept:
            await far.polite(peer)

    far.script = script
    async with open_wire() as wire:
        assert await outcome(wire, far.url()) == expected
        far.script = far.polite
        assert await outcome(wire, far.url(), content=b"next") == (200, b"next")
    assert far.accepted == (1 if is_kept else 2)


async def test_the_answer_to_head_has_no_body(far: FarEnd, open_wire):
    async def script(peer: Peer):
        await peer.request()
        await peer.say(HEAD + b"content-length: 1000\r\n\r\n")
        await far.polite(peer)

    far.script = script
    async with open_wire() as wire:
        assert await outcome(wire, far.url(), "HEAD") == (200, b"")
        far.script = far.polite
        assert await outcome(wire, far.url()) == (200, b"x")


async def test_headers_arrive_as_they_were_sent_and_trailers_do_not(far: FarEnd, open_wire):
    far.script = says(
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
        HEAD + b"Set-Cookie: a=1\r\nset-cookie: b=2\r\nX-Empty:\r\ntransfer-encoding: chunked\r\n",
        b"\r\n0\r\nx-trailer: 1\r\n\r\n",
    )
    async with open_wire() as wire:
        request = httpx.Request("GET", far.url(), extensions={"timeout": TIME_OUTS})
        response = await wire.handle_async_request(request)
        await response.aread()
        await response.aclose()
    assert response.headers.multi_items() == [
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x-empty", ""),
        ("transfer-encoding", "chunked"),
    ]
    assert response.http_version == "HTTP/1.1"


async def test_coded_content_is_decoded_and_what_is_not_is_an_error(far: FarEnd, open_wire):
    packed, coded = gzip.compress(b"ok" * 1000), b"content-encoding: gzip\r\n"
    far.script = says(HEAD + coded + b"content-length: %d\r\n\r\n" % len(packed), packed)
    async with open_wire() as wire:
        assert await outcome(wire, far.url()) == (200, b"ok" * 1000)
    async with open_wire() as wire:
        far.script = says(HEAD + coded + TWO + b"\r\nok")
        assert await outcome(wire, far.url()) == "DecodingError"


@pytest.mark.parametrize("kind", ["own"])  # stock httpx leaves the reading to its client
@pytest.mark.parametrize("coded", [True, False])
async def test_an_answer_is_read_when_it_is_returned(far: FarEnd, open_wire, coded, kind):
    body = gzip.compress(b"ok") if coded else b"ok"
    coding = b"content-encoding: gzip\r\n" if coded else b""
    far.script = says(HEAD + coding + b"content-length: %d\r\n\r\n" % len(body), body)
    async with open_wire() as wire:
        response = await wire.handle_async_request(httpx.Request("GET", far.url()))
        assert response.content == b"ok"
        assert response.is_closed
        assert response.num_bytes_downloaded == len(body)
        assert response.elapsed.total_seconds() >= 0


@pytest.mark.parametrize("kind", ["own"])  # stock httpx knows no limit
@pytest.mark.parametrize("body", ["length", "chunks", "no length"])
async def test_an_answer_that_is_too_long_is_refused(far: FarEnd, open_wire, body, kind):
    head = {"length": b"content-length: 9000\r\n", "chunks": b"transfer-encoding: chunked\r\n"}
    far.script = says(
        HEAD + head.get(body, b"") + b"\r\n", b"2328\r\n" * (body == "chunks") + b"x" * 9000
    )
    async with open_wire(answer_bytes=8000) as wire:
        assert await outcome(wire, far.url()) == "RemoteProtocolError"
    async with open_wire(answer_bytes=10_000) as wire:
        assert (await outcome(wire, far.url())) == (
            "RemoteProtocolError" if body == "chunks" else (200, b"x" * 9000)
        )


async def test_an_answer_before_the_request_is_written_counts(far: FarEnd, open_wire):
    """As when a callee refuses a body by its length. The rest of the request must not meet the next one."""

    async def script(peer: Peer):
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(b"HTTP/1.1 413 Too Long\r\ncontent-length: 2\r\n\r\nno")
        with suppress(asyncio.IncompleteReadError):  # our wire hangs up here
            await peer.reader.readexactly(2**24)
            await far.polite(peer)

    far.script = script
    async with open_wire() as wire:
        found = await outcome(wire, far.url(), content=b"x" * 2**24)
        assert found == (413, b"no")
        far.script = far.polite
        assert await outcome(wire, far.url(), content=b"next") == (200, b"next")


@pytest.mark.parametrize(
    "kind", ["own"]
)  # stock httpx waits until it has written all, then says WriteTimeout
async def test_an_answer_is_not_lost_when_the_request_cannot_be_written(far, open_wire, kind):
    over = asyncio.Event()

    async def script(peer: Peer):
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(b"HTTP/1.1 413 Too Long\r\ncontent-length: 2\r\n\r\nno")
        await over.wait()

    far.script = script
    async with open_wire() as wire:
        found = await outcome(wire, far.url(), content=b"x" * 2**25, time_outs={"write": 1.0})
        assert found == (413, b"no")
        far.script = (
            far.polite
        )  # on another connection: the rest of the request is in the way on this one
        assert await outcome(wire, far.url(), content=b"next") == (200, b"next")
        over.set()


async def test_clients_of_httpx_get_hooks_elapsed_and_their_own_cookies_only(far, open_wire):
    calls = []

    async def hook(message):
        calls.append(isinstance(message, httpx.Request))

    async def script(peer: Peer):
        await peer.request()
        await peer.say(HEAD + b"set-cookie: sid=secret; Path=/\r\n" + TWO + b"\r\nok")
        await far.polite(peer)

    far.script = script
    async with open_wire() as wire:
        hooks = {"request": [hook], "response": [hook]}
        client = httpx.AsyncClient(transport=wire, event_hooks=hooks, trust_env=False)
        response = await client.post(far.url(), content=b"x")
        assert response.text == "ok"
        assert response.elapsed.total_seconds() >= 0
        assert response.request.url == far.url()
        async with client.stream("POST", far.url(), content=b"streamed") as streamed:
            assert [part async for part in streamed.aiter_bytes()] == [b"streamed"]
        assert calls == [True, False] * 2
        assert b"sid=secret" in far.requests[1]
        await outcome(wire, far.url(), "GET")  # the jar is the client's, not the transport's
        assert b"sid=secret" not in far.requests[2]
        await client.aclose()


async def test_a_client_takes_an_asgi_app_in_its_place():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"asgi"})

    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://any") as client:
        assert (await client.post("/", content=b"")).text == "asgi"
