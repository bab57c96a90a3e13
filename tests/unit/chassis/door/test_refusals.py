"""Who is refused at the door: told the same, counted the same, and the connection is worth as much as before."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from chassis.app import Admission
from chassis.errors import Overloaded
from resilience import Limit, Queue
from tests.support import until

ID = "a-request-of-ours"
POST = b"POST /task HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n%b\r\n"


@asynccontextmanager
async def full(far, slots: int = 2):
    """As many requests inside as the limit admits."""
    tasks = [asyncio.create_task(far.http.post("/task")) for _ in range(slots)]
    await until(lambda: far.work.inside == slots, 10)
    try:
        yield
    finally:
        far.work.may_end.set()
        for answer in await asyncio.gather(*tasks):
            assert answer.status_code == 200


class Line:
    """A connection of our own, byte by byte."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hear(self, *, body: bool = True) -> tuple[int, dict[bytes, bytes], bytes]:
        """Status, headers and body of the next answer."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        first, *lines = head.strip().split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines)
        length = int(headers.get(b"content-length", 0)) if body else 0
        return int(first.split()[1]), headers, await self.reader.readexactly(length)


@asynccontextmanager
async def line(far):
    reader, writer = await asyncio.open_connection("127.0.0.1", far.port)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


async def refused(far, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], dict]:
    """A refusal, without what differs from one to the next."""
    async with full(far):
        answer = await far.http.post(path, headers=headers)
    assert answer.headers.pop("retry-after") in {"1", "2", "3"}
    assert answer.headers.pop("date")
    return answer.status_code, dict(answer.headers), answer.json()


@pytest.mark.parametrize(
    "path", ["/task", "/task/a%22b%C3%B1/x?q=1", "/task?lang=en", "/task?lang=es"]
)
@pytest.mark.parametrize(
    "headers", [{}, {"accept-language": "en-GB"}, {"accept-language": "fr, es;q=0.5"}]
)
async def test_the_refused_are_told_what_the_shield_would_have_told_them(
    open_service, path, headers
):
    told = []
    for at_the_door in (True, False):
        async with open_service(at_the_door=at_the_door) as far:
            told.append(await refused(far, path, {"x-request-id": ID, **headers}))
    assert told[0] == told[1]
    status, found, problem = told[0]
    assert (status, problem["code"], problem["request_id"]) == (503, "overloaded", ID)
    assert (found["x-shed"], found["x-request-id"]) == ("1", ID)


async def test_an_id_that_is_not_usable_is_replaced(open_service):
    async with open_service() as far, full(far):
        answer = await far.http.post("/task", headers={"x-request-id": 'no"good'})
        other = await far.http.post("/task")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert len({answer.headers["x-request-id"], other.headers["x-request-id"], 'no"good'}) == 3


async def test_the_refusal_is_the_services_own(open_service):
    class Saturated(Overloaded):
        code, status = "gateway_saturated", 429

    async with open_service(Admission(Limit(fixed=1), full=Saturated)) as far, full(far, 1):
        answer = await far.http.post("/task")
    assert (answer.status_code, answer.json()["code"]) == (429, "gateway_saturated")


@pytest.mark.parametrize("at_the_door", [True, False])
async def test_a_refusal_is_counted(open_service, at_the_door):
    async with open_service(at_the_door=at_the_door) as far:
        async with full(far):
            for _ in range(3):
                await far.http.post("/task")
        value = far.chassis.metrics.registry.get_sample_value
        labels = {
            "http_request_method": "POST",
            "http_route": "other",
            "http_response_status_code": "503",
        }
        assert value("http_server_request_duration_seconds_count", labels) == 3
        shed = {"name": "test.shield", "kind": "shed"}
        assert value("resilience_events_total", shed) == 3
        assert far.chassis.health.values["shield"]()["refused"] == {"full": 3}


async def test_a_refused_body_is_dropped_and_the_connection_goes_on(open_service):
    async with open_service() as far, line(far) as one:
        async with full(far):
            await one.say(POST % (10, b"") + b"01")
            status, headers, _ = await one.hear()
            assert (status, headers.get(b"connection")) == (503, None)
            await one.say(b"23456789")
            await one.say(b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n")
            assert (await one.hear())[0] == 200
        await one.say(POST % (4, b"") + b"body")
        assert (await one.hear())[0] == 200
    assert [body for body in far.work.bodies if body] == [b"body"]


async def test_requests_sent_in_one_go_are_refused_one_by_one(open_service):
    async with open_service() as far, full(far), line(far) as one:
        await one.say((POST % (3, b"") + b"abc") * 5)
        assert [(await one.hear())[0] for _ in range(5)] == [503] * 5
    assert far.work.bodies == [b"", b""]


async def test_a_chunked_body_is_dropped_too(open_service):
    head = b"POST /task HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with open_service() as far, full(far), line(far) as one:
        await one.say(head + b"3\r\nabc\r\n")
        assert (await one.hear())[0] == 503
        await one.say(b"2\r\nde\r\n0\r\n\r\nGET /look HTTP/1.1\r\nHost: t\r\n\r\n")
        assert (await one.hear())[0] == 503  # guarded as well


async def test_who_is_behind_another_on_a_connection_waits_for_their_turn(open_service):
    async with open_service() as far, line(far) as one:
        await one.say((POST % (1, b"") + b"a") * 2)
        await until(lambda: far.work.inside == 1, 10)
        far.work.may_end.set()
        assert [(await one.hear())[0] for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("extra", [b"Connection: close\r\n", b""])
async def test_who_closes_is_told_and_closed(open_service, extra):
    request = POST % (1, extra) + b"x"
    if not extra:
        request = request.replace(b"HTTP/1.1", b"HTTP/1.0")
    async with open_service() as far, full(far), line(far) as one:
        await one.say(request)
        status, headers, _ = await one.hear()
        assert (status, headers[b"connection"]) == (503, b"close")
        assert await asyncio.wait_for(one.reader.read(), 10) == b""


async def test_who_waits_for_100_continue_is_refused_before_the_body(open_service):
    async with open_service() as far, full(far), line(far) as one:
        await one.say(POST % (5, b"Expect: 100-continue\r\n"))
        status, headers, _ = await one.hear()
        assert (status, headers[b"connection"]) == (503, b"close")
        assert await asyncio.wait_for(one.reader.read(), 10) == b""


async def test_a_refused_head_has_no_body(open_service):
    async with open_service() as far, full(far), line(far) as one:
        await one.say(b"HEAD /look HTTP/1.1\r\nHost: t\r\n\r\n")
        status, headers, _ = await one.hear(body=False)
        assert (status, int(headers[b"content-length"]) > 0) == (503, True)
        await one.say(b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n")
        assert (await one.hear())[0] == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_what_is_exempt_is_never_refused(open_service, path):
    async with open_service() as far, full(far):
        for method in ("GET", "HEAD"):
            assert (await far.http.request(method, path)).status_code != 503


async def test_who_sends_slowly_takes_no_slot(open_service):
    """A slot is taken when the request is here; until then others have it."""
    async with open_service(Admission(Limit(fixed=1))) as far, line(far) as one:
        await one.say(POST % (4, b"") + b"bo")
        async with full(far, 1):
            pass
        await one.say(b"dy")
        assert (await one.hear())[0] == 200
    assert far.work.bodies == [b"", b"body"]


async def test_a_crowd_that_sends_no_bodies_does_not_close_the_door(open_service):
    async with open_service() as far, AsyncExitStack() as stack:
        broken = POST.replace(b"Content-Length: %d\r\n%b", b"Transfer-Encoding: chunked\r\n")
        for beginning in (POST % (4, b"") + b"bo", broken + b"zz\r\n") * 25:
            one = await stack.enter_async_context(line(far))
            await one.say(beginning)
        async with full(far):
            pass
        assert far.chassis.door._coming == 0


async def test_who_was_slow_is_refused_like_anybody_else(open_service):
    async with open_service(Admission(Limit(fixed=1))) as far, line(far) as one:
        await one.say(POST % (4, b"") + b"bo")
        async with full(far, 1):
            await one.say(b"dy")
            status, headers, _ = await one.hear()
            assert (status, headers[b"x-shed"]) == (503, b"1")
    assert far.work.bodies == [b""]


async def test_work_that_comes_too_late_is_told_so(open_service):
    async with open_service() as far, full(far):
        answer = await far.http.post("/task", headers={"x-deadline-ms": "0"})
    assert (answer.status_code, answer.headers["x-deadline-expired"]) == (504, "1")


async def test_a_crowd_of_one_moment_does_not_get_past_the_limit(open_service):
    async with open_service() as far:
        lines = [await asyncio.open_connection("127.0.0.1", far.port) for _ in range(50)]
        for _, writer in lines:
            writer.write(POST % (1, b"") + b"x")
        await until(lambda: far.chassis.health.values["shield"]()["refused_total"] == 48, 10)
        far.work.may_end.set()
        heard = [(await Line(*one).hear())[0] for one in lines]
        for _, writer in lines:
            writer.close()
            await writer.wait_closed()
        assert sorted(heard) == [200] * 2 + [503] * 48
        assert far.work.busiest == 2
        # Nobody is still counted as coming: all slots can be taken again.
        answers = await asyncio.gather(*(far.http.post("/task") for _ in range(2)))
        assert [answer.status_code for answer in answers] == [200, 200]


async def test_where_there_is_a_queue_people_wait(open_service):
    admission = Admission(Limit(fixed=1), queue=Queue(target_s=5, interval_s=5, length=1))
    async with open_service(admission) as far:
        async with full(far, 1):
            waits = asyncio.create_task(far.http.post("/task"))
            shield = far.chassis.health.values["shield"]
            await until(lambda: shield()["queued"] == 1, 10)
            assert (await far.http.post("/task")).status_code == 503
        assert (await waits).status_code == 200
