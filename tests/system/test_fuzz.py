"""The shortest fuzzing run there is, of every service: `python3 dev.py fuzz` is the long one."""

import pytest

from tests.fuzz.campaign import campaign
from tests.fuzz.hooks import SERVICES

SEED = 20261201


@pytest.mark.parametrize("service", SERVICES)
async def test_every_answer_is_documented_and_none_is_a_crash(service):
    kinds = (False, True) if service == "gateway" else (False,)
    seen, red = await campaign(service, calls=None, seed=SEED, kinds=kinds, tell=lambda _line: None)
    for one in seen:
        assert one.findings == []
        assert one.crashes == 0
        assert len(one.calls) >= one.operations - 4  # the heavy ones
    assert red == []
