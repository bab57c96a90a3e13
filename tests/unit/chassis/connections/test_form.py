"""How much a client may send, and what it may look like."""

import asyncio
import json

import pytest

from chassis.connections import FIELDS, HEAD_BYTES, URI_BYTES
from tests.unit.chassis.connections.far import GET, POST, Far, told


@pytest.mark.parametrize(
    ("pieces", "status", "code"),
    [
        ([b"GET /" + b"a" * URI_BYTES + b" HTTP/1.1\r\nHost: t\r\n\r\n"], 414, "uri_too_long"),
        ([b"GET /", *[b"a" * 5000] * 20], 414, "uri_too_long"),
        ([GET % b"".join(b"X-%d: a\r\n" % n for n in range(FIELDS))], 431, "headers_too_large"),
        ([GET % (b"X: " + b"a" * HEAD_BYTES + b"\r\n")], 431, "headers_too_large"),
        ([b"GET / HTTP/1.1\r\nX: ", *[b"a" * 5000] * 20], 431, "headers_too_large"),
        (
            [b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n1;", *[b"a" * 5000] * 8],
            413,
            "payload_too_large",
        ),
        (
            [
                b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
                *[b"X: y\r\n" * 1000] * 8,
            ],
            413,
            "payload_too_large",
        ),
    ],
)  # fmt: skip
async def test_what_is_too_large_is_refused_as_soon_as_it_is(pieces, status, code):
    far = Far()
    line = await far.ask(*pieces)
    assert told(line)[:2] == (status, code)
    assert line.end == "closed"
    assert far.seen == []
    assert far.refused(code) == 1


async def test_just_below_the_limits_is_let_in():
    far = Far()
    fields = b"".join(b"X-%d: %b\r\n" % (n, b"a" * 300) for n in range(FIELDS - 1))
    line = await far.ask(b"GET /%b HTTP/1.1\r\nHost: t\r\n%b\r\n" % (b"a" * 8000, fields))
    assert line.sent.count(b"200 OK") == 1


async def test_a_large_head_behind_a_large_body_is_not_taken_for_larger_than_it_is():
    far = Far(body_bytes=100_000)
    line = await far.ask(POST % (60_000, b"") + b"x" * 60_000 + (GET % b""))
    assert line.sent.count(b"200 OK") == 2


async def test_trailers_are_not_taken_for_headers():
    far = Far()
    chunked = b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    await far.ask(chunked + b"2\r\nab\r\n0\r\nX-Manage-Token: mine\r\n\r\n")
    ((scope, body),) = far.seen
    assert body == b"ab"
    assert b"x-manage-token" not in dict(scope["headers"])


async def test_an_upgrade_is_ignored_and_the_body_read():
    """Java's HttpClient offers h2c on its first request; uvicorn's parser would drop the body and the connection."""
    far = Far()
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
    line = await far.ask(POST % (4, offer) + b"bo", b"dy", GET % b"")
    assert line.sent.count(b"200 OK") == 2
    assert [body for _, body in far.seen] == [b"body", b""]
    assert line.end is None
    assert b"upgrade" not in dict(far.seen[0][0]["headers"])


async def test_rubbish_behind_a_request_does_not_cost_its_answer():
    """The answer that goes out is the one to the request that was sound; then the line is closed."""
    far = Far()
    far.may_answer.clear()
    line = await far.ask(POST % (2, b"") + b"ab" + b"\x00RUBBISH\r\n\r\n")
    assert (line.sent, line.end) == (b"", None)
    far.may_answer.set()
    await asyncio.sleep(0.01)
    assert line.sent.count(b"200 OK") == line.sent.count(b"HTTP/1.1 ") == 1
    assert line.end == "closed"
    line.protocol.data_received(GET % b"")
    assert line.sent.count(b"HTTP/1.1 ") == 1


async def test_a_refused_head_behind_a_request_does_not_cost_its_answer():
    far = Far()
    far.may_answer.clear()
    line = await far.ask(POST % (2, b"") + b"ab" + b"GET /../x HTTP/1.1\r\nHost: t\r\n\r\n")
    far.may_answer.set()
    await asyncio.sleep(0.01)
    assert line.sent.count(b"200 OK") == line.sent.count(b"HTTP/1.1 ") == 1
    assert (line.end, len(far.seen)) == ("closed", 1)


async def test_only_so_many_wait_behind_one_another():
    far = Far()
    far.may_answer.clear()
    line = await far.ask((GET % b"") * 100)
    far.may_answer.set()
    await asyncio.sleep(0.01)
    assert line.sent.count(b"200 OK") == len(far.seen) == 17
    assert line.end == "closed"


@pytest.mark.parametrize(("asked", "title"), [(b"en", "Malformed request"), (b"es", "Petición")])
async def test_a_refusal_speaks_the_clients_language(asked, title):
    far = Far()
    line = await far.ask(b"GET /a%%2fb HTTP/1.1\r\nHost: t\r\nAccept-Language: %b\r\n\r\n" % asked)
    status, code, headers = told(line)
    assert (status, code, headers["content-language"]) == (400, "malformed_request", asked.decode())
    assert title in line.sent.decode()
    assert json.loads(line.sent.partition(b"\r\n\r\n")[2])["instance"] == "/a%2fb"


CLEAR = ["/", "/api/events?x=/../y", "/a.b/..c/...", "/.well-known/x", "/a%20b", "/a;b", "//a//b"]
CLEAR += ["/%C3%B1", "http://t/a", "https://t:8/a?b", "/a@b:c"]
UNCLEAR = [
    "/..",
    "/.",
    "/../a",
    "/a/./b",
    "/a/..;x",
    "/%2e%2E/a",
    "/a/.%2e",
    "/%2e",
    "/a\\b",
    "/a%5cb",
]
UNCLEAR += [
    "/a%2Fb",
    "/a%00",
    "/a%0d%0aX:y",
    "/a%7f",
    "/%",
    "/%zz",
    "/%a",
    "/a#b",
    "ftp://t/a",
    "*",
]
UNCLEAR += ["http://u:p@t/a", "http:///a", "http://t/../a", "http://t/a#b"]


@pytest.mark.parametrize("target", CLEAR)
async def test_a_path_with_one_reading_is_let_in(target):
    far = Far()
    line = await far.ask(b"GET %b HTTP/1.1\r\nHost: t\r\n\r\n" % target.encode())
    assert line.sent.startswith(b"HTTP/1.1 200"), line.sent


@pytest.mark.parametrize("target", UNCLEAR)
async def test_a_path_with_two_readings_is_refused(target):
    far = Far()
    line = await far.ask(b"GET %b HTTP/1.1\r\nHost: t\r\n\r\n" % target.encode())
    assert told(line)[:2] == (400, "malformed_request")
    assert far.seen == []
