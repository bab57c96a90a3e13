"""The simulated tables of docs/benchmarks.md, shorter and with one seed: the bounds that must hold.

Skipped where only the library is installed: the simulations are part of the checkout.
"""

import pytest

from resilience.testing import run_virtual

limits = pytest.importorskip("bench.limits", reason="the simulations are not part of the library")
storms = pytest.importorskip("bench.storms", reason="the simulations are not part of the library")
svg = pytest.importorskip("bench.svg", reason="the simulations are not part of the library")

ADAPTIVE = limits.POLICIES["Limit() (adaptive)"]
NO_LIMIT = limits.POLICIES["no limit"]
OURS = storms.POLICIES["Retry(3), with its Quota"]
NO_BUDGET = storms.POLICIES["Retry(3, quota=None)"]
SECONDS = (5, 10, 10, 5)
SHORT = [
    phase._replace(seconds=seconds) for phase, seconds in zip(limits.PHASES, SECONDS, strict=True)
]


def test_the_adaptive_limit_keeps_goodput_and_latency_in_all_four_phases():
    for seen in run_virtual(limits.simulate(ADAPTIVE, SHORT, 11)).seen:
        assert seen.goodput_ratio >= 0.95, seen.phase
        assert seen.p99_s <= 0.150, seen.phase


def test_without_a_limit_an_overload_is_never_recovered_from():
    """What the limit is for: if this fails, the simulated callee is too kind."""
    assert run_virtual(limits.simulate(NO_LIMIT, SHORT, 11)).seen[-1].goodput_ratio == 0


@pytest.mark.parametrize("trouble", ["refuses", "hangs"])
def test_retries_hardly_add_to_the_load_in_an_outage(trouble):
    assert storms.outage(OURS, 9, trouble, seconds=5) <= 1.05


def test_without_a_quota_they_triple_it():
    assert storms.outage(NO_BUDGET, 9, "refuses", seconds=3) > 2.5


def test_retries_still_overcome_random_failures():
    assert storms.unlucky(OURS, 9, failing=0.2, seconds=10) >= 98


def test_a_queue_keeps_goodput_where_waiting_in_line_loses_it():
    found = storms.queues.measure(seed=5, shorter=0.2)
    line = found["queues"]["everybody waits, first come first served"]
    queue = found["queues"]["Limit(fixed=8), Queue()"]
    assert line["goodput_percent"] < 60
    assert queue["goodput_percent"] >= 95
    assert queue["p99_ms"] <= 120
    assert found["classes"]["with priority"]["8"] >= 99


def test_a_figure_is_one_svg_document():
    lines = svg.lines(
        "a < b", "s", [svg.Panel("calls", {"x": [(0, 1), (10, 5)]}, marks={5: "now"})]
    )
    bars = svg.bars("µs", {"ours": 5.0, "theirs": 24.0}, "µs")
    for figure in (lines, bars):
        assert figure.startswith("<svg ")
        assert figure.endswith("</svg>\n")
        assert "NaN" not in figure
    assert "a &lt; b" in lines
