"""What is told of the calls to one callee: rates, shares, speed and the breaker that is worst off."""

import asyncio

import httpx
import pytest

from chassis import runtime
from chassis.clients import InDoubt, NotSent, Upstream
from chassis.telemetry import Metrics
from chassis.traffic import DURATIONS, WINDOW_S, Traffic
from resilience import Breaker, Event, Policy, Retry
from resilience.testing import After, Script

QUIET = {
    "phase": None,
    "retry_after_s": None,
    "why": None,
    "in_flight": 0,
    "per_s": 0.0,
    "attempts_per_s": 0.0,
    "effective": None,
    "actual": None,
    "p50_ms": None,
    "p95_ms": None,
}
FAILED, FINE = httpx.Response(500), httpx.Response(200, json={})
REFUSED = httpx.Response(503, headers={"x-outcome": "final"}, json={"code": "storage_unavailable"})


def upstream(*steps):
    effects = runtime.simulated(1, {"payments": Script(*steps)})
    return Upstream("payments", "http://payments:5003", effects, Metrics())


async def ask(edge, times=1):
    for _ in range(times):
        try:
            await edge.send("GET", "/", headers={})
        except (NotSent, InDoubt):
            continue


class Clock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


async def test_nothing_called_is_nothing_said():
    one = upstream(FINE)
    assert one.traffic() is None
    one.edge("probe", Policy(), works=False)
    assert one.traffic() is None
    one.edge("pay", Policy())
    assert one.traffic() == QUIET


async def test_who_only_looks_does_not_show():
    one = upstream(FINE)
    one.edge("pay", Policy())
    await ask(one.edge("probe", Policy(), works=False), 3)
    assert one.traffic() == QUIET


async def test_retries_are_what_lies_between_effective_and_actual_success():
    one = upstream(FAILED, FINE, FINE, FINE)
    await ask(one.edge("read", Policy(retry=Retry(3))), 3)
    found = one.traffic()
    assert (found["effective"], found["actual"]) == (1.0, 0.75)
    assert (found["per_s"], found["attempts_per_s"]) == (0.3, 0.4)


async def test_a_decided_refusal_is_an_end_and_a_failure_is_none():
    one = upstream(REFUSED, httpx.Response(404), httpx.ConnectError("refused"), FAILED)
    await ask(one.edge("pay", Policy()), 4)
    found = one.traffic()
    assert (found["effective"], found["actual"]) == (0.5, 0.5)


async def test_edges_of_one_upstream_count_together():
    one = upstream(FINE)
    for name in ("hold", "sell"):
        await ask(one.edge(name, Policy()), 5)
    assert one.traffic()["per_s"] == 1.0


async def test_what_is_old_is_forgotten():
    one = upstream(After(0.02, FINE))
    await ask(one.edge("pay", Policy()), 2)
    assert (one.traffic()["p50_ms"], one.traffic()["p95_ms"]) == (20.0, 20.0)
    await asyncio.sleep(WINDOW_S + 2)  # virtual
    assert one.traffic() == QUIET


async def test_calls_under_way_are_counted_and_one_that_is_given_up_says_nothing():
    one = upstream(After(5, FINE))
    call = asyncio.ensure_future(ask(one.edge("pay", Policy())))
    await asyncio.sleep(1)  # virtual
    assert one.traffic() == {**QUIET, "in_flight": 1}
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert one.traffic() == QUIET


async def test_the_breaker_that_is_worst_off_speaks_and_says_why():
    one = upstream(FAILED)
    rule = Breaker(consecutive=2, open_s=4.0, jitter_ratio=0.0, probes_to_close=1)
    await ask(one.edge("read", Policy(breaker=Breaker())))
    hold = one.edge("hold", Policy(breaker=rule))
    assert (one.traffic()["phase"], one.traffic()["why"]) == ("closed", None)
    await ask(hold, 3)
    found = one.traffic()
    assert (found["phase"], found["retry_after_s"], found["why"]) == (
        "open",
        4.0,
        "consecutive_failures",
    )
    assert found["attempts_per_s"] < found["per_s"]  # the third was never sent
    await asyncio.sleep(4.5)  # virtual
    await ask(hold)
    assert one.traffic()["why"] == "probe_failed"


async def test_a_breaker_that_is_tried_is_half_open_and_then_closed():
    one = upstream(FAILED, FAILED, After(1, FINE))
    rule = Breaker(consecutive=2, open_s=1.0, jitter_ratio=0.0, probes_to_close=1)
    edge = one.edge("hold", Policy(breaker=rule))
    await ask(edge, 2)
    await asyncio.sleep(1.5)  # virtual
    probe = asyncio.ensure_future(ask(edge))
    await asyncio.sleep(0.5)  # virtual
    found = one.traffic()
    assert (found["phase"], found["retry_after_s"]) == ("half_open", None)
    assert found["why"] == "consecutive_failures"
    await probe
    assert (one.traffic()["phase"], one.traffic()["why"]) == ("closed", None)


async def test_a_breaker_that_nobody_has_needed_since_says_nothing_about_now():
    one = upstream(FAILED, FAILED, FINE)
    rule = Breaker(consecutive=2, open_s=1.0, jitter_ratio=0.0, probes_to_close=2)
    release = one.edge("release", Policy(breaker=rule))
    hold = one.edge("hold", Policy(breaker=Breaker()))
    await ask(release, 2)
    await asyncio.sleep(2)  # virtual
    await ask(release)  # a good probe, of two that it takes
    await ask(hold)
    assert one.traffic()["phase"] == "half_open"
    for _ in range(WINDOW_S + 1):
        await asyncio.sleep(1)  # virtual
        await ask(hold)
    assert one.traffic()["phase"] == "closed"


async def test_an_open_breaker_stays_open_while_nobody_calls():
    one = upstream(FAILED)
    rule = Breaker(consecutive=2, open_s=1.0, jitter_ratio=0.0)
    await ask(one.edge("hold", Policy(breaker=rule)), 2)
    await asyncio.sleep(60)  # virtual
    found = one.traffic()
    assert (found["phase"], found["retry_after_s"]) == ("open", 0.0)


@pytest.mark.parametrize(("took_s", "told_ms"), [(0.00123, 1.2), (0.0123, 12.0), (1.26, 1300.0)])
def test_durations_are_told_to_two_digits(took_s, told_ms):
    clock = Clock()
    traffic = Traffic(clock)
    began_s = traffic.began()
    clock.now_s += took_s
    traffic.ended(began_s, well=True)
    assert traffic.picture({}, has_breaker=False)["p50_ms"] == told_ms


def test_counters_and_durations_are_bounded_and_the_last_ones_count():
    clock = Clock()
    traffic = Traffic(clock)
    for number in range(3 * DURATIONS):
        began_s = traffic.began()
        clock.now_s += 0.001 if number < 2 * DURATIONS else 0.002
        traffic.ended(began_s, well=True)
    assert len(traffic._took_s) == len(traffic._ended_s) == DURATIONS
    found = traffic.picture({}, has_breaker=False)
    assert (found["p50_ms"], found["p95_ms"]) == (2.0, 2.0)
    assert found["per_s"] == pytest.approx(3 * DURATIONS / WINDOW_S, abs=0.1)


def test_nothing_changes_while_nothing_happens_until_all_of_it_is_forgotten_at_once():
    clock = Clock()
    traffic = Traffic(clock)
    for _ in range(3):
        traffic.ended(traffic.began(), well=True)
    pictures = []
    for _ in range(120):
        clock.now_s += 0.1
        found = traffic.picture({}, has_breaker=False)
        if not pictures or pictures[-1] != found:
            pictures.append(found)
    assert [one["per_s"] for one in pictures] == [0.3, 0.0]
    assert pictures[-1] == QUIET


async def test_attempts_are_counted_for_ever_by_how_they_ended():
    script = Script(FAILED, httpx.ConnectError("no"), FINE, After(0.3, FINE))
    metrics = Metrics()
    one = Upstream(
        "payments", "http://payments:5003", runtime.simulated(1, {"payments": script}), metrics
    )
    await ask(one.edge("pay", Policy(retry=Retry(3, base_s=0.001))), 2)
    await asyncio.sleep(WINDOW_S * 2)
    (family,) = metrics.attempts.collect()
    counted = {
        (one.labels["http_response_status_code"], one.labels["error_type"]): one.value
        for one in family.samples
        if one.name.endswith("_count")
    }
    assert counted == {("500", ""): 1, ("", "ConnectError"): 1, ("200", ""): 2}
    within = {
        one.labels["le"]: one.value
        for one in family.samples
        if one.name.endswith("_bucket") and one.labels["http_response_status_code"] == "200"
    }
    assert (within["0.25"], within["0.5"], within["+Inf"]) == (1, 2, 2)


def test_what_is_not_http_has_no_status_and_is_counted_too():
    traffic = Traffic(Clock())
    traffic.on_event(
        Event("attempt", "provider", 1000.0, {"outcome": "ok", "duration_s": 0.1, "status": None})
    )
    assert traffic.picture({}, has_breaker=False)["actual"] == 1.0
