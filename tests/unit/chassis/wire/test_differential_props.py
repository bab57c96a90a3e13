"""Whatever bytes come back, in whatever pieces, our wire and stock httpx make the same of them.

Properties:

- the same status, headers and body, or the same class of error, except for what `STRICTER` and `LAXER` list;
- one request each, whatever came.
"""

import asyncio
import re

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.chassis.wire.far_end import FarEnd, Outcome, Peer, outcome, own, stock

REFUSED = "RemoteProtocolError"
LENGTH, CODING = rb"\ncontent-length *:", rb"\ntransfer-encoding *:"

STRICTER = {
    "a line that ends in a bare LF": rb"(?<!\r)\n",
    "a header folded over two lines": rb"\r\n[ \t]",
    "more than one length, even if they agree": LENGTH + rb"(.*,|(?s:.*)" + LENGTH + rb")",
    "a length and a transfer coding": LENGTH
    + rb"(?s:.*)"
    + CODING
    + rb"|"
    + CODING
    + rb"(?s:.*)"
    + LENGTH,
}
"""What h11 reads and llhttp refuses, each a way to smuggle one answer inside another."""

LAXER = {
    "blank lines before the status line": rb"(^|\n)[\r\n]+HTTP/",
    "control characters in the reason phrase": rb"HTTP/\d\.\d \d\d\d[^\r\n]*[\x00-\x08\x0b-\x1f\x7f]",
}
"""What h11 refuses and llhttp skips; neither bears on status, headers or body."""


def explains(whole: bytes, theirs: Outcome, ours: Outcome) -> list[str]:
    """The listed differences that these outcomes may have come from."""
    listed = STRICTER if ours == REFUSED else LAXER if theirs == REFUSED else {}
    return [why for why, pattern in listed.items() if re.search(pattern, whole, re.IGNORECASE)]


STATUS_LINES = [
    *(b"HTTP/1.1 200 OK", b"HTTP/1.1 404 Not Found", b"HTTP/1.1 503 ", b"HTTP/1.0 200 OK"),
    *(b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 500 \xf1"),
    *(
        b"HTTP/1.1 999 Odd",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/2.0 200 OK",
        b"ICY 200 OK",
    ),
]
FIELDS = [
    *(b"date: today", b"x-a:1", b"x-b:  padded \t", b"X-C:", b"set-cookie: a=b", b"x-d: \xf1"),
    *(b"connection: close", b"connection: keep-alive", b"upgrade: h2c", b"x e: f", b": g"),
    *(b"content-length: 3", b"content-length: 0", b"content-length: -1", b"content-length: 3, 3"),
    *(b"transfer-encoding: chunked", b"transfer-encoding: gzip", b"keep-alive: timeout=5"),
    *(b" folded: line", b"content-type: application/json", b"content-length: 3 "),
]
BODIES = st.sampled_from([b"", b"abc", b"abcdef", b"a", b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
PROVISIONAL = st.sampled_from(
    [b"", b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nlink: a\r\n\r\n"]
)


@st.composite
def framed(draw) -> bytes:
    """A head, a body, and framing that fits them more often than not."""
    fields, body = draw(st.lists(st.sampled_from(FIELDS), max_size=3)), draw(BODIES)
    framing = draw(st.sampled_from(["length", "length", "chunked", "chunked", "none"]))
    if framing == "length":
        fields.append(b"content-length: %d" % len(body))
    elif framing == "chunked":
        fields.append(b"transfer-encoding: chunked")
        end = draw(
            st.sampled_from([b"0\r\n\r\n", b"0\r\nx-t: 1\r\n\r\n", b"0\r\n", b"", b"0;e\r\n\r\n"])
        )
        body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + end
    head = b"\r\n".join(
        [draw(st.sampled_from(STATUS_LINES)), *draw(st.permutations(fields)), b"", b""]
    )
    return draw(PROVISIONAL) + head + body


@st.composite
def streams(draw) -> list[bytes]:
    """What a server says, most of it sound, some of it damaged, in pieces."""
    whole = draw(framed())
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(whole)))
        cut = draw(st.integers(0, 3))
        junk = draw(st.sampled_from([b"", b"\r\n", b"\n", b" ", b"\0", b"x", b"9", b":", b"\xff"]))
        whole = whole[:at] + junk + whole[at + cut :]
    if draw(st.integers(0, 4)) == 0:
        whole = whole[: draw(st.integers(0, len(whole)))]
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True) if a < b]


async def heard(far: FarEnd, pieces: list[bytes]) -> tuple[Outcome, Outcome]:
    """What both make of the same bytes, after which the server closes."""

    async def script(peer: Peer):
        await peer.request()
        await peer.say(*pieces)

    far.script = script
    found = []
    for make in (stock, own):
        wire = make(connections=1)
        far.requests.clear()
        found.append(await outcome(wire, far.url(), "GET", headers_too=True))
        assert len(far.requests) == 1
        await wire.aclose()
    return found[0], found[1]


@pytest.mark.parametrize("new_loop", [asyncio.SelectorEventLoop, uvloop.new_event_loop])
def test_both_make_the_same_of_it(new_loop):
    with asyncio.Runner(loop_factory=new_loop) as runner:
        far = FarEnd()
        listening = far.listening()
        runner.run(listening.__aenter__())

        @settings(
            max_examples=400,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(streams())
        def same(pieces: list[bytes]) -> None:
            whole = b"".join(pieces)
            theirs, ours = runner.run(heard(far, pieces))
            assert theirs == ours or explains(whole, theirs, ours), (pieces, theirs, ours)

        try:
            same()
        finally:
            runner.run(listening.__aexit__(None, None, None))
