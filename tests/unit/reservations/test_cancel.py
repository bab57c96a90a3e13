"""The buyer's cancel, over the real mesh on virtual time.

Only a confirmed reservation, only by its owner, as often as one likes; wherever the capture stands, in the end the
money is where it was and the seats are free.
"""

import asyncio

import pytest

from reservations.domain import OPEN, PUBLIC_STATUS, State
from tests.support.invariants import books
from tests.support.mesh import mesh
from tests.unit.reservations.cancelling import (
    EMAIL,
    bought_by,
    cancel,
    cancel_notices,
    entries,
    passes,
    refunded_and_at_rest,
    rows,
)

# --- who and when ---


@pytest.mark.parametrize("token", ["", "x", "0" * 32])
async def test_without_its_token_nothing_is_cancelled_nor_said(tmp_path, token):
    async with mesh(tmp_path) as m:
        bought, other = await bought_by(m), await bought_by(m, user_id="eva")
        for wrong in (token, other["manage_token"]):
            refused = await cancel(m, bought, wrong)
            assert (refused.status_code, refused.json()["code"]) == (403, "not_yours")
            assert refused.headers["content-type"] == "application/problem+json"
        path = f"/api/reservations/{bought['reservation_id']}"
        assert (await m["gateway"].get(path)).json()["status"] == "confirmed"
        assert (await m["gateway"].post(f"{path}/cancel")).json()["code"] == "not_yours"
        await asyncio.sleep(5)
        assert books(tmp_path).violations == []
        assert len(books(tmp_path).confirmed) == 2


async def test_an_unknown_reservation_cannot_be_cancelled(tmp_path):
    async with mesh(tmp_path) as m:
        nobody = {"reservation_id": "nobody", "manage_token": "x"}
        answer = await cancel(m, nobody)
        assert (answer.status_code, answer.json()["code"]) == (404, "reservation_not_found")


async def stored(tmp_path, *states):
    """The one reservation as a buyer would name it, once it is in one of `states`."""

    def found():
        return rows(tmp_path, "reservations.db", "SELECT state FROM reservation")

    await passes(lambda: found() and found()[0][0] in states)
    ((reservation_id, token),) = rows(
        tmp_path, "reservations.db", "SELECT reservation_id, manage_token FROM reservation"
    )
    return {"reservation_id": reservation_id, "manage_token": token}


@pytest.mark.parametrize(
    ("state", "service", "route"),
    [
        (State.RECEIVED, "inventory", "/reserve"),
        (State.HELD, "payments", "/pay"),
        (State.AUTHORIZED, "inventory", "/confirm"),
    ],
)
async def test_too_early_is_refused_and_changes_nothing(tmp_path, state, service, route):
    async with mesh(tmp_path) as m:
        await m.fault(service, "latency", seconds=0.6, route=route)
        buying = asyncio.create_task(m.reserve(email=EMAIL))
        early = await cancel(m, await stored(tmp_path, state))
        assert (early.status_code, early.json()["code"]) == (409, "reservation_in_progress")
        assert int(early.headers["retry-after"]) >= 1
        done = await buying
        assert done.status_code == 200, done.text
        # Once it is confirmed, the very same request is obeyed.
        assert (await cancel(m, done.json())).status_code in (200, 202)
        await m.fault(service, "latency", seconds=0)
        await refunded_and_at_rest(m, tmp_path, done.json())


async def refused(m, tmp_path):
    await m.reserve(seats=["Z-99"])


async def declined(m, tmp_path):
    await m.fault("payments", "fail")
    await m.reserve()


async def payment_timeout(m, tmp_path):
    await m.fault("payments", "latency", seconds=5)
    await m.reserve()


async def unavailable(m, tmp_path):
    await m.fault("inventory", "crash", enabled=True, route="/reserve")
    await m.reserve()


async def cancelling(m, tmp_path):
    await m.fault("payments", "fail")
    await m.fault("inventory", "crash", enabled=True, route="/release")
    await m.reserve()


async def hold_gone(m, tmp_path):
    await m.fault("payments", "latency", seconds=0.5)
    buying = asyncio.create_task(m.reserve())
    bought = await stored(tmp_path, State.HELD)
    await m["inventory"].post("/release", json={"hold_id": f"{bought['reservation_id']}.1"})
    assert (await buying).json()["code"] == "hold_gone"


@pytest.mark.parametrize(
    ("arrange", "state"),
    [
        (refused, State.REFUSED),
        (declined, State.DECLINED),
        (payment_timeout, State.PAYMENT_TIMEOUT),
        (unavailable, State.UNAVAILABLE),
        (cancelling, State.CANCELLING),
        (hold_gone, State.CANCELLED),
    ],
)
async def test_what_was_never_sold_cannot_be_cancelled(tmp_path, arrange, state):
    async with mesh(tmp_path) as m:
        await arrange(m, tmp_path)
        answer = await cancel(m, await stored(tmp_path, state))
        assert (answer.status_code, answer.json()["code"]) == (409, "invalid_state")
        for service in ("payments", "inventory"):
            await m[service].delete("/chaos")
        await passes(lambda: books(tmp_path).violations == [], 60)
        await asyncio.sleep(5)
        assert books(tmp_path) == ({}, [])
        assert cancel_notices(tmp_path) == []
        assert {"capture", "refund"}.isdisjoint(entries(tmp_path))


def test_the_states_above_and_those_below_are_all_there_are():
    early = {State.RECEIVED, State.HELD, State.AUTHORIZED}
    over = {state for state in State if PUBLIC_STATUS[state] == "cancelled"}
    sold = {State.CONFIRMED, State.REFUNDING, State.REFUNDED}
    assert early | over | sold == set(State)
    assert early < set(OPEN)


# --- where the capture stands ---


async def test_after_the_capture_the_money_is_refunded(tmp_path):
    async with mesh(tmp_path) as m:
        bought = await bought_by(m)
        await passes(lambda: "capture" in entries(tmp_path))
        done = await cancel(m, bought)
        assert (done.status_code, done.json()["status"]) == (200, "refunded"), done.text
        await refunded_and_at_rest(m, tmp_path, bought)
    assert entries(tmp_path) == ["authorize", "capture", "refund"]


async def test_before_the_capture_the_authorization_is_voided(tmp_path):
    """REFUNDING supersedes the unsent capture in its own commit: not a cent is ever taken."""
    async with mesh(tmp_path) as m:
        await m.fault("payments", "crash", enabled=True, route="/capture")
        bought = await bought_by(m)
        await asyncio.sleep(3)
        assert (await cancel(m, bought)).status_code == 200
        await m["payments"].delete("/chaos")
        await refunded_and_at_rest(m, tmp_path, bought)
    assert entries(tmp_path) == ["authorize", "void"]
    assert rows(tmp_path, "reservations.db", "SELECT state FROM outbox WHERE kind = 'capture'") == [
        ("SUPERSEDED",)
    ]


async def test_during_the_capture_it_ends_captured_then_refunded(tmp_path):
    """The provider is taking the money at this moment: it is let finish, then gives it back."""
    async with mesh(tmp_path, provider_latency_s=1.0) as m:
        bought = await bought_by(m)

        def state():
            ((found,),) = rows(tmp_path, "payments.db", "SELECT state FROM payment")
            return found

        await passes(lambda: state() == "CAPTURE_PENDING")
        answer = await cancel(m, bought)
        assert state() == "CAPTURE_PENDING"
        assert answer.status_code in (200, 202)
        await refunded_and_at_rest(m, tmp_path, bought)
        assert state() == "REFUNDED"
    assert entries(tmp_path) == ["authorize", "capture", "refund"]


async def test_a_capture_that_is_late_on_the_wire_meets_the_void(tmp_path):
    async with mesh(tmp_path) as m:
        await m.fault("payments", "latency", seconds=2.0, route="/capture")
        bought = await bought_by(m)
        await asyncio.sleep(0.5)  # the request is on its way
        assert (await cancel(m, bought)).status_code == 200
        await m.fault("payments", "latency", seconds=0)
        await refunded_and_at_rest(m, tmp_path, bought)
    assert entries(tmp_path) == ["authorize", "void"]


async def test_a_capture_whose_answer_was_lost_is_refunded(tmp_path):
    async with mesh(tmp_path) as m:
        await m.fault("payments", "lost_reply", enabled=True, route="/capture")
        bought = await bought_by(m)
        await passes(lambda: "capture" in entries(tmp_path))
        assert (await cancel(m, bought)).status_code == 200
        await m["payments"].delete("/chaos")
        await refunded_and_at_rest(m, tmp_path, bought)
    assert entries(tmp_path) == ["authorize", "capture", "refund"]


@pytest.mark.parametrize("moment_ms", range(0, 1600, 200))
async def test_at_any_moment_no_money_is_kept(tmp_path, moment_ms):
    """The capture takes 0.7 s on the wire and 0.5 s at the provider: the cancel comes somewhere in between."""
    async with mesh(tmp_path, provider_latency_s=0.5) as m:
        await m.fault("payments", "latency", seconds=0.7, route="/capture")
        bought = await bought_by(m)
        await asyncio.sleep(moment_ms / 1000)
        assert (await cancel(m, bought)).status_code in (200, 202)
        await m.fault("payments", "latency", seconds=0)
        await refunded_and_at_rest(m, tmp_path, bought)
    assert entries(tmp_path) in (["authorize", "void"], ["authorize", "capture", "refund"])


# --- as often as one likes ---


async def test_repeating_it_is_fine_and_does_it_once(tmp_path):
    async with mesh(tmp_path) as m:
        bought = await bought_by(m)
        await asyncio.sleep(2)
        answers = [await cancel(m, bought) for _ in range(4)]
        await asyncio.sleep(30)
        answers += [await cancel(m, bought) for _ in range(2)]
        assert [(a.status_code, a.json()["status"]) for a in answers] == [(200, "refunded")] * 6
        await refunded_and_at_rest(m, tmp_path, bought)
    assert entries(tmp_path).count("refund") == 1


@pytest.mark.parametrize("seed", range(4))
async def test_many_at_once_are_one(tmp_path, seed):
    async with mesh(tmp_path, seed=seed, gateway_max_inflight=50) as m:
        bought = await bought_by(m)
        await asyncio.sleep(0.1 * seed)
        answers = await asyncio.gather(*(cancel(m, bought) for _ in range(12)))
        assert {a.status_code for a in answers} <= {200, 202}
        assert {a.json()["status"] for a in answers} <= {"refunded", "pending"}
        await refunded_and_at_rest(m, tmp_path, bought)
    assert entries(tmp_path) in (["authorize", "void"], ["authorize", "capture", "refund"])


async def test_a_replay_of_the_purchase_says_that_it_was_given_back(tmp_path):
    headers = {"idempotency-key": "k" * 20}
    async with mesh(tmp_path) as m:
        bought = await bought_by(m, headers=headers)
        assert (await cancel(m, bought)).status_code == 200
        again = await m.reserve(email=EMAIL, headers=headers)
        assert (again.status_code, again.json()["status"]) == (200, "refunded")
        assert again.headers["idempotent-replayed"] == "true"
        await refunded_and_at_rest(m, tmp_path, bought)
