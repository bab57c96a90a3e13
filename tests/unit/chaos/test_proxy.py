"""The proxy between two real sockets: what passes, how often, and what the caller sees."""

import asyncio
import gc
from contextlib import asynccontextmanager

import httpx
import pytest

from chaos.proxy import Proxy, Weather
from tests.support import until


class Target:
    """Answers every POST with its number; `seen` are the bodies that arrived."""

    def __init__(self):
        self.seen = []
        self.chunked = False
        self.answers = None  # hangs up instead after so many
        self._writers = set()

    async def serve(self, reader, writer):
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.seen.append((await reader.readexactly(length)).decode())
                if len(self.seen) - 1 == self.answers:
                    writer.close()
                    return
                body = str(len(self.seen)).encode()
                frame = b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
                if self.chunked:
                    frame = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (
                        len(body),
                        body,
                    )
                writer.write(b"HTTP/1.1 200 OK\r\n" + frame)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def hang_up(self):
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def link(seed=1):
    target = Target()
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with Proxy("a→b", port, seed) as proxy, httpx.AsyncClient(trust_env=False) as client:

            async def post(text="x", limit_s=5.0):
                url = f"http://127.0.0.1:{proxy.port}/pay"
                return await client.post(url, content=text, timeout=limit_s)

            yield target, proxy, post
        target.hang_up()


async def test_a_clear_link_passes_everything_on_one_connection():
    async with link() as (target, proxy, post):
        assert [(await post(text)).text for text in "abc"] == ["1", "2", "3"]
        assert target.seen == ["a", "b", "c"]
        assert proxy.struck == {"pass": 3}


async def test_chunked_answers_pass_whole():
    async with link() as (target, _, post):
        target.chunked = True
        assert [(await post()).text for _ in range(2)] == ["1", "2"]


async def test_reset_breaks_before_and_lost_reply_after_the_request_passed():
    async with link() as (target, proxy, post):
        await proxy.set(Weather("reset"))
        with pytest.raises(httpx.TransportError):
            await post()
        assert target.seen == []
        await proxy.set(Weather("lost_reply"))
        with pytest.raises(httpx.TransportError):
            await post()
        assert target.seen == ["x"]
        await proxy.set(Weather())
        assert (await post()).text == "2"


async def test_refuse_closes_the_door_and_opens_it_on_the_same_port():
    async with link() as (target, proxy, post):
        await post()
        port = proxy.port
        await proxy.set(Weather("refuse"))
        with pytest.raises(httpx.TransportError):  # on the connection kept alive from before
            await post()
        with pytest.raises(httpx.ConnectError):
            await post()
        assert target.seen == ["x"]
        await proxy.set(Weather())
        assert proxy.port == port
        assert (await post()).text == "2"


async def test_a_black_hole_takes_the_request_and_says_nothing():
    async with link() as (target, proxy, post):
        await proxy.set(Weather("black_hole"))
        with pytest.raises(httpx.ReadTimeout):
            await post(limit_s=0.2)
        assert target.seen == []


async def test_delay_holds_back_and_passes():
    async with link() as (_, proxy, post):
        await proxy.set(Weather("delay", seconds=0.05))
        assert (await post()).text == "1"
        assert proxy.struck == {"delay": 1}


async def test_duplicate_answers_once_and_arrives_twice():
    async with link() as (target, proxy, post):
        await proxy.set(Weather("duplicate", seconds=0.05))
        assert (await post("again")).text == "1"
        await until(lambda: target.seen == ["again", "again"], 5)


async def test_a_copy_that_nobody_answers_ends_quietly():
    problems = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    async with link() as (target, proxy, post):
        target.answers = 1
        await proxy.set(Weather("duplicate", seconds=0.05))
        assert (await post("again")).text == "1"
        await until(lambda: not any("_again" in repr(one) for one in asyncio.all_tasks()), 5)
        assert target.seen == ["again", "again"]
    gc.collect()
    assert problems == []


async def test_a_share_is_struck_and_the_same_seed_strikes_the_same():
    async def struck():
        async with link(seed=7) as (_, proxy, post):
            await proxy.set(Weather("reset", probability=0.5))
            done = []
            for _ in range(20):
                try:
                    await post()
                except httpx.TransportError:
                    done.append(False)
                else:
                    done.append(True)
            return done

    first = await struck()
    assert {True, False} == set(first)
    assert await struck() == first


async def test_a_target_that_came_back_is_found_again():
    async with link() as (target, _, post):
        await post()
        target.hang_up()
        await until(lambda: _passes(post), 5)


async def _passes(post):
    try:
        return (await post()).status_code == 200
    except httpx.TransportError:
        return False


async def test_nonsense_is_hung_up_on():
    async with link() as (target, proxy, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n")
        with pytest.raises(ConnectionError):
            await reader.readexactly(1)
        writer.close()
        assert target.seen == []
