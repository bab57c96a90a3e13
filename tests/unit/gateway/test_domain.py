"""Pure rules: names, shares of time, breakers, percentiles."""

import pytest

from gateway.domain import (
    breakers_in,
    changed,
    first_send_s,
    percentile_ms,
    resend_s,
    reservation_id_of,
    scope_of,
)


def test_reservation_id_depends_on_secret_scope_and_key_only():
    one = reservation_id_of("secret", scope_of("ana"), "key")
    assert one == reservation_id_of("secret", scope_of("ana"), "key")
    others = {
        reservation_id_of("another", scope_of("ana"), "key"),
        reservation_id_of("secret", scope_of("luis"), "key"),
        reservation_id_of("secret", scope_of("ana"), "yek"),
    }
    assert len(others | {one}) == 4
    assert one[0] == "r"
    assert len(one) == 33


@pytest.mark.parametrize("left_s", [0.01, 0.5, 1.0, 2.0, 5.0, 60.0])
def test_a_first_send_always_leaves_time_to_ask_again_and_to_answer(left_s):
    first = first_send_s(left_s)
    again = resend_s(left_s - first)
    assert 0 < first < left_s
    assert 0 < again < left_s - first


def test_five_seconds_are_shared_four_to_one():
    assert first_send_s(5.0) == 4.0
    assert resend_s(1.0) == pytest.approx(0.6)


def test_breakers_are_found_wherever_a_service_shows_its_edges():
    breaker = {"phase": "open", "calls": 5, "failed": 5, "slow": 0, "retry_after_s": 0.44}
    live = {
        "upstream_inventory": {"inventory.hold": {"127.0.0.1:5002": {"breaker": breaker}}},
        "edges": {"payments.pay": {"h:1": {"quota": 1.0}}},
        "shield": {"limit": 5},
        "open": 3,
    }
    found = [{"edge": "inventory.hold", "phase": "open", "retry_after_s": 0.4}]
    assert breakers_in(live) == found


def test_only_what_changed_is_told():
    assert changed({"a": 1, "b": [1]}, {"a": 1, "b": [2], "c": None}) == {"b": [2], "c": None}


def test_percentiles_are_nearest_rank():
    assert percentile_ms([], 0.5) is None
    assert percentile_ms([0.1], 0.95) == 100
    assert percentile_ms([n / 1000 for n in range(1, 101)], 0.95) == 95
    assert percentile_ms([0.002, 0.001], 0.5) == 1
