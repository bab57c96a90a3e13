"""Buckets instead of values: how much is lost, and that adding up loses nothing more.

Properties: a percentile is never below the true one (nearest rank), and at most 0.1 % or one microsecond above it;
merging parts gives what one histogram of all values gives; a trip to another process changes nothing; whatever is
missing counts as longer than all that was seen.
"""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.load.histogram import ERROR, Histogram

LATENCIES = st.lists(st.floats(0, 60, allow_subnormal=False), min_size=1, max_size=200)
SHARE = st.floats(0.001, 1.0)


def of(values) -> Histogram:
    made = Histogram()
    for value in values:
        made.add(value)
    return made


def same(one: Histogram, other: Histogram) -> bool:
    return (one.spans(), one.count, one.max_s) == (other.spans(), other.count, other.max_s)


@given(LATENCIES, SHARE)
def test_a_percentile_flatters_nobody_and_is_off_by_a_thousandth_at_most(values, share):
    true = sorted(values)[math.ceil(share * len(values)) - 1]
    found = of(values).at(share)
    assert true - 1e-8 <= found <= true * (1 + ERROR) + 1.1e-6


@given(LATENCIES, st.integers(1, 5))
def test_what_was_counted_apart_adds_up_to_what_is_counted_together(values, parts):
    merged = Histogram.merged(of(values[part::parts]) for part in range(parts))
    assert same(merged, of(values))
    assert merged.sum_s == pytest.approx(sum(values))


@given(LATENCIES)
def test_a_trip_to_another_process_changes_nothing(values):
    found = Histogram.from_wire(json.loads(json.dumps(of(values).as_wire())))
    assert same(found, of(values))


@given(LATENCIES, st.integers(0, 200), SHARE)
def test_the_missing_are_longer_than_all(values, missing, share):
    found = of(values).at(share, missing)
    rank = math.ceil(share * (len(values) + missing))
    assert (found is None) == (rank > len(values))


@given(LATENCIES)
def test_the_buckets_cover_what_is_in_them(values):
    spans = of(values).spans()
    assert sum(count for _, _, count in spans) == len(values)
    for value in values:
        us = math.ceil(value * 1e6 - 1e-3)
        assert any(low - 1e-9 <= us / 1e6 <= high + 1e-9 for low, high, _ in spans)


def test_of_nothing_nothing_is_said():
    assert Histogram().at(0.5) is None
    assert Histogram().at(0.5, 3) is None
    assert Histogram().mean_s is None


def test_an_average_of_percentiles_would_have_been_another_number():
    """Two processes, one of them slow: p99 of both is the slow one's, not the middle of two p99."""
    quick, slow = of([0.001] * 99), of([1.0] * 99)
    assert Histogram.merged((quick, slow)).at(0.99) == pytest.approx(1.0, rel=ERROR)
    assert (quick.at(0.99) + slow.at(0.99)) / 2 == pytest.approx(0.5, abs=0.01)
