"""The transport: what each header and status means, seen through a real httpx.AsyncClient."""

import math
from contextlib import suppress

import httpx
import pytest

from resilience import (
    Breaker,
    BreakerOpen,
    DeadlineExceeded,
    Policy,
    ResilientTransport,
    Retry,
    deadline,
)
from resilience.testing import After, Script

STOCK = "http://stock:5002/seats"
RETRY = Policy(attempt_s=1.0, retry=Retry(3, base_s=0.01))


def answer(status: int, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=named, json={"status": status})


SHED = answer(503, X_Shed="1", Retry_After="1")
FINAL = answer(503, X_Outcome="final")
EXPIRED = answer(504, X_Deadline_Expired="1")


# Answers


@pytest.mark.parametrize("status", [200, 204, 302, 404, 409, 422, 429, 501])
async def test_other_answers_are_returned_at_once(open_client, status):
    async with open_client(RETRY, answer(status)) as (http, callee):
        assert (await http.get(STOCK)).status_code == status
    assert callee.attempts == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_unmarked_failures_are_retried_for_safe_methods(open_client, status):
    async with open_client(RETRY, answer(status), answer(200)) as (http, callee):
        assert (await http.get(STOCK)).status_code == 200
    assert callee.attempts == 2


@pytest.mark.parametrize("step", [answer(503), httpx.ReadError("reset"), After(math.inf)])
@pytest.mark.parametrize(
    ("method", "headers", "attempts"),
    [
        ("GET", {}, 3),
        ("HEAD", {}, 3),
        ("PUT", {}, 3),
        ("DELETE", {}, 3),
        ("POST", {}, 1),
        ("PATCH", {}, 1),
        ("POST", {"Idempotency-Key": "k" * 16}, 3),
    ],
)
async def test_unknown_outcomes_are_repeated_only_where_that_is_safe(
    open_client, step, method, headers, attempts
):
    async with open_client(RETRY, step) as (http, callee):
        with suppress(httpx.TransportError):
            await http.request(method, STOCK, headers=headers)
    assert callee.attempts == attempts


async def test_refused_connections_are_repeated_even_for_a_bare_post(open_client):
    async with open_client(RETRY, httpx.ConnectError("refused"), 200) as (http, callee):
        assert (await http.post(STOCK)).status_code == 200
    assert callee.attempts == 2


async def test_shed_answers_are_repeated_even_for_a_bare_post_after_their_wait(open_client):
    async with open_client(RETRY, SHED, 200) as (http, callee):
        assert (await http.post(STOCK)).status_code == 200
    assert callee.times_s == pytest.approx([0.0, 1.0])


async def test_final_answers_are_successes(open_client):
    policy = Policy(retry=Retry(3), breaker=Breaker())
    async with open_client(policy, FINAL) as (http, callee):
        for _ in range(10):
            assert (await http.get(STOCK)).json() == {"status": 503}
    assert callee.attempts == 10


async def test_expired_work_is_not_repeated_nor_counted(open_client):
    policy = Policy(retry=Retry(3), breaker=Breaker())
    async with open_client(policy, EXPIRED) as (http, callee):
        for _ in range(10):
            assert (await http.get(STOCK)).status_code == 504
    assert callee.attempts == 10


async def test_shed_answers_never_open_the_breaker_but_plain_503_do(open_client):
    policy = Policy(breaker=Breaker())
    async with open_client(policy, *[SHED] * 10, answer(503)) as (http, _):
        for _ in range(15):
            assert (await http.get(STOCK)).status_code == 503
        with pytest.raises(BreakerOpen) as caught:
            await http.get(STOCK)
    assert caught.value.request.url == STOCK


async def test_the_last_answer_is_returned_when_tries_run_out(open_client):
    steps = answer(503), answer(502), answer(500)
    async with open_client(RETRY, *steps) as (http, callee):
        response = await http.get(STOCK)
    assert (response.status_code, response.json()) == (500, {"status": 500})
    assert callee.attempts == 3


async def test_an_unknown_outcome_is_not_hidden_by_a_later_shed_answer(open_client):
    """`X-Shed` says nothing was done, which is true of the second attempt only."""
    policy = Policy(retry=Retry(2, base_s=0.01))
    async with open_client(policy, answer(500), SHED) as (http, _):
        response = await http.get(STOCK)
    assert response.status_code == 500
    assert "X-Shed" not in response.headers


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry_After": "2"}, 2.0),
        ({"Retry_After": "0"}, 0.0),
        ({"Retry_After": "soon"}, 0.0),
        ({"Retry_After": "-3"}, 0.0),
        ({"Retry_After": "Wed, 21 Oct 2026 07:28:09 GMT"}, 0.0),  # no Date to read it against
        (
            {
                "Retry_After": "Wed, 21 Oct 2026 07:28:09 GMT",
                "Date": "Wed, 21 Oct 2026 07:28:00 GMT",
            },
            9.0,
        ),
    ],
)
async def test_retry_after_is_honoured(open_client, headers, wait_s):
    async with open_client(RETRY, answer(503, X_Shed="1", **headers), 200) as (http, callee):
        await http.get(STOCK)
    assert callee.times_s[1] == pytest.approx(wait_s, abs=0.01)


# Deadline


async def test_each_attempt_sends_the_milliseconds_left_minus_the_hop(open_client):
    seen = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(int(request.headers["X-Deadline-Ms"]))
        return SHED if len(seen) == 1 else answer(200)

    async with open_client(RETRY, note) as (http, _), deadline(2.5):
        await http.get(STOCK)
    assert seen == [2495, 1495]


async def test_without_a_deadline_nothing_is_sent(open_client):
    async with open_client(RETRY, 200) as (http, callee):
        await http.get(STOCK)
    assert "X-Deadline-Ms" not in callee.requests[0].headers


async def test_the_last_milliseconds_are_sent_as_one(open_client):
    async with open_client(RETRY, 200) as (http, callee), deadline(0.003):
        await http.get(STOCK)
    assert callee.requests[0].headers["X-Deadline-Ms"] == "1"


async def test_a_passed_deadline_is_refused_here(open_client):
    async with open_client(RETRY, 200) as (http, callee):
        with pytest.raises(DeadlineExceeded) as caught, deadline(0.0):
            await http.get(STOCK)
    assert (callee.attempts, caught.value.sent) == (0, False)
    assert caught.value.request.url == STOCK


@pytest.mark.parametrize("policy", [RETRY, Policy(attempt_s=1.0)])
@pytest.mark.parametrize("step", [httpx.ReadError("reset"), After(math.inf)])
async def test_errors_carry_their_request_without_a_client_too(runtime, policy, step):
    request = httpx.Request("GET", STOCK)
    with pytest.raises(httpx.TransportError) as caught:
        await ResilientTransport(policy, Script(step), runtime=runtime).handle_async_request(
            request
        )
    assert caught.value.request is request
