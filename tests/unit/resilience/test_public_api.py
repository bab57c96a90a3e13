"""The public names are a contract: adding one is a decision, removing one a breaking change."""

import dataclasses
import inspect

import httpx
import pytest

import resilience
from resilience import (
    AttemptTimeout,
    Breaker,
    BreakerOpen,
    DeadlineExceeded,
    FailedResponse,
    Limit,
    LimitFull,
    Policy,
    Quota,
    Rejected,
    ResilienceError,
    Retry,
    Runtime,
)
from resilience import testing as shipped
from resilience.events import KINDS

NAMES = [
    "AttemptTimeout",
    "Breaker",
    "BreakerOpen",
    "DeadlineExceeded",
    "Event",
    "FailedResponse",
    "Limit",
    "LimitFull",
    "Pipeline",
    "Policy",
    "Quota",
    "Refusal",
    "Rejected",
    "ResilienceError",
    "ResilientTransport",
    "Retry",
    "Runtime",
    "Shield",
    "deadline",
    "full_jitter_s",
    "never_sent",
    "without_deadline",
]


def test_the_names_are_these():
    assert resilience.__all__ == NAMES
    assert all(inspect.getdoc(getattr(resilience, name)) for name in NAMES)


def test_the_shipped_test_tools_are_these():
    for name in ("After", "FakeClock", "Script", "Stuck", "VirtualTimeLoop"):
        assert inspect.isclass(getattr(shipped, name))
    for name in ("capture_events", "fake_runtime", "run_virtual", "virtual_runtime"):
        assert inspect.isfunction(getattr(shipped, name))


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        (Policy, ["attempt_s", "retry", "breaker", "limit"]),
        (Quota, ["capacity", "retry_cost", "timeout_cost"]),
        (Runtime, ["clock", "sleep", "random"]),
        (Limit, ["fixed", "start", "min", "max", "window_s", "drop_ratio"]),
    ],
)
def test_parts_have_these_fields_in_this_order(part, fields):
    assert [field.name for field in dataclasses.fields(part)] == fields


@pytest.mark.parametrize("part", [Policy(), Retry(), Quota(), Breaker(), Limit()])
def test_parts_are_frozen_comparable_values(part):
    assert part == type(part)()
    assert hash(part) == hash(type(part)())
    with pytest.raises(dataclasses.FrozenInstanceError):
        part.anything = 1


def test_the_defaults_are_the_documented_ones():
    assert (Quota().capacity, Quota().retry_cost, Quota().timeout_cost) == (100, 5, 10)
    assert (Retry().attempts, Retry().base_s, Retry().cap_s, Retry().patience_s) == (
        3,
        0.05,
        1,
        None,
    )
    breaker = Breaker()
    assert (breaker.window_s, breaker.buckets, breaker.min_calls) == (10, 10, 20)
    assert (breaker.failure_ratio, breaker.slow_ratio, breaker.slow_share) == (0.5, 0.8, 0.8)
    assert (breaker.consecutive, breaker.open_s, breaker.open_cap_s) == (5, 1, 30)
    assert (breaker.jitter_ratio, breaker.probes_to_close) == (0.2, 2)
    assert (Limit().start, Limit().min, Limit().max) == (20, 1, 200)


def test_errors_are_ours_and_httpxs_but_never_an_httpx_leaf():
    assert issubclass(Rejected, ResilienceError)
    assert issubclass(Rejected, httpx.TransportError)
    assert issubclass(BreakerOpen, Rejected)
    assert issubclass(LimitFull, Rejected)
    for timeout in (DeadlineExceeded, AttemptTimeout):
        assert issubclass(timeout, ResilienceError)
        assert issubclass(timeout, httpx.TimeoutException)
    leaves = (httpx.NetworkError, httpx.ProtocolError, httpx.ConnectTimeout, httpx.ReadTimeout)
    for error in (Rejected, DeadlineExceeded, AttemptTimeout, FailedResponse):
        assert not issubclass(error, leaves)
    assert not issubclass(FailedResponse, httpx.HTTPError)


def test_rejections_say_why_and_when():
    assert (BreakerOpen("x", retry_after_s=1.5).reason, LimitFull("x").reason) == ("open", "full")
    assert BreakerOpen("x", retry_after_s=1.5).retry_after_s == 1.5
    assert AttemptTimeout("x").retry_after_s is None


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (BreakerOpen("x"), True),
        (LimitFull("x"), True),
        (httpx.ConnectError("x"), True),
        (httpx.ConnectTimeout("x"), True),
        (httpx.PoolTimeout("x"), True),
        (ConnectionRefusedError(), True),
        (DeadlineExceeded("x", sent=False), True),
        (FailedResponse(httpx.Response(503), shed=True), True),
        (FailedResponse(httpx.Response(504), expired=True), True),
        (DeadlineExceeded("x", sent=True), False),
        (AttemptTimeout("x"), False),
        (httpx.ReadTimeout("x"), False),
        (httpx.ReadError("x"), False),
        (httpx.RemoteProtocolError("x"), False),
        (FailedResponse(httpx.Response(503)), False),
        (ValueError(), False),
    ],
)
def test_never_sent_is_true_only_with_proof(exc, expected):
    assert resilience.never_sent(exc) is expected


def test_event_kinds_are_these():
    assert KINDS == (
        "attempt",
        "retry",
        "retry_stopped",
        "rejected",
        "breaker_opened",
        "breaker_half_open",
        "breaker_closed",
        "limit_changed",
        "policy_replaced",
        "shed",
        "deadline_expired",
    )
