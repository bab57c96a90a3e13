"""How long a client may take, and how many connections it may have."""

import asyncio

from chassis.connections import IDLE_S, LINGER_S, STUCK_S
from tests.unit.chassis.connections.far import GET, POST, RECEIVE_S, SLACK_S, Far, told


async def test_a_request_in_one_piece_or_in_many_is_answered_and_its_connection_stays():
    far = Far()
    whole = POST % (3, b"") + b"abc"
    line = await far.ask(whole, *(whole[at : at + 1] for at in range(len(whole))))
    assert line.sent.count(b"200 OK") == 2
    assert [body for _, body in far.seen] == [b"abc"] * 2
    assert line.end is None


async def test_a_head_that_does_not_end_is_cut():
    far = Far()
    line = await far.ask(b"GET / HT")
    for _ in range(int(RECEIVE_S + SLACK_S)):
        await asyncio.sleep(1)
        if line.end is None:
            line.protocol.data_received(b"T")
    assert told(line)[:2] == (400, "malformed_request")  # TTTT is no version
    line = await far.ask(b"GET / HTTP/1.1\r\nX: ")
    for _ in range(int(RECEIVE_S - 1)):
        await asyncio.sleep(1)
        line.protocol.data_received(b"a")
        assert line.end is None
    await asyncio.sleep(SLACK_S)
    assert (*told(line)[:2], line.end) == (408, "request_timeout", "closed")
    assert far.refused("request_timeout") == 1
    assert far.seen == []


async def test_a_body_that_trickles_is_cut_and_one_that_flows_is_not():
    far = Far(body_bytes=100_000)
    slow = await far.ask(POST % (100, b""))
    fast = await far.ask(POST % (30_000, b""))
    for _ in range(20):
        await asyncio.sleep(1)
        fast.protocol.data_received(b"x" * 1500)
        if slow.end is None:
            slow.protocol.data_received(b"x")
    await asyncio.sleep(SLACK_S)
    assert (*told(slow)[:2], slow.end) == (408, "request_timeout", "closed")
    assert (fast.end, fast.sent.count(b"200 OK")) == (None, 1)
    assert len(far.seen) == 1, "the slow one never reached anybody"


async def test_a_body_that_nobody_reads_ends_too():
    """GET has its answer at once; what follows is dropped, but not for ever."""
    far = Far()
    line = await far.ask(GET % b"Content-Length: 1000000\r\n")
    assert line.sent.count(b"200 OK") == 1
    await asyncio.sleep(RECEIVE_S + SLACK_S)
    assert (line.sent.count(b"HTTP/1.1"), line.end) == (1, "closed")
    line = await far.ask(GET % b"Content-Length: 1000000\r\n", *[b"x" * 1500] * 30)
    assert (line.sent.count(b"HTTP/1.1"), line.end) == (1, "closed")


async def test_a_silent_connection_is_closed_without_a_word_but_not_too_early():
    far = Far()
    fresh, used = far.connect(), await far.ask(GET % b"")
    answered = used.sent
    await asyncio.sleep(RECEIVE_S + SLACK_S)
    assert (fresh.sent, fresh.end) == (b"", "closed")
    assert used.end is None
    await asyncio.sleep(IDLE_S - RECEIVE_S)
    assert (used.sent, used.end) == (answered, "closed")
    assert far.door.connections._sweep is None or not far.door.connections._open


async def test_who_asks_again_and_again_is_never_idle():
    far = Far()
    line = await far.ask(GET % b"")
    for _ in range(20):
        await asyncio.sleep(IDLE_S / 2)
        line.protocol.data_received(GET % b"")
    await asyncio.sleep(1)
    assert (line.end, len(far.seen)) == (None, 21)


async def test_a_slow_answer_is_waited_for():
    far = Far()
    far.may_answer.clear()
    line = await far.ask(POST % (2, b"") + b"ab")
    await asyncio.sleep(10 * IDLE_S)
    assert (line.sent, line.end) == (b"", None)
    far.may_answer.set()
    await asyncio.sleep(1)
    assert line.sent.count(b"200 OK") == 1


async def test_who_does_not_take_the_answer_is_dropped_and_who_takes_it_slowly_is_not():
    far = Far()
    deaf, slow = await far.ask(GET % b""), await far.ask(GET % b"")
    for line in (deaf, slow):
        line.unsent = 500_000
        line.protocol.pause_writing()
    for _ in range(int(STUCK_S + SLACK_S)):
        await asyncio.sleep(1)
        slow.unsent -= 2000
    assert (deaf.end, slow.end) == ("aborted", None)
    assert far.refused("stuck") == 1


async def test_a_closed_connection_whose_client_takes_nothing_does_not_linger():
    far = Far()
    line = await far.ask(GET % b"")
    line.unsent = 100
    line.protocol.transport.close()
    await asyncio.sleep(STUCK_S + SLACK_S)
    assert line.end == "aborted"


async def test_who_goes_on_talking_after_a_refusal_is_not_heard_and_then_dropped():
    far = Far()
    line = far.connect()
    line.is_stubborn = True
    line.protocol.data_received(b"RUBBISH\r\n\r\n" + GET % b"")
    line.protocol.data_received((GET % b"") * 1000)
    assert (told(line)[0], line.end) == (400, None)
    await asyncio.sleep(SLACK_S * 2)
    assert (told(line)[0], line.end, far.seen) == (400, "aborted", [])


async def test_who_was_told_of_a_slow_body_and_stays_is_dropped():
    far = Far()
    line = far.connect()
    line.is_stubborn = True
    line.protocol.data_received(POST % (100, b""))
    await asyncio.sleep(RECEIVE_S + LINGER_S + 2 * SLACK_S)
    assert (told(line)[0], line.end, far.seen) == (408, "aborted", [])


async def test_a_client_gets_so_many_connections_and_no_more():
    far = Far(per_client=2)
    lines = [await far.ask(GET % b"") for _ in range(3)]
    other = await far.ask(GET % b"", address="10.0.0.2")
    status, code, headers = told(lines[2])
    assert (status, code, headers["retry-after"]) == (429, "too_many_connections", "1")
    assert [line.end for line in (*lines, other)] == [None, None, "closed", None]
    lines[0].close()
    await asyncio.sleep(0.01)
    assert (await far.ask(GET % b"")).end is None
    assert far.door.connections._of_client == {"10.0.0.1": 2, "10.0.0.2": 1}


async def test_an_ipv6_client_is_its_network():
    far = Far(per_client=2)
    lines = [await far.ask(GET % b"", address=f"2001:db8::{number}") for number in range(3)]
    assert [line.end for line in lines] == [None, None, "closed"]
    assert far.door.connections._of_client == {"2001:db8::/64": 2}


async def test_a_full_process_says_so():
    far = Far(connections=2)
    lines = [await far.ask(GET % b"", address=f"10.0.0.{number}") for number in range(3)]
    assert told(lines[2])[:2] == (503, "overloaded")
    assert far.refused("overloaded") == 1
    lines[0].close()
    await asyncio.sleep(0.01)
    assert (await far.ask(GET % b"")).end is None


async def test_nothing_is_kept_of_who_has_left():
    far = Far()
    for number in range(50):
        (await far.ask(GET % b"", address=f"10.0.1.{number}")).close()
    await asyncio.sleep(0.01)
    connections = far.door.connections
    assert (connections._open, connections._of_client) == ({}, {})
