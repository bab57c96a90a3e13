"""Has the auditor teeth? Every rule broken turns its invariant red; the same with right code leaves all green."""

from contextlib import ExitStack

import pytest

from tests.controls.controls import CONTROLS
from tests.controls.world import world

every_control = pytest.mark.parametrize(
    "control", CONTROLS, ids=[f"{'+'.join(sorted(one.red))}: {one.rule}" for one in CONTROLS]
)


async def live_through(control, data, broken):
    with ExitStack() as stack:
        for one in broken:
            stack.enter_context(one)
        async with world(data, **control.settings) as w:
            await control.scenario(w)
            report = await w.verdict(control.rest_s)
    return {
        result.invariant.number: [" ".join(finding) for finding in result.findings]
        for result in report.results
        if not result.ok
    }


@every_control
async def test_a_broken_rule_turns_its_invariant_red(control, tmp_path):
    found = await live_through(control, tmp_path, (*control.given, *control.broken))
    assert control.red <= set(found), found


@every_control
async def test_the_same_with_right_code_stays_green(control, tmp_path):
    assert await live_through(control, tmp_path, ()) == {}


@pytest.mark.parametrize(
    "control", [one for one in CONTROLS if one.given], ids=lambda one: one.rule
)
async def test_the_rule_alone_saves_what_the_others_would_lose(control, tmp_path):
    found = await live_through(control, tmp_path, control.given)
    assert not control.red & set(found), found
