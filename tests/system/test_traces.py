"""One reservation is one trace over five real processes, as an OTLP collector gets it."""

import asyncio
import json
import os
from collections import Counter
from types import SimpleNamespace

import httpx
import pytest
import pytest_asyncio

from chaos.stack import Stack
from tests.support import free_base_port, until
from tests.support.collector import Collector

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICES = {"gateway", "reservations", "inventory", "payments", "notifications"}
EMAIL = "ana.secreta@example.com"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traced(tmp_path_factory):
    """A mesh that sends its traces to `traced.collector`."""
    async with Collector().listening() as collector:
        environment = {
            "TRACING": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_TRACES_SAMPLER": "parentbased_always_off",  # so that a test asks for what it sees
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "debug",
        }
        data = tmp_path_factory.mktemp("traces")
        async with (
            Stack(
                base_port=free_base_port(), data=data, environment=environment, max_backoff_s=0.2
            ) as stack,
            httpx.AsyncClient(timeout=10) as http,
        ):
            yield SimpleNamespace(collector=collector, stack=stack, http=http)


async def fault(traced, service, name, **order):
    url = traced.stack.url(service, f"/chaos/{name}")
    answer = await traced.http.post(url, json={"enabled": True, **order})
    assert answer.status_code == 200, answer.text


async def calm(traced, service):
    """The service's faults are off, and no breaker remembers them."""
    await traced.http.delete(traced.stack.url(service, "/chaos"))

    async def sells():
        answer, _ = await reserve(traced)
        return answer.status_code == 200

    await until(sells, 15)


async def reserve(traced, *, sampled=True):
    """The answer, and the id of the trace that it was asked in."""
    trace = os.urandom(16).hex()
    answer = await traced.http.post(
        traced.stack.url("gateway", "/api/reserve"),
        json={"user_id": "ana", "event_id": "festival-01", "quantity": 1, "email": EMAIL},
        headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-0{int(sampled)}"},
    )
    return answer, trace


async def whole(traced, trace, *names, is_tree=True):
    """The spans of a trace, once those of these names are among them and no hop or parent is missing."""

    def is_whole():
        found = traced.collector.trace(trace)
        assert {one.name for one in found} >= set(names)
        if is_tree:
            assert_one_tree(found)
            assert_every_hop_has_both_ends(found)
        return found

    return await until(is_whole, 15)


def below(spans, parent):
    return [one for one in spans if one.parent == parent.span]


def the(spans, service, kind, name):
    (found,) = (one for one in spans if one.what == (service, kind, name))
    return found


def assert_one_tree(spans):
    """Every span hangs below another one of the trace, but the one that the buyer caused."""
    ids = {one.span for one in spans}
    assert len(ids) == len(spans)
    roots = [one for one in spans if one.parent not in ids]
    assert [one.what for one in roots] == [("gateway", "server", "POST /api/reserve")]


def assert_every_hop_has_both_ends(spans):
    """Each attempt that got an answer has one server span below it, in the service that was called."""
    for one in spans:
        if one.kind == "client" and "http.response.status_code" in one.attributes:
            ends = below(spans, one)
            assert [end.kind for end in ends] == ["server"], f"below {one}"
            (served,) = ends
            assert served.service == one.attributes["peer.service"]
            wanted = one.attributes["http.response.status_code"]
            assert served.attributes["http.response.status_code"] == wanted


async def test_a_reservation_is_one_trace_with_every_hop_step_and_store_call(traced):
    answer, trace = await reserve(traced)
    assert answer.status_code == 200, answer.text
    reservation = answer.json()["reservation_id"]
    spans = await whole(traced, trace, "outbox capture", "POST /capture", "mark reservations")
    assert {one.service for one in spans} == SERVICES
    assert not any(one.failed for one in spans)
    assert {one.attributes.get("reservation.id") for one in spans} == {reservation}
    seen = Counter(one.what for one in spans)
    assert seen == Counter(
        [
            ("gateway", "server", "POST /api/reserve"),
            ("gateway", "client", "POST"),
            ("reservations", "server", "POST /reserve"),
            ("reservations", "client", "accept reservations"),
            *[("reservations", "client", "advance reservations")] * 3,
            ("reservations", "internal", "saga hold"),
            ("reservations", "internal", "saga authorize"),
            ("reservations", "internal", "saga sell"),
            ("reservations", "internal", "saga notify"),
            *[("reservations", "client", "POST")] * 5,
            ("inventory", "server", "POST /reserve"),
            ("inventory", "client", "hold inventory"),
            ("inventory", "server", "POST /confirm"),
            ("inventory", "client", "confirm inventory"),
            ("payments", "server", "POST /pay"),
            ("payments", "client", "begin payments"),
            ("payments", "internal", "ask provider"),
            ("payments", "client", "apply payments"),
            ("notifications", "server", "POST /send"),
            ("notifications", "client", "accept notifications"),
            ("reservations", "internal", "outbox capture"),
            ("payments", "server", "POST /capture"),
            *[("payments", "client", "apply_all payments")] * 2,
            ("payments", "internal", "ask provider"),
            ("reservations", "client", "mark reservations"),
        ]
    )
    steps = {one.name: one for one in spans if one.name.startswith("saga ")}
    assert {name: len(below(spans, one)) for name, one in steps.items()} == {
        "saga hold": 2,  # the call and the commit of its result
        "saga authorize": 2,
        "saga sell": 2,
        "saga notify": 1,
    }


async def test_every_attempt_is_a_client_span_of_its_own(traced):
    # Not so often that the breaker opens.
    await fault(traced, "inventory", "error", probability=0.25, route="/reserve")
    try:
        for _ in range(40):
            answer, trace = await reserve(traced)
            if answer.status_code != 200:
                continue
            spans = await whole(traced, trace, "saga sell", "saga notify")
            hold = the(spans, "reservations", "internal", "saga hold")
            attempts = [one for one in below(spans, hold) if one.name == "POST"]
            if len(attempts) > 1:
                break
    finally:
        await calm(traced, "inventory")
    assert len(attempts) > 1, "no attempt failed in 40 reservations"
    *failed, last = sorted(
        attempts, key=lambda one: one.attributes.get("http.request.resend_count", 0)
    )
    assert not last.failed
    assert all(one.failed for one in failed)
    assert [one.attributes.get("http.request.resend_count") for one in (*failed, last)] == [
        None,
        *range(1, len(attempts)),
    ]
    assert hold.events["retry"]["resilience.name"] == "inventory.hold"
    assert hold.events["attempt"]["resilience.outcome"] == "failed"


async def test_a_compensated_reservation_is_one_trace_too(traced):
    await fault(traced, "payments", "fail")
    try:
        answer, trace = await reserve(traced)
    finally:
        await calm(traced, "payments")
    assert answer.status_code == 402
    spans = await whole(traced, trace, "saga undo", "POST /cancel")
    undo = the(spans, "reservations", "internal", "saga undo")
    assert undo.attributes["saga.state"] == "DECLINED"
    undoing = [one for one in below(spans, undo) if one.name == "POST"]
    assert {below(spans, one)[0].what for one in undoing} == {
        ("inventory", "server", "POST /release"),
        ("payments", "server", "POST /cancel"),
    }
    authorize = the(spans, "reservations", "internal", "saga authorize")
    assert authorize.attributes["saga.state"] == "CANCELLING"


async def test_a_saga_that_another_life_of_the_process_ends_goes_on_in_its_trace(traced):
    await fault(traced, "reservations", "crash_at", point="reservations.AUTHORIZED.committed")
    answer, trace = await reserve(traced)
    assert answer.status_code in (200, 202), answer.text
    spans = await whole(
        traced, trace, "saga recovery", "saga sell", "outbox capture", is_tree=False
    )
    recovery = the(spans, "reservations", "internal", "saga recovery")
    sell = the(spans, "reservations", "internal", "saga sell")
    assert sell.parent == recovery.span
    assert {one.attributes["reservation.id"] for one in (recovery, sell)} == {
        answer.json()["reservation_id"]
    }


async def test_what_is_sent_together_is_below_one_reservation_and_linked_from_the_others(traced):
    await fault(traced, "payments", "error", route="/capture")
    try:
        bought = await asyncio.gather(*(reserve(traced) for _ in range(3)))
    finally:
        await calm(traced, "payments")
    assert [answer.status_code for answer, _ in bought] == [200] * 3

    def linked():
        rounds = [one for one in traced.collector.spans if one.name == "outbox capture"]
        mine = [one for one in rounds if one.trace in {trace for _, trace in bought}]
        return [one for one in mine if one.links]

    for one in await until(linked, 15):
        (led,) = (other for other in traced.collector.spans if other.span in one.links)
        assert led.name == "outbox capture"
        assert led.trace != one.trace


async def test_what_is_not_sampled_is_not_recorded_anywhere(traced):
    answer, trace = await reserve(traced, sampled=False)
    assert answer.status_code == 200
    seen, later = await reserve(traced)
    assert seen.status_code == 200
    await whole(traced, later, "outbox capture")
    assert traced.collector.trace(trace) == []


async def test_log_lines_carry_the_trace_the_reservation_and_the_request(traced):
    await fault(traced, "notifications", "down")
    try:
        answer, trace = await reserve(traced)
    finally:
        await calm(traced, "notifications")
    assert answer.status_code == 200
    log = traced.stack.data / "logs" / "reservations.log"

    def lines():
        found = [json.loads(line) for line in log.read_text().splitlines() if trace in line]
        return [one for one in found if one["event"] == "notice_later"]

    (line,) = await until(lines, 5)
    assert line["trace_id"] == trace
    assert line["reservation_id"] == answer.json()["reservation_id"]
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["service"] == "reservations"


async def test_a_collector_that_is_away_harms_neither_buyers_nor_the_end(tmp_path):
    told = []
    environment = {
        "TRACING": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_base_port(1)}",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    async with (
        Stack(
            base_port=free_base_port(),
            data=tmp_path,
            environment=environment,
            tell=lambda name, line: told.append(f"{name} {line}"),
        ) as stack,
        httpx.AsyncClient(timeout=10) as http,
    ):
        order = {"user_id": "ana", "event_id": "festival-01", "quantity": 1}
        answer = await http.post(stack.url("gateway", "/api/reserve"), json=order)
        assert answer.status_code == 200, answer.text
    assert told == [], "a service had to be forced to end"


async def test_no_span_says_who_the_buyer_is_or_what_they_may_do(traced):
    answer, trace = await reserve(traced)
    await whole(traced, trace, "outbox capture")
    content = traced.collector.content
    assert answer.json()["reservation_id"].encode() in content
    for secret in (EMAIL, answer.json()["manage_token"], answer.headers["idempotency-key"]):
        assert secret.encode() not in content
