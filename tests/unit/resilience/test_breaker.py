"""The breaker's state machine: when it trips, how it probes, what it never believes."""

import pytest

from resilience import Breaker, BreakerOpen
from resilience.breaker import BreakerState, Phase
from resilience.events import Emitter
from resilience.testing import CapturedEvents, FakeClock, fake_runtime

ATTEMPT_S = 1.0


class Bench:
    """A breaker on a clock that stands still."""

    def __init__(self, config=None, *, attempt_s=ATTEMPT_S, chance=0.5) -> None:
        self.clock = FakeClock()
        self.events = CapturedEvents()
        runtime = fake_runtime(self.clock, chance)
        emitter = Emitter("callee", [self.events], runtime)
        self.state = BreakerState(config or Breaker(), attempt_s, runtime, emitter)

    def call(self, *, failed: bool, took_s: float = 0.0) -> None:
        stamp = self.state.admit()
        began_s = self.clock.now_s
        self.clock.advance(took_s)
        self.state.record(stamp, failed=failed, began_s=began_s)

    def trip(self) -> None:
        for _ in range(5):
            self.call(failed=True)
        assert self.state.phase is Phase.OPEN

    def half_open(self) -> int:
        """Trip, wait, and return the stamp of the probe."""
        self.trip()
        self.clock.advance(1.0)
        return self.state.admit()

    def refused(self) -> bool:
        try:
            self.state.ignore(self.state.admit())
        except BreakerOpen:
            return True
        return False


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_five_failures_in_a_row_trip(bench):
    for _ in range(4):
        bench.call(failed=True)
    assert bench.state.phase is Phase.CLOSED
    bench.call(failed=True)
    assert bench.state.phase is Phase.OPEN
    assert bench.events[-1].detail["reason"] == "consecutive"


def test_a_success_starts_the_row_anew(bench):
    for _ in range(4):
        for _ in range(4):
            bench.call(failed=True)
        bench.clock.advance(10)  # out of the window, so that only the row is judged
        bench.call(failed=False)
    assert bench.state.phase is Phase.CLOSED


def test_half_of_twenty_calls_trip_but_not_of_nineteen(bench):
    for _ in range(9):
        bench.call(failed=True)
        bench.call(failed=False)
    bench.call(failed=True)
    assert bench.state.phase is Phase.CLOSED
    bench.call(failed=True)
    assert bench.state.phase is Phase.OPEN
    assert bench.events[-1].detail == {
        "reason": "ratio",
        "open_s": pytest.approx(1.0),
        "calls": 20,
        "failed": 11,
        "slow": 0,
    }


def test_old_outcomes_leave_the_window(bench):
    for _ in range(9):
        bench.call(failed=True)
        bench.call(failed=False)
    bench.clock.advance(10.0)
    for _ in range(4):
        bench.call(failed=True)
    assert bench.state.phase is Phase.CLOSED
    assert bench.state.snapshot()["calls"] == 4


def test_the_window_slides_bucket_by_bucket(bench):
    for second in range(15):
        bench.clock.now_s = float(second)
        bench.call(failed=False)
    assert bench.state.snapshot()["calls"] == 10


def test_eighty_percent_slow_calls_trip(bench):
    for _ in range(4):
        bench.call(failed=False, took_s=0.1)
    for _ in range(16):
        assert bench.state.phase is Phase.CLOSED
        bench.call(failed=False, took_s=0.81)
        bench.clock.now_s = 0.0  # all within one window
    assert bench.state.phase is Phase.OPEN
    assert bench.events[-1].detail["reason"] == "slow"


def test_without_attempt_timeout_nothing_is_slow():
    bench = Bench(attempt_s=None)
    for _ in range(40):
        bench.call(failed=False, took_s=0.1)
    assert bench.state.snapshot()["slow"] == 0


def test_open_refuses_and_says_when_a_probe_is_due(bench):
    bench.trip()
    bench.clock.advance(0.25)
    with pytest.raises(BreakerOpen) as caught:
        bench.state.admit()
    assert caught.value.retry_after_s == pytest.approx(0.75)
    assert caught.value.reason == "open"


def test_open_time_doubles_to_its_cap_and_starts_anew_after_closing(bench):
    bench.trip()
    times_s = []
    for _ in range(7):
        open_s = bench.events.of("breaker_opened")[-1].detail["open_s"]
        times_s.append(open_s)
        bench.clock.advance(open_s)
        bench.call(failed=True)
    assert times_s == pytest.approx([1, 2, 4, 8, 16, 30, 30])
    bench.clock.advance(30)
    bench.call(failed=False)
    bench.call(failed=False)
    assert bench.state.phase is Phase.CLOSED
    bench.trip()
    assert bench.events[-1].detail["open_s"] == pytest.approx(1.0)


@pytest.mark.parametrize(("chance", "open_s"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
def test_open_time_is_jittered_by_a_fifth(chance, open_s):
    bench = Bench(chance=chance)
    bench.trip()
    assert bench.events[-1].detail["open_s"] == pytest.approx(open_s)


def test_two_good_probes_close(bench):
    probe = bench.half_open()
    bench.state.record(probe, failed=False, began_s=bench.clock.now_s)
    assert bench.state.phase is Phase.HALF_OPEN
    bench.call(failed=False)
    assert bench.state.phase is Phase.CLOSED
    assert bench.events.kinds()[-2:] == ["breaker_half_open", "breaker_closed"]


def test_one_probe_at_a_time(bench):
    bench.half_open()
    with pytest.raises(BreakerOpen) as caught:
        bench.state.admit()
    assert 0 < caught.value.retry_after_s <= 1.0


def test_a_failed_or_slow_probe_opens_again():
    for failed, took_s in [(True, 0.0), (False, 0.9)]:
        bench = Bench()
        probe = bench.half_open()
        began_s = bench.clock.now_s
        bench.clock.advance(took_s)
        bench.state.record(probe, failed=failed, began_s=began_s)
        assert bench.state.phase is Phase.OPEN
        assert bench.events[-1].detail["open_s"] == pytest.approx(2.0)


def test_an_ignored_probe_gives_its_slot_back(bench):
    bench.state.ignore(bench.half_open())
    bench.call(failed=False)
    bench.call(failed=False)
    assert bench.state.phase is Phase.CLOSED


def test_a_probe_that_never_came_back_has_failed(bench):
    probe = bench.half_open()
    bench.clock.advance(ATTEMPT_S + 0.01)
    assert bench.refused()
    assert bench.state.phase is Phase.OPEN
    assert bench.events.of("breaker_opened")[-1].detail["reason"] == "probe_overdue"
    bench.state.record(probe, failed=False, began_s=bench.clock.now_s)  # too late to be believed
    assert bench.state.phase is Phase.OPEN
    bench.clock.advance(2.0)
    assert not bench.refused()


def test_a_probe_without_attempt_timeout_has_a_limit_too():
    bench = Bench(attempt_s=None)
    bench.half_open()
    bench.clock.advance(9.9)
    assert bench.refused()
    assert bench.state.phase is Phase.HALF_OPEN
    bench.clock.advance(0.2)
    assert bench.refused()
    assert bench.state.phase is Phase.OPEN


def test_stale_outcomes_are_dropped(bench):
    """Calls from before the trip that succeed while it is half-open must let nobody in."""
    stale = [bench.state.admit() for _ in range(5)]
    bench.half_open()
    for stamp in stale:
        bench.state.record(stamp, failed=False, began_s=0.0)
    assert bench.state.phase is Phase.HALF_OPEN
    assert all(bench.refused() for _ in range(50))


def test_stale_failures_do_not_open_a_breaker_that_closed(bench):
    stale = [bench.state.admit() for _ in range(20)]
    probe = bench.half_open()
    bench.state.record(probe, failed=False, began_s=bench.clock.now_s)
    bench.call(failed=False)
    for stamp in stale:
        bench.state.record(stamp, failed=True, began_s=0.0)
    assert bench.state.phase is Phase.CLOSED
    assert bench.state.snapshot()["calls"] == 0


def test_a_stale_cancellation_does_not_free_the_probes_slot(bench):
    stale = bench.state.admit()
    bench.half_open()
    bench.state.ignore(stale)
    assert bench.refused()


def test_snapshot_tells_the_phase_and_the_wait(bench):
    bench.trip()
    assert bench.state.snapshot() == {
        "phase": "open",
        "calls": 5,
        "failed": 5,
        "slow": 0,
        "retry_after_s": pytest.approx(1.0),
    }
