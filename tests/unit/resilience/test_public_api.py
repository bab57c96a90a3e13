"""The public names are a contract: adding one is a decision, removing one a breaking change."""

import dataclasses
import inspect
import re
from pathlib import Path

import httpx
import pytest

import resilience
from resilience import (
    AttemptTimeout,
    Balance,
    Breaker,
    BreakerOpen,
    DeadlineExceeded,
    FailedResponse,
    Fallback,
    Hedge,
    Limit,
    LimitFull,
    Policy,
    Quota,
    RateLimit,
    Rejected,
    ResilienceError,
    Retry,
    Runtime,
    Throttled,
)
from resilience import testing as shipped
from resilience.events import KINDS

NAMES = [
    "AttemptTimeout",
    "Balance",
    "Breaker",
    "BreakerOpen",
    "DeadlineExceeded",
    "Event",
    "FailedResponse",
    "Fallback",
    "Hedge",
    "Limit",
    "LimitFull",
    "Pipeline",
    "Policy",
    "Queue",
    "Quota",
    "RateLimit",
    "Refusal",
    "Rejected",
    "ResilienceError",
    "ResilientTransport",
    "Retry",
    "Runtime",
    "Shield",
    "Throttled",
    "deadline",
    "full_jitter_s",
    "never_sent",
    "read_priority",
    "without_deadline",
]


def test_the_names_are_these():
    assert resilience.__all__ == NAMES
    assert all(inspect.getdoc(getattr(resilience, name)) for name in NAMES)


def test_the_type_level_test_uses_every_name():
    """mypy and basedpyright read it in `make check`."""
    text = (Path(__file__).resolve().parents[2] / "typing" / "api.py").read_text("utf-8")
    _, used = text.split("\n\n# Parts\n")
    assert [name for name in NAMES if not re.search(rf"\b{name}\b", used)] == []


def test_the_shipped_test_tools_are_these():
    for name in ("After", "FakeClock", "Script", "Stuck", "VirtualTimeLoop"):
        assert inspect.isclass(getattr(shipped, name))
    for name in ("capture_events", "fake_runtime", "run_virtual", "virtual_runtime"):
        assert inspect.isfunction(getattr(shipped, name))


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        (
            Policy,
            [
                "attempt_s",
                "retry",
                "breaker",
                "limit",
                "hedge",
                "rate_limit",
                "fallback",
                "balance",
            ],
        ),
        (RateLimit, ["rate_per_s", "burst"]),
        (Fallback, ["value", "on"]),
        (Hedge, ["after_s", "quantile", "min_after_s", "min_calls", "window", "cost"]),
        (Quota, ["capacity", "retry_cost", "timeout_cost"]),
        (Runtime, ["clock", "sleep", "random"]),
        (Limit, ["fixed", "start", "min", "max", "window_s", "drop_ratio"]),
    ],
)
def test_parts_have_these_fields_in_this_order(part, fields):
    assert [field.name for field in dataclasses.fields(part)] == fields


PARTS = [
    Policy(),
    Retry(),
    Quota(),
    Breaker(),
    Limit(),
    Hedge(),
    Balance(),
    RateLimit(10, 2),
    Fallback("none"),
]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_parts_are_frozen_comparable_values(part):
    assert part == dataclasses.replace(part)
    assert hash(part) == hash(dataclasses.replace(part))
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
    hedge, balance = Hedge(), Balance()
    assert (hedge.after_s, hedge.quantile, hedge.min_after_s, hedge.cost) == (None, 0.95, 0.05, 20)
    assert (balance.consecutive, balance.eject_s, balance.eject_cap_s) == (5, 30, 300)
    assert (balance.unreachable_s, balance.penalty_s) == (1, 5)


def test_errors_are_ours_and_httpxs_but_never_an_httpx_leaf():
    assert issubclass(Rejected, ResilienceError)
    assert issubclass(Rejected, httpx.TransportError)
    assert issubclass(BreakerOpen, Rejected)
    assert issubclass(LimitFull, Rejected)
    assert issubclass(Throttled, Rejected)
    for timeout in (DeadlineExceeded, AttemptTimeout):
        assert issubclass(timeout, ResilienceError)
        assert issubclass(timeout, httpx.TimeoutException)
    leaves = (httpx.NetworkError, httpx.ProtocolError, httpx.ConnectTimeout, httpx.ReadTimeout)
    for error in (Rejected, DeadlineExceeded, AttemptTimeout, FailedResponse):
        assert not issubclass(error, leaves)
    assert not issubclass(FailedResponse, httpx.HTTPError)


def test_rejections_say_why_and_when():
    assert (BreakerOpen("x", retry_after_s=1.5).reason, LimitFull("x").reason) == ("open", "full")
    assert Throttled("x").reason == "throttled"
    assert BreakerOpen("x", retry_after_s=1.5).retry_after_s == 1.5
    assert AttemptTimeout("x").retry_after_s is None


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (BreakerOpen("x"), True),
        (LimitFull("x"), True),
        (Throttled("x"), True),
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
        "hedge",
        "hedge_won",
        "hedge_skipped",
        "fallback",
        "rejected",
        "breaker_opened",
        "breaker_half_open",
        "breaker_closed",
        "limit_changed",
        "host_ejected",
        "host_returned",
        "policy_replaced",
        "shed",
        "deadline_expired",
    )
