"""The door changes nothing but when a refusal is heard. Properties, for any bytes that a client may send:

- with room, whoever stands at the door changes no answer;
- without room, who is refused is told what the Shield behind the door would have said, and the connection goes on or
  ends alike.
"""

import asyncio
import json

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import until

# Whatever was broken before it, something here ends the connection; longer than any body that is announced.
END = b"GET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n" * 3 + b"\r\n" * 100

methods = st.sampled_from([b"POST", b"POST", b"GET", b"PUT", b"OPTIONS", b"BREW", b"post"])
targets = st.sampled_from(
    [
        *(
            b"/task",
            b"/task",
            b"/task?lang=en",
            b"/look",
            b"/healthz",
            b"/task/%00",
            b"/%ff",
            b"//x",
        ),
        *(
            b"*",
            b"http://t/task",
            b"/a b",
            b"/\xff",
            b"task",
            b"/task#x",
            b"/../task",
            b"/" + b"x" * 300,
        ),
    ]
)
headers = st.lists(
    st.sampled_from(
        [
            *(b"Accept-Language: en", b"Accept-Language: \xff", b"X-Request-ID: one-of-mine"),
            *(
                b"X-Request-ID: \xe9",
                b"Connection: keep-alive",
                b"X-Deadline-Ms: 0",
                b"X: " + b"y" * 200,
            ),
            *(
                b"X-Deadline-Ms: 9e9",
                b"Expect: 100-continue",
                b"Upgrade: websocket",
                b"A : b",
                b": x",
                b"\0: x",
            ),
        ]
    ),
    max_size=3,
)
bodies = st.sampled_from(
    [
        b"Content-Length: 2\r\n\r\n{}",
        b"Content-Length: 0\r\n\r\n",
        b"\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"Content-Length: -1\r\n\r\n",
        b"Transfer-Encoding: gzip\r\n\r\n{}",
    ]
)


@st.composite
def requests(draw):
    """One request or two, perhaps with a byte out of place."""
    whole = b""
    for _ in range(draw(st.integers(1, 2))):
        lines = [
            b"%b %b HTTP/1.%b" % (draw(methods), draw(targets), draw(st.sampled_from([b"1", b"0"])))
        ]
        lines += [b"Host: t", *draw(headers)]
        whole += b"\r\n".join(lines) + b"\r\n" + draw(bodies)
    if draw(st.integers(0, 2)) == 0:
        at = draw(st.integers(0, len(whole)))
        junk = draw(st.sampled_from([b"", b"\r\n", b"\n", b" ", b"\0", b":", b"\xff"]))
        whole = whole[:at] + junk + whole[at + draw(st.integers(0, 2)) :]
    return whole


async def said(port: int, whole: bytes) -> list[object]:
    """Everything that a server answers until it hangs up, without what differs from one answer to the next."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(whole + END)
        found = []
        async with asyncio.timeout(10):
            while head := await _head(reader):
                first, *lines = head.split(b"\r\n")
                fields = dict(line.lower().split(b": ", 1) for line in lines)
                size = int(fields.get(b"content-length", 0))
                body = await reader.readexactly(size)
                found.append((first, _steady(fields), _told(body)))
        return found
    finally:
        writer.close()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return (await reader.readuntil(b"\r\n\r\n"))[:-4]
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return b""


def _steady(fields: dict[bytes, bytes]) -> dict[bytes, bytes]:
    varying = (b"date", b"x-request-id", b"retry-after", b"content-length")
    return {name: value for name, value in fields.items() if name not in varying}


def _told(body: bytes) -> object:
    try:
        found = json.loads(body)
    except ValueError:
        return body
    return {name: value for name, value in found.items() if name != "request_id"}


def explains(ours: list, theirs: list) -> bool:
    """The one difference: a refusal that is at once where the Shield's would come in the next turn of the loop.

    What is garbage, in the body or right behind it, closes the connection before that turn, and who was refused does
    not hear it; and who has heard it need not hear of the garbage as well.
    """
    is_broken = theirs != [] and theirs[-1][0] == b"HTTP/1.1 400 Bad Request"
    shed = b"HTTP/1.1 503 Service Unavailable"
    return is_broken and all(one[0] == shed or one in theirs for one in ours)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("new_loop", [asyncio.SelectorEventLoop, uvloop.new_event_loop])
def test_both_make_the_same_of_it(open_service, new_loop, is_full):
    with asyncio.Runner(loop_factory=new_loop) as runner:
        opened = [open_service(at_the_door=at_the_door) for at_the_door in (True, False)]
        fars = [runner.run(one.__aenter__()) for one in opened]
        for far in fars:
            runner.run(prepare(far, is_full=is_full))

        @settings(
            max_examples=150,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(requests())
        def same(whole: bytes) -> None:
            ours, theirs = (runner.run(said(far.port, whole)) for far in fars)
            assert ours == theirs or explains(ours, theirs), (whole, ours, theirs)

        try:
            same()
        finally:
            for far in fars:
                runner.run(end(far))
            for one in opened:
                runner.run(one.__aexit__(None, None, None))


async def prepare(far, *, is_full: bool) -> None:
    if not is_full:
        far.work.may_end.set()
        return
    far.inside = [asyncio.create_task(far.http.post("/task", timeout=None)) for _ in range(2)]
    await until(lambda: far.work.inside == 2, 10)


async def end(far) -> None:
    far.work.may_end.set()
    await asyncio.gather(*getattr(far, "inside", ()))
