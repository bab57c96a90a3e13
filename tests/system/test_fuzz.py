"""The shortest fuzzing run there is, of every service: `python3 dev.py fuzz` is the long one."""

import pytest

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
