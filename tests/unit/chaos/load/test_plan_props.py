"""Schedules: the parts of all processes make the whole, and the same seed makes the same one.

Properties: every request is in exactly one part; parts keep the order and the intended starts of the whole; `constant`
is even; `poisson` has the mean and the spread of exponential gaps.
"""

import itertools
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.load.plan import Plan, Share

PLANS = st.builds(
    Plan,
    event_id=st.just("e"),
    requests=st.integers(1, 300),
    rate_per_s=st.floats(0.1, 5000),
    arrivals=st.sampled_from(["constant", "poisson"]),
    seed=st.integers(0, 5),
    processes=st.integers(1, 7),
)


def shares(plan: Plan) -> list[Share]:
    return [Share(plan, number, "run", 10) for number in range(plan.processes)]


@given(PLANS)
def test_the_parts_make_the_whole(plan):
    parts = [start for share in shares(plan) for start in share.starts()]
    assert sorted(parts) == list(enumerate(plan.starts()))
    for share in shares(plan):
        assert [index for index, _ in share.starts()] == list(share.indices)


@given(PLANS)
def test_starts_are_in_order_and_repeatable(plan):
    starts = list(plan.starts())
    assert starts == sorted(starts) == list(plan.starts())
    assert len(starts) == plan.requests


@given(st.integers(1, 200), st.integers(1, 16))
def test_workers_are_shared_out_to_the_last(workers, processes):
    plan = Plan("e", requests=10, workers=workers, processes=processes)
    assert sum(share.workers for share in shares(plan)) == workers


def test_constant_is_even_and_poisson_is_not():
    even = list(Plan("e", requests=5, rate_per_s=4).starts())
    assert even == [0.0, 0.25, 0.5, 0.75, 1.0]
    chance = Plan("e", requests=20_000, rate_per_s=50, arrivals="poisson", seed=3)
    starts = list(chance.starts())
    gaps = [after - before for before, after in itertools.pairwise(starts)]
    assert statistics.mean(gaps) == pytest.approx(1 / 50, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(1 / 50, rel=0.05)
    other = Plan("e", requests=20_000, rate_per_s=50, arrivals="poisson", seed=4)
    assert list(other.starts()) != starts


@given(PLANS)
def test_an_order_arrives_as_it_was_given(plan):
    for share in shares(plan):
        assert Share.from_wire(share.as_wire()) == share
