"""The buyer's cancel while something fails: never lost, never done twice, never promised before it is true."""

import asyncio

import pytest

from reservations.domain import State
from tests.support.mesh import mesh
from tests.unit.reservations.cancelling import (
    bought_by,
    cancel,
    cancel_notices,
    entries,
    passes,
    refunded_and_at_rest,
    rows,
)


@pytest.mark.parametrize(
    ("service", "fault"),
    [
        ("payments", "crash"),
        ("payments", "hang"),
        ("inventory", "crash"),
        ("inventory", "reset"),
        ("inventory", "lost_reply"),
    ],
)
async def test_while_the_refund_is_open_it_is_202_and_ends_by_itself(tmp_path, service, fault):
    async with mesh(tmp_path) as m:
        bought = await bought_by(m)
        await asyncio.sleep(5)
        await m.fault(service, fault)
        clock = asyncio.get_running_loop().time
        for _ in range(2):
            began_s = clock()
            answer = await cancel(m, bought)
            assert (answer.status_code, answer.json()["status"]) == (202, "pending")
            assert clock() - began_s < 5
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["location"] == f"/api/reservations/{bought['reservation_id']}"
            assert "devolución está en curso" in answer.json()["message"]
        assert cancel_notices(tmp_path) == [], "nothing is promised that is not done"
        await m.fault(service, fault, enabled=False)
        await passes(lambda: cancel_notices(tmp_path) != [], 30)
        assert (await cancel(m, bought)).status_code == 200
        await refunded_and_at_rest(m, tmp_path, bought)


@pytest.mark.parametrize("service", ["payments", "inventory"])
async def test_a_crash_while_refunding_is_taken_up_at_the_next_start(tmp_path, service):
    async with mesh(tmp_path) as m:
        bought = await bought_by(m)
        await asyncio.sleep(5)
        await m.fault(service, "crash")
        assert (await cancel(m, bought)).status_code == 202
    states = "SELECT state FROM reservation"
    assert rows(tmp_path, "reservations.db", states) == [(State.REFUNDING,)]
    async with mesh(tmp_path, seed=2) as m:
        await passes(lambda: rows(tmp_path, "reservations.db", states) == [(State.REFUNDED,)], 10)
        assert (await cancel(m, bought)).status_code == 200
        await refunded_and_at_rest(m, tmp_path, bought)


@pytest.mark.parametrize("seed", range(6))
async def test_a_flapping_database_loses_no_cancellation(tmp_path, seed):
    """No answer promises what is not stored; repeated, it makes one refund, whichever commit took effect."""
    async with mesh(tmp_path, seed=seed) as m:
        bought = await bought_by(m)
        await m.fault("reservations", "db_flap", enabled=True, probability=0.7)
        for _ in range(8):
            answer = await cancel(m, bought)
            match answer.status_code, answer.json():
                case 200, {"status": "refunded"}:
                    pass
                case 202, {"status": "pending"}:
                    pass  # stored, or in doubt: the text promises nothing
                case 503, {"code": "storage_unavailable" | "reservations_unavailable"}:
                    assert answer.headers["retry-after"]
                case _:
                    pytest.fail(answer.text)
        await m.fault("reservations", "db_flap", enabled=False)
        await asyncio.sleep(6)  # the gateway's breaker closes again
        assert (await cancel(m, bought)).status_code in (200, 202)
        await refunded_and_at_rest(m, tmp_path, bought)


@pytest.mark.parametrize("service", ["inventory", "payments", "notifications"])
@pytest.mark.parametrize("fault", ["lost_reply", "reset", "error", "duplicate"])
async def test_lost_and_doubled_calls_make_one_refund_and_one_notice(tmp_path, service, fault):
    async with mesh(tmp_path, seed=3) as m:
        bought = await bought_by(m)
        await asyncio.sleep(1)
        await m.fault(service, fault, enabled=True, probability=0.6)
        assert (await cancel(m, bought)).status_code in (200, 202)
        await asyncio.sleep(20)
        await m.fault(service, fault, enabled=False)
        await refunded_and_at_rest(m, tmp_path, bought)
    assert entries(tmp_path).count("refund") <= 1


async def test_a_buyer_who_leaves_has_cancelled_all_the_same(tmp_path):
    async with mesh(tmp_path) as m:
        bought = await bought_by(m)
        await m.fault("inventory", "latency", seconds=0.4, route="/release")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await cancel(m, bought)
        await m.fault("inventory", "latency", seconds=0)
        await refunded_and_at_rest(m, tmp_path, bought)


async def test_the_notices_leave_in_order_and_each_once(tmp_path):
    """The mail was down for both: the buyer must not read "cancelled" before "confirmed"."""
    async with mesh(tmp_path) as m:
        await m.fault("notifications", "down")
        bought = await bought_by(m)
        assert (await cancel(m, bought)).status_code in (200, 202)
        await asyncio.sleep(20)
        await m.fault("notifications", "down", enabled=False)
        await refunded_and_at_rest(m, tmp_path, bought)
    sent = rows(
        tmp_path,
        "notifications.db",
        "SELECT notification_id FROM mailbox JOIN message ON number = message ORDER BY at",
    )
    assert [ref.rpartition(".")[2] for (ref,) in sent] == ["confirmed", "cancelled"]
