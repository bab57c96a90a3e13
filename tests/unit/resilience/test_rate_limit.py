"""The rate limit: a burst, then a steady pace; refusals say when; buckets per key are bounded."""

import pytest

from resilience import Policy, RateLimit, Retry, Throttled, never_sent
from resilience.rate_limit import KeyedBuckets
from resilience.testing import FakeClock, Script, fake_runtime

BROKEN = ConnectionResetError("reset")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(start_s=1000.0)


def burst_of(bucket) -> int:
    taken = 0
    while bucket.take() == 0.0:
        taken += 1
    return taken


def test_a_full_bucket_lets_a_burst_through_and_then_says_when(clock):
    bucket = RateLimit(10, burst=3).build(fake_runtime(clock))
    assert burst_of(bucket) == 3
    assert bucket.take() == pytest.approx(0.1)
    clock.advance(0.06)
    assert bucket.take() == pytest.approx(0.04)  # asking took nothing
    clock.advance(0.04)
    assert bucket.take() == 0.0


def test_a_pause_refills_to_the_burst_and_no_further(clock):
    bucket = RateLimit(10, burst=3).build(fake_runtime(clock))
    burst_of(bucket)
    clock.advance(0.2)
    assert bucket.tokens == pytest.approx(2)
    assert burst_of(bucket) == 2
    clock.advance(3600)
    assert bucket.tokens == 3
    assert burst_of(bucket) == 3


def test_waiting_exactly_as_long_as_told_is_enough_even_after_weeks(clock):
    bucket = RateLimit(3, burst=1).build(fake_runtime(clock))
    clock.advance(3_000_000.1)
    bucket.take()
    for _ in range(100):
        clock.advance(bucket.take())
        assert bucket.take() == 0.0


@pytest.mark.parametrize(("rate_per_s", "burst"), [(0, 1), (-1, 1), (float("nan"), 1), (1, 0)])
def test_a_limit_that_lets_nothing_through_is_refused(rate_per_s, burst):
    with pytest.raises(ValueError, match=r"positive|at least"):
        RateLimit(rate_per_s, burst)


# Per key


def test_each_key_has_a_bucket_of_its_own(clock):
    buckets = RateLimit(1, burst=1).buckets(fake_runtime(clock))
    assert [buckets.take("ana"), buckets.take("eva")] == [0.0, 0.0]
    assert buckets.take("ana") == pytest.approx(1.0)
    clock.advance(1.0)
    assert buckets.take("ana") == 0.0


def test_the_number_of_buckets_is_bounded_and_the_quietest_goes_first(clock):
    buckets = RateLimit(1, burst=1).buckets(fake_runtime(clock), max_keys=2)
    buckets.take("ana")
    buckets.take("eva")
    assert buckets.take("ana") > 0  # refused, but seen
    buckets.take("leo")  # the third: eva's bucket goes
    assert len(buckets) == 2
    assert buckets.take("ana") > 0
    assert buckets.take("eva") == 0.0


def test_long_keys_are_kept_short_and_apart(clock):
    buckets = RateLimit(1, burst=1).buckets(fake_runtime(clock))
    one, other = "x" * 5000 + "1", "x" * 5000 + "\udcff"
    assert [buckets.take(one), buckets.take(other)] == [0.0, 0.0]
    assert buckets.take(one) > 0
    assert all(len(key) <= 64 for key in buckets._full_at)


def test_there_must_be_room_for_a_key(clock):
    with pytest.raises(ValueError, match="at least one"):
        KeyedBuckets(RateLimit(1, burst=1), fake_runtime(clock), 0)


# In a pipeline


async def test_too_many_calls_are_refused_here_with_the_wait(runtime, events):
    pipeline = Policy(rate_limit=RateLimit(2, burst=1)).bind("mail", runtime, [events])
    callee = Script("sent")
    assert await pipeline.call(callee) == "sent"
    with pytest.raises(Throttled, match="mail") as caught:
        await pipeline.call(callee)
    assert caught.value.retry_after_s == pytest.approx(0.5)
    assert never_sent(caught.value)
    assert callee.attempts == 1
    (event,) = events.of("rejected")
    assert (event.detail["reason"], event.detail["retry_after_s"]) == ("throttled", 0.5)
    await runtime.sleep(caught.value.retry_after_s)
    assert await pipeline.call(callee) == "sent"


async def test_each_retry_pays_and_an_unknown_outcome_is_not_hidden_by_the_refusal(runtime):
    policy = Policy(retry=Retry(3, base_s=0.001), rate_limit=RateLimit(1, burst=2))
    pipeline = policy.bind("mail", runtime)
    callee = Script(BROKEN)
    with pytest.raises(ConnectionResetError) as caught:
        await pipeline.call(callee)
    assert callee.attempts == 2
    assert isinstance(caught.value.__cause__, Throttled)


async def test_its_state_outlives_a_new_policy_only_if_it_stays_the_same(runtime):
    limited = RateLimit(1, burst=1)
    pipeline = Policy(rate_limit=limited).bind("mail", runtime)
    await pipeline.call(Script("sent"))
    pipeline = pipeline.rebound(Policy(attempt_s=1.0, rate_limit=limited))
    assert pipeline.snapshot() == {"rate_tokens": 0}
    pipeline = pipeline.rebound(Policy(rate_limit=RateLimit(1, burst=2)))
    assert pipeline.snapshot() == {"rate_tokens": 2}
