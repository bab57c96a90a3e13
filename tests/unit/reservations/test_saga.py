"""The saga over the real mesh, in one process on virtual time: what buyers are told, and what is true afterwards."""

import asyncio
import sqlite3

import pytest

from chassis.errors import StorageUnavailable
from reservations.domain import ARROWS, MAY_SAY, OPEN, State, when_unknown
from reservations.saga import STEPS
from reservations.store import SagaStore
from tests.support.invariants import books
from tests.support.mesh import mesh

KEY = "k" * 20


def rows(tmp_path, database, sql):
    db = sqlite3.connect(tmp_path / database)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


async def at_rest(tmp_path):
    """Long enough for every loop, then nothing is open, held, charged or owed; how many are confirmed."""
    await asyncio.sleep(60)
    found = books(tmp_path)
    assert found.violations == []
    return len(found.confirmed)


async def test_a_reservation_is_confirmed_paid_and_mailed(tmp_path):
    async with mesh(tmp_path) as m:
        answer = await m.reserve(quantity=2, price=50, email="ana@example.com")
        body = answer.json()
        assert answer.status_code == 200, answer.text
        assert body["status"] == "confirmed"
        assert body["message"] == "Reserva confirmada."
        assert body["seats"] == ["A-01", "A-02"]
        assert body["total"] == {"amount_minor": 10000, "currency": "USD"}
        assert body["notification"] == {"sent": True, "detail": None}
        assert await at_rest(tmp_path) == 1
        messages = (await m["notifications"].get("/messages")).json()["messages"]
        assert [message["to"] for message in messages] == ["ana@example.com"]


async def test_the_same_key_gets_the_same_reservation(tmp_path):
    async with mesh(tmp_path) as m:
        headers = {"idempotency-key": KEY}
        first = await m.reserve(headers=headers)
        again = await m.reserve(headers=headers)
        other = await m.reserve(headers=headers, quantity=2)
        assert again.json() == first.json()
        assert again.headers["idempotent-replayed"] == "true"
        assert "idempotent-replayed" not in first.headers
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        assert await at_rest(tmp_path) == 1


async def test_a_failed_look_up_of_the_mail_does_not_hide_a_sale(tmp_path, monkeypatch):
    async with mesh(tmp_path) as m:
        headers = {"idempotency-key": KEY}
        first = await m.reserve(headers=headers)

        async def fails(*_):
            raise StorageUnavailable

        monkeypatch.setattr(SagaStore, "view", fails)
        again = await m.reserve(headers=headers)
        assert again.status_code == 200, again.text
        assert again.json()["status"] == "confirmed"
        assert again.json()["seats"] == first.json()["seats"]
        assert again.json()["notification"]["sent"] is False


async def test_concurrent_deliveries_of_one_key_make_one_reservation(tmp_path):
    async with mesh(tmp_path, gateway_max_inflight=50) as m:
        headers = {"idempotency-key": KEY}
        answers = await asyncio.gather(*(m.reserve(headers=headers) for _ in range(10)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["reservation_id"] for answer in answers}) == 1
        assert await at_rest(tmp_path) == 1


@pytest.mark.parametrize(
    ("wanted", "status", "code"),
    [
        ({"event_id": "nowhere"}, 404, "event_not_found"),
        ({"price": 49}, 409, "price_changed"),
        ({"seats": ["Z-99"]}, 409, "seat_taken"),
    ],
)
async def test_what_inventory_refuses_is_refused_for_good(tmp_path, wanted, status, code):
    async with mesh(tmp_path) as m:
        headers = {"idempotency-key": KEY}
        first = await m.reserve(headers=headers, **wanted)
        again = await m.reserve(headers=headers, **wanted)
        assert (first.status_code, first.json()["code"]) == (status, code), first.text
        assert (again.status_code, again.json()["code"]) == (status, code)
        assert again.headers["idempotent-replayed"] == "true"
        assert first.json()["reservation_id"]
        assert await at_rest(tmp_path) == 0


async def test_a_declined_card_costs_nothing(tmp_path):
    async with mesh(tmp_path) as m:
        await m.fault("payments", "fail")
        answer = await m.reserve()
        assert (answer.status_code, answer.json()["code"]) == (402, "payment_declined")
        assert (await m.event())["available"] == 96
        assert await at_rest(tmp_path) == 0


async def test_a_slow_payment_is_cancelled_and_its_late_self_meets_the_tombstone(tmp_path):
    async with mesh(tmp_path) as m:
        await m.fault("payments", "latency", seconds=5)
        clock = asyncio.get_running_loop().time
        started = clock()
        answer = await m.reserve()
        assert (answer.status_code, answer.json()["code"]) == (504, "payment_timeout")
        assert clock() - started < 4.7
        assert (await m.event())["available"] == 96
        await asyncio.sleep(5)
        ref = f"{answer.json()['reservation_id']}.1"
        assert (await m["payments"].get(f"/payments/{ref}")).json()["status"] == "voided"
        assert (
            rows(
                tmp_path,
                "provider.db",
                "SELECT kind FROM entry WHERE kind IN ('authorize', 'capture')",
            )
            == []
        )
        await m.fault("payments", "latency", seconds=0)
        assert await at_rest(tmp_path) == 0


async def test_a_crashed_inventory_is_said_quickly_and_the_mesh_recovers_alone(tmp_path):
    async with mesh(tmp_path) as m:
        clock = asyncio.get_running_loop().time
        await m.fault("inventory", "crash")
        for _ in range(3):
            started = clock()
            answer = await m.reserve()
            assert (answer.status_code, answer.json()["code"]) == (503, "inventory_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
            assert clock() - started < 1
        started = clock()
        assert (await m.reserve()).json()["code"] == "inventory_unavailable"
        assert clock() - started < 0.05, "the breaker is open"
        await m.fault("inventory", "crash", enabled=False)
        await asyncio.sleep(8)
        assert (await m.reserve()).status_code == 200
        assert await at_rest(tmp_path) == 1


async def test_after_503_the_same_key_starts_a_new_attempt(tmp_path):
    async with mesh(tmp_path) as m:
        headers = {"idempotency-key": KEY}
        await m.fault("inventory", "crash")
        failed = await m.reserve(headers=headers)
        early = await m.reserve(headers=headers)
        await m.fault("inventory", "crash", enabled=False)
        await asyncio.sleep(20)
        done = await m.reserve(headers=headers)
        assert (failed.status_code, done.status_code) == (503, 200), done.text
        assert (early.status_code, early.json()["code"]) == (409, "request_in_progress")
        assert failed.json()["reservation_id"] == done.json()["reservation_id"]
        assert await at_rest(tmp_path) == 1


@pytest.mark.parametrize("seed", range(8))
async def test_a_flapping_database_leaves_nothing_half_done(tmp_path, seed):
    async with mesh(tmp_path, seed=seed, gateway_max_inflight=50) as m:
        await m.fault("reservations", "db_flap", enabled=True, probability=0.6)
        answers = await asyncio.gather(*(m.reserve() for _ in range(12)))
        codes = {answer.json().get("code", answer.json().get("status")) for answer in answers}
        assert codes <= {"confirmed", "pending", "storage_unavailable"}, codes
        await m.fault("reservations", "db_flap", enabled=False)
        sold = await at_rest(tmp_path)
        acknowledged = [answer for answer in answers if answer.status_code == 200]
        refused = [answer for answer in answers if answer.status_code == 503]
        assert len(acknowledged) <= sold <= len(answers) - len(refused)


async def test_a_lost_mail_is_delivered_later(tmp_path):
    async with mesh(tmp_path) as m:
        await m.fault("notifications", "down")
        answer = await m.reserve()
        assert answer.status_code == 200
        assert answer.json()["notification"]["sent"] is False
        assert "se reintentará" in answer.json()["notification"]["detail"]
        await m.fault("notifications", "down", enabled=False)
        assert await at_rest(tmp_path) == 1
        now = (
            await m["gateway"].get(f"/api/reservations/{answer.json()['reservation_id']}")
        ).json()
        assert now["notification"]["sent"] is True


@pytest.mark.parametrize("service", ["inventory", "payments", "notifications"])
@pytest.mark.parametrize("fault", ["lost_reply", "reset", "error", "duplicate"])
async def test_lost_and_doubled_calls_change_no_outcome(tmp_path, service, fault):
    async with mesh(tmp_path, seed=4, gateway_max_inflight=50) as m:
        await m.fault(service, fault, enabled=True, probability=0.3)
        answers = await asyncio.gather(*(m.reserve() for _ in range(15)))
        await m.fault(service, fault, enabled=False)
        sold = await at_rest(tmp_path)
        acknowledged = sum(answer.status_code == 200 for answer in answers)
        pending = sum(answer.status_code == 202 for answer in answers)
        assert acknowledged <= sold <= acknowledged + pending


async def test_a_buyer_who_leaves_cancels_nothing(tmp_path):
    async with mesh(tmp_path) as m:
        await m.fault("inventory", "latency", seconds=0.5)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await m.reserve()
        assert await at_rest(tmp_path) == 1


async def test_a_confirmed_reservation_can_be_cancelled_by_its_owner(tmp_path):
    async with mesh(tmp_path) as m:
        bought = (await m.reserve(email="ana@example.com")).json()
        path = f"/api/reservations/{bought['reservation_id']}"
        token = {"x-manage-token": bought["manage_token"]}
        assert (await m["gateway"].post(f"{path}/cancel")).json()["code"] == "not_yours"
        stranger = (await m["gateway"].get(path)).json()
        owner = (await m["gateway"].get(path, headers=token)).json()
        assert (stranger["email"], owner["email"]) == (None, "ana@example.com")
        done = await m["gateway"].post(f"{path}/cancel", headers=token)
        assert (done.status_code, done.json()["status"]) == (200, "refunded"), done.text
        again = await m["gateway"].post(f"{path}/cancel", headers=token)
        assert (again.status_code, again.json()["status"]) == (200, "refunded")
        assert (await m.event())["available"] == 96
        assert await at_rest(tmp_path) == 0
        messages = (await m["notifications"].get("/messages")).json()["messages"]
        assert {message["template"] for message in messages} == {"confirmed", "cancelled"}


async def test_a_cancel_while_payments_is_away_is_accepted_and_finished_later(tmp_path):
    async with mesh(tmp_path) as m:
        bought = (await m.reserve()).json()
        await asyncio.sleep(5)
        await m.fault("payments", "crash")
        token = {"x-manage-token": bought["manage_token"]}
        path = f"/api/reservations/{bought['reservation_id']}"
        answer = await m["gateway"].post(f"{path}/cancel", headers=token)
        assert (answer.status_code, answer.json()["status"]) == (202, "pending")
        await m.fault("payments", "crash", enabled=False)
        await asyncio.sleep(30)
        assert (await m["gateway"].get(path)).json()["status"] == "refunded"
        assert await at_rest(tmp_path) == 0
        assert rows(tmp_path, "payments.db", "SELECT state FROM payment") == [("REFUNDED",)]


async def test_unknown_reservations_are_404(tmp_path):
    async with mesh(tmp_path) as m:
        answer = await m["gateway"].get("/api/reservations/nobody")
        assert (answer.status_code, answer.json()["code"]) == (404, "reservation_not_found")


def test_every_open_state_has_a_step_and_every_step_an_open_state():
    assert set(STEPS) == set(OPEN)


def test_every_arrow_leaves_a_state_that_some_arrow_reaches():
    reached = {target for _, target in ARROWS}
    assert {source for source, _ in ARROWS if source is not None} <= reached
    assert reached == set(State)


def test_an_unknown_commit_is_never_taken_for_a_failure():
    """Before AUTHORIZED was submitted 503, after it 202: never a refusal of money or seat."""
    for submitted, known in MAY_SAY:
        if submitted is not known:
            assert when_unknown(submitted, known) in ("storage_unavailable", "pending")


async def test_a_client_that_comes_too_often_is_told_when_to_come_back(tmp_path):
    async with mesh(tmp_path, gateway_rate_per_s=1, gateway_rate_burst=2) as m:
        answers = [await m.reserve() for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        refused = answers[-1]
        assert refused.json()["code"] == "rate_limited"
        assert refused.headers["x-shed"] == "1"
        assert int(refused.headers["retry-after"]) >= 1
        await asyncio.sleep(2)
        assert (await m.reserve()).status_code == 200
        assert await at_rest(tmp_path) == 3
