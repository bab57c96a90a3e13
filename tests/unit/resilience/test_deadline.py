"""The ambient deadline: it shrinks, it travels into tasks, and it ends with its block."""

import asyncio

import pytest

from resilience import deadline, without_deadline


async def test_there_is_none_outside_a_block():
    assert deadline.remaining_s() is None
    async with deadline(2.0):
        assert deadline.remaining_s() == pytest.approx(2.0)
    assert deadline.remaining_s() is None


async def test_it_runs_down():
    with deadline(2.0):
        await asyncio.sleep(0.5)
        assert deadline.remaining_s() == pytest.approx(1.5)
        await asyncio.sleep(2.0)
        assert deadline.remaining_s() == pytest.approx(-0.5)


async def test_nested_ones_only_shrink():
    with deadline(1.0):
        with deadline(5.0):
            assert deadline.remaining_s() == pytest.approx(1.0)
        with deadline(0.2):
            assert deadline.remaining_s() == pytest.approx(0.2)
        assert deadline.remaining_s() == pytest.approx(1.0)


async def test_without_deadline_drops_it_for_a_block():
    with deadline(1.0):
        async with without_deadline():
            assert deadline.remaining_s() is None
            with deadline(9.0):
                assert deadline.remaining_s() == pytest.approx(9.0)
        assert deadline.remaining_s() == pytest.approx(1.0)


async def test_tasks_inherit_it_and_cannot_change_their_parents():
    async def child() -> float | None:
        with deadline(0.1):
            await asyncio.sleep(0)
            return deadline.remaining_s()

    with deadline(1.0):
        assert await asyncio.create_task(child()) == pytest.approx(0.1)
        assert deadline.remaining_s() == pytest.approx(1.0)


async def test_it_ends_when_the_block_raises():
    with pytest.raises(LookupError), deadline(1.0):
        raise LookupError
    assert deadline.remaining_s() is None


async def test_one_object_cannot_be_entered_twice_at_once():
    block = deadline(1.0)
    with block, pytest.raises(RuntimeError, match="already entered"), block:
        pass
    with block:  # one after the other is fine
        assert deadline.remaining_s() == pytest.approx(1.0)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
def test_seconds_must_be_finite(seconds):
    with pytest.raises(ValueError, match="finite"):
        deadline(seconds)
