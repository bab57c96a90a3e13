"""Properties of the token bucket, for any rate, burst and sequence of waits:

1. in any stretch of t seconds at most burst + rate_per_s * t are let through;
2. a refusal tells the exact wait: then a token is there, a moment earlier it was not;
3. nobody who keeps the pace is ever refused;
4. keys do not touch each other, as long as there is room for all.
"""

from hypothesis import given
from hypothesis import strategies as st

from resilience import RateLimit
from resilience.testing import FakeClock, fake_runtime

limits = st.builds(RateLimit, st.floats(0.1, 1000), st.integers(1, 20))
waits_s = st.lists(st.floats(0, 3), min_size=1, max_size=60)


@given(limits, waits_s)
def test_no_stretch_of_time_sees_more_than_burst_and_rate_allow(limit, waits_s):
    clock = FakeClock()
    bucket = limit.build(fake_runtime(clock))
    taken_at = []
    for wait_s in waits_s:
        clock.advance(wait_s)
        taken_at.extend(clock.now_s for _ in range(3) if bucket.take() == 0.0)
    for first, since_s in enumerate(taken_at):
        for last in range(first, len(taken_at)):
            allowed = limit.burst + limit.rate_per_s * (taken_at[last] - since_s)
            assert last - first + 1 <= allowed + 1e-4


@given(limits, waits_s)
def test_a_refusal_tells_the_exact_wait(limit, waits_s):
    clock = FakeClock()
    bucket = limit.build(fake_runtime(clock))
    for wait_s in waits_s:
        clock.advance(wait_s)
        while bucket.take() == 0.0:
            pass
        told_s = bucket.take()
        clock.advance(told_s * 0.99)
        assert bucket.take() > 0.0
        clock.advance(told_s * 0.01 + 1e-9)
        assert bucket.take() == 0.0


@given(limits, st.integers(2, 100))
def test_whoever_keeps_the_pace_is_never_refused(limit, calls):
    clock = FakeClock(start_s=5e6)
    bucket = limit.build(fake_runtime(clock))
    for _ in range(calls):
        assert bucket.take() == 0.0
        clock.advance(1 / limit.rate_per_s)


@given(limits, st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1)), max_size=60))
def test_keys_do_not_touch_each_other(limit, calls):
    clock = FakeClock()
    runtime = fake_runtime(clock)
    together = limit.buckets(runtime, max_keys=3)
    alone = {key: limit.build(runtime) for key in "abc"}
    for key, wait_s in calls:
        clock.advance(wait_s)
        assert together.take(key) == alone[key].take()
    assert len(together) == len({key for key, _ in calls})
