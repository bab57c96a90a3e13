"""The shortest fuzzing run there is, of every service: `python3 dev.py fuzz` is the long one."""

import asyncio

import pytest

import dev
from tests.fuzz.campaign import campaign
from tests.fuzz.hooks import SERVICES

SEED = 20261201


@pytest.mark.parametrize("service", SERVICES)
async def test_every_answer_is_documented_and_none_is_a_crash(service):
    calls = {False: None, True: None} if service == "gateway" else {False: None}
    seen, red = await campaign(service, calls=calls, seed=SEED, tell=lambda _line: None)
    for one in seen:
        assert one.findings == []
        assert one.crashes == 0
        assert len(one.calls) >= one.operations - 4  # the heavy ones
    assert red == []


async def test_the_long_run_beside_the_models_finds_its_tests():
    (command,) = [step for step in dev.steps("fuzz") if "pytest" in step]
    asked = await asyncio.create_subprocess_exec(
        *command, "--collect-only", stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asked.communicate()
    assert asked.returncode == 0, said.decode()
    assert b"test_store_props.py::TestSagas" in said
