"""Every experiment on a real mesh by our own runner, some with a rule broken. By both runners: tests/experiments."""

import asyncio

import pytest
import pytest_asyncio

from chaos.experiment.files import names
from chaos.experiment.journal import held
from tests.experiments.__main__ import CONTROLS, mesh, ours, red, verdict

pytestmark = pytest.mark.asyncio(loop_scope="module")

OURS = names()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runs():
    """A task for each experiment; two meshes share them, because most of it is waiting."""
    async with mesh() as first, mesh() as second:
        tasks = {}
        for stack, half in ((first, OURS[::2]), (second, OURS[1::2])):
            turn = asyncio.Lock()
            tasks |= {name: asyncio.create_task(in_turn(name, stack, turn)) for name in half}
        yield tasks
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


async def in_turn(name, stack, turn):
    async with turn:
        return await ours(name, stack)


@pytest.mark.parametrize("name", OURS)
async def test_an_experiment_holds_and_its_books_are_true(name, runs):
    ran = await runs[name]
    assert ran.exit_code == 0, ran.output
    assert held(ran.journal), verdict(ran)
    assert ran.journal["audit"]["ok"]
    assert [one["status"] for one in ran.journal["rollbacks"]] in (["succeeded"], [])


async def test_what_a_method_wants_to_show_is_seen(runs):
    """It does not count in the verdict, but an experiment that breaks nothing would hold as well."""
    missed = [
        f"{name}: {one['activity']['name']}: {one['output']}"
        for name, task in runs.items()
        for one in (await task).journal["run"]
        if one.get("tolerance_met") is False
    ]
    assert missed == []


@pytest.mark.slow
@pytest.mark.parametrize("control", CONTROLS[1:3], ids=lambda one: one.experiment)
async def test_with_a_rule_broken_it_fails(control):
    async with mesh(control) as stack:
        ran = await ours(control.experiment, stack)
    assert ran.exit_code == 1, ran.output
    assert not held(ran.journal)
    assert control.red <= red(ran)
