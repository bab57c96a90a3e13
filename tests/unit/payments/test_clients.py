"""The simulated provider keeps the promises that the protocol demands of any provider."""

from contextlib import asynccontextmanager

import pytest

from chassis.runtime import simulated
from chassis.sqlite import Writer
from chassis.telemetry import Metrics
from payments.clients import PROVIDER_SCHEMA, NoAnswer, OutOfOrder, SimulatedProvider


@pytest.fixture
def open_provider(tmp_path):
    @asynccontextmanager
    async def opener(*, declines=False, latency_s=0.0, plan=lambda: None):
        runtime = simulated(7, {})
        path = tmp_path / "provider.db"
        async with Writer.open(path, PROVIDER_SCHEMA, runtime, Metrics(), plan=plan) as writer:
            yield SimulatedProvider(writer, runtime, declines=lambda: declines, latency_s=latency_s)

    return opener


async def test_every_action_may_be_repeated_and_is_entered_once(open_provider, entries):
    async with open_provider() as provider:
        for _ in range(2):
            assert await provider.authorize("p.1", 5000, "USD") == "authorized"
        for _ in range(2):
            await provider.capture("p.1")
        for _ in range(2):
            await provider.refund("p.1")
        await provider.capture("p.1")
        assert await provider.lookup("p.1") == "refunded"
    assert entries() == [
        ("p.1", "authorize", 5000),
        ("p.1", "capture", 5000),
        ("p.1", "refund", 5000),
    ]


async def test_a_tombstone_refuses_the_late_authorization(open_provider, entries):
    async with open_provider() as provider:
        await provider.void("p.1")
        await provider.void("p.1")
        assert await provider.authorize("p.1", 5000, "USD") == "voided"
        with pytest.raises(OutOfOrder):
            await provider.capture("p.1")
    assert entries() == [("p.1", "tombstone", 0)]


async def test_an_authorization_can_be_voided_and_a_capture_cannot(open_provider, entries):
    async with open_provider() as provider:
        await provider.authorize("p.1", 5000, "USD")
        await provider.void("p.1")
        await provider.authorize("p.2", 7000, "USD")
        await provider.capture("p.2")
        with pytest.raises(OutOfOrder):
            await provider.void("p.2")
        with pytest.raises(OutOfOrder):
            await provider.refund("p.1")
    assert [entry[1] for entry in entries()] == ["authorize", "void", "authorize", "capture"]


async def test_a_declined_reference_stays_declined_until_it_is_closed(open_provider, entries):
    async with open_provider(declines=True) as provider:
        assert await provider.authorize("p.1", 5000, "USD") == "declined"
    async with open_provider(declines=False) as provider:
        assert await provider.authorize("p.1", 5000, "USD") == "declined"
        await provider.void("p.1")
        assert await provider.lookup("p.1") == "voided"
    assert [entry[1] for entry in entries()] == ["decline", "tombstone"]


async def test_books_that_fail_are_no_answer(open_provider):
    """A provider's trouble is our "unknown", whatever it was."""
    async with open_provider(plan=lambda: "after") as provider:
        with pytest.raises(NoAnswer):
            await provider.authorize("p.1", 5000, "USD")
    async with open_provider() as provider:
        assert await provider.lookup("p.1") == "authorized"
        assert await provider.lookup("p.2") is None
