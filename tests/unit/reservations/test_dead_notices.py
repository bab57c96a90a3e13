"""A notice that notifications gave up: what the outbox keeps, and how a resend comes back to the buyer's view."""

from contextlib import asynccontextmanager

import pytest

from chassis.runtime import simulated
from chassis.sqlite import Writer
from chassis.telemetry import Metrics
from reservations.domain import State
from reservations.schemas import ReserveRequest
from reservations.store import SCHEMA, Arrow, Mark, OutboxStore, SagaStore

CAPTURE, CONFIRMED, CANCELLED = "r1.1", "r1.confirmed", "r1.cancelled"
REQUEST = ReserveRequest(
    reservation_id="r1",
    delivery_id="d1",
    scope="reserve:ana",
    key="k" * 16,
    fingerprint="0" * 64,
    user_id="ana",
    event_id="concert-01",
    quantity=1,
)


@asynccontextmanager
async def sold(tmp_path):
    """A confirmed reservation that owes a capture, and then, cancelled, two notices."""
    runtime, metrics = simulated(1, {}), Metrics()
    path = tmp_path / "reservations.db"
    async with Writer.open(path, SCHEMA, runtime, metrics, plan=lambda: None) as writer:
        sagas = SagaStore(writer, runtime, metrics, owner="me", lease_s=30.0)
        row, _ = await sagas.accept(REQUEST, run_id="run", manage_token="token")
        owed = (("capture", CAPTURE, {}, 0.0), ("notify", CONFIRMED, {}, 0.0))
        for target, outbox in ((State.HELD, ()), (State.AUTHORIZED, ()), (State.CONFIRMED, owed)):
            row = await sagas.advance(row, Arrow(target, "test", {}, outbox=outbox))
        yield sagas, OutboxStore(writer, runtime, metrics), row


async def keys(outbox, kind):
    return [parcel.key for parcel in await outbox.due(kind, limit=9)]


async def notice(sagas):
    return next(one.state for one in (await sagas.view("r1"))[2] if one.kind == "notify")


async def dead_keys(outbox):
    return [parcel.key for parcel in await outbox.dead_notices(limit=9)]


async def test_a_dead_notice_is_reported_once_kept_and_not_sent_again(tmp_path):
    async with sold(tmp_path) as (sagas, outbox, _):
        assert await outbox.mark([Mark(CONFIRMED, "DEAD", "dead")]) == [CONFIRMED]
        assert await keys(outbox, "notify") == []
        assert await dead_keys(outbox) == [CONFIRMED]
        assert await notice(sagas) == "DEAD"
        assert (await sagas.counts())["outbox_dead"] == 1


@pytest.mark.parametrize(
    ("status", "state", "due"),
    [
        ("delivered", "SENT", []),
        ("accepted", "PENDING", [CONFIRMED]),
        ("dead", "DEAD", []),
        ("no such status", "DEAD", []),
    ],
)
async def test_it_becomes_what_notifications_says(tmp_path, status, state, due):
    async with sold(tmp_path) as (sagas, outbox, _):
        await outbox.mark([Mark(CONFIRMED, "DEAD", "dead")])
        await outbox.revive({CONFIRMED: status})
        assert (await notice(sagas), await keys(outbox, "notify")) == (state, due)


async def test_it_holds_no_later_notice_back(tmp_path):
    async with sold(tmp_path) as (sagas, outbox, row):
        await outbox.mark([Mark(CONFIRMED, "DEAD", "dead")])
        going = await sagas.advance(row, Arrow(State.REFUNDING, "cancel", {}))
        owed = (("notify", CANCELLED, {}, 0.0),)
        await sagas.advance(going, Arrow(State.REFUNDED, "refund", {}, outbox=owed))
        assert await keys(outbox, "notify") == [CANCELLED]
        await outbox.revive({CONFIRMED: "accepted"})
        assert await keys(outbox, "notify") == [CONFIRMED], "alive again, it goes first again"


async def test_a_dead_capture_is_never_revived(tmp_path):
    """Money needs a person: no answer of anybody's makes that row right by itself."""
    async with sold(tmp_path) as (sagas, outbox, _):
        assert await outbox.mark([Mark(CAPTURE, "DEAD", "voided")]) == [CAPTURE]
        assert await dead_keys(outbox) == []
        await outbox.revive({CAPTURE: "delivered"})
        assert (await sagas.counts())["outbox_dead"] == 1


async def test_a_superseded_capture_is_no_dead_letter(tmp_path):
    """It was on the wire when the buyer cancelled, and came back "voided": that is as it should be."""
    async with sold(tmp_path) as (sagas, outbox, row):
        await sagas.advance(row, Arrow(State.REFUNDING, "cancel", {}))
        assert await outbox.mark([Mark(CAPTURE, "DEAD", "voided")]) == []
        assert "outbox_dead" not in await sagas.counts()
