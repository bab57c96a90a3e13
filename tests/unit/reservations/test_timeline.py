"""The timeline of a reservation: every step, attempt, wait, error and compensation, to scale."""

import asyncio
import itertools
import sqlite3
from contextlib import closing
from datetime import datetime

import pytest

from reservations.clients import MOST_TRIES
from reservations.domain import Errand, Line, Try, timeline
from tests.support.mesh import mesh
from tests.unit.reservations.cancelling import bought_by, cancel


async def moments(m, reservation_id: str) -> list[dict]:
    answer = await m["gateway"].get(f"/api/reservations/{reservation_id}")
    return answer.json()["timeline"]


def told(found: list[dict], *names: str) -> list[tuple]:
    return [tuple(one[name] for name in names) for one in found]


def began_s(moment: dict) -> float:
    return datetime.fromisoformat(moment["at"]).timestamp() - (moment["duration_ms"] or 0) / 1000


def ended_s(moment: dict) -> float:
    return datetime.fromisoformat(moment["at"]).timestamp()


async def test_a_sale_is_its_steps_and_what_it_owes(tmp_path):
    async with mesh(tmp_path) as m:
        bought = (await m.reserve()).json()
        assert "capture" in [one["step"] for one in await moments(m, bought["reservation_id"])]
        await asyncio.sleep(5)
        found = await moments(m, bought["reservation_id"])
    assert told(found, "step", "outcome", "kind", "service") == [
        ("accept", "RECEIVED", "step", "reservations"),
        ("hold", "HELD", "step", "inventory"),
        ("authorize", "AUTHORIZED", "step", "payments"),
        ("sell", "CONFIRMED", "step", "inventory"),
        ("notify", "SENT", "step", "notifications"),
        ("capture", "SENT", "step", "payments"),
    ]
    assert found[0]["duration_ms"] is None
    assert all(one["duration_ms"] is not None for one in found[1:])
    assert found[-1]["duration_ms"] < 1000
    with closing(sqlite3.connect(tmp_path / "reservations.db")) as db:
        assert db.execute("SELECT COUNT(*) FROM saga_try").fetchone() == (0,)


async def test_a_mail_that_left_at_once_is_told_so_before_the_outbox_ticks_it_off(tmp_path):
    async with mesh(tmp_path) as m:
        bought = (await m.reserve()).json()
        found = await moments(m, bought["reservation_id"])
    (notice,) = (one for one in found if one["step"] == "notify")
    assert (notice["outcome"], notice["kind"]) == ("SENT", "step")
    assert notice["duration_ms"] < 100


async def test_a_mail_that_cannot_leave_is_a_wait(tmp_path):
    async with mesh(tmp_path) as m:
        await m.fault("notifications", "down")
        bought = (await m.reserve()).json()
        found = await moments(m, bought["reservation_id"])
    (notice,) = (one for one in found if one["step"] == "notify")
    assert (notice["outcome"], notice["kind"], notice["duration_ms"]) == ("PENDING", "wait", None)


async def test_a_slow_payment_shows_how_long_it_was_waited_for_and_what_undid_it(tmp_path):
    async with mesh(tmp_path) as m:
        await m.fault("payments", "latency", seconds=20)
        refused = await m.reserve()
        assert refused.json()["code"] == "payment_timeout"
        await asyncio.sleep(1)
        found = await moments(m, refused.json()["reservation_id"])
    assert told(found, "step", "kind", "outcome", "service") == [
        ("accept", "step", "RECEIVED", "reservations"),
        ("hold", "step", "HELD", "inventory"),
        ("authorize", "attempt", "timeout", "payments"),
        ("authorize", "error", "CANCELLING", "payments"),
        ("undo", "attempt", "ok", "inventory"),
        ("undo", "attempt", "ok", "payments"),
        ("undo", "compensation", "PAYMENT_TIMEOUT", None),
    ]
    attempt, error = found[2], found[3]
    assert 2800 <= attempt["duration_ms"] <= 3000
    assert attempt["duration_ms"] <= error["duration_ms"] < attempt["duration_ms"] + 50
    assert found[-1]["duration_ms"] < 200


async def test_attempts_of_one_step_stand_behind_each_other_with_their_waits(tmp_path):
    async with mesh(tmp_path) as m:
        await m.fault("inventory", "crash")
        refused = await m.reserve()
        assert refused.json()["code"] == "inventory_unavailable"
        await m.fault("inventory", "crash", enabled=False)
        await asyncio.sleep(20)
        found = await moments(m, refused.json()["reservation_id"])
    holds = [one for one in found if one["step"] == "hold"]
    assert told(holds, "kind", "outcome", "detail")[:4] == [
        ("attempt", "failed", "503"),
        ("wait", "waited", "FailedResponse"),
        ("attempt", "failed", "503"),
        ("wait", "waited", "FailedResponse"),
    ]
    assert holds[-1]["kind"] == "error"
    for before, after in itertools.pairwise(holds[:-1]):
        assert ended_s(before) <= began_s(after) + 0.002
    assert began_s(holds[-1]) <= began_s(holds[0]) + 0.001
    assert ended_s(found[0]) < ended_s(holds[-1]) < ended_s(found[-1])


async def test_a_step_that_learns_nothing_is_an_error_and_the_next_try_comes_after_a_wait(tmp_path):
    async with mesh(tmp_path) as m:
        bought = await bought_by(m)
        await m.fault("payments", "crash")
        await cancel(m, bought)
        await asyncio.sleep(3)
        await m.fault("payments", "crash", enabled=False)
        await asyncio.sleep(30)
        found = await moments(m, bought["reservation_id"])
    refunds = [one for one in found if one["step"] == "refund"]
    kinds = [one["kind"] for one in refunds]
    assert kinds.count("error") >= 1
    assert kinds.count("error") == kinds.count("wait")
    assert (refunds[-1]["kind"], refunds[-1]["outcome"]) == ("compensation", "REFUNDED")
    # What it took in the end does not include the waits before it.
    assert refunds[-1]["duration_ms"] < 500
    last_wait = [one for one in refunds if one["kind"] == "wait"][-1]
    assert began_s(refunds[-1]) >= ended_s(last_wait) - 0.002


async def test_a_breaker_that_lets_nothing_out_is_an_error_of_no_length(tmp_path):
    async with mesh(tmp_path) as m:
        await m.fault("inventory", "crash")
        refused = [await m.reserve(user_id=f"u{index}") for index in range(4)]
        found = await moments(m, refused[-1].json()["reservation_id"])
    holds = [one for one in found if one["step"] == "hold"]
    assert told(holds, "kind", "outcome", "detail", "duration_ms")[0] == (
        "error",
        "rejected",
        "open",
        0,
    )
    assert not any(one["kind"] == "attempt" for one in holds)


def line(at: float, step: str, was: str | None, now: str, *tries: Try) -> Line:
    return Line(at, step, 1, was, now, None, tries)


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (line(5, "recover", "HELD", "HELD"), "wait"),
        (line(5, "recover", "HELD", "CANCELLING"), "error"),
        (line(5, "refund", "REFUNDING", "REFUNDING"), "error"),
        (line(5, "refund", "REFUNDING", "REFUNDED"), "compensation"),
        (line(5, "hold", "RECEIVED", "REFUSED"), "error"),
        (line(5, "sell", "AUTHORIZED", "CONFIRMED"), "step"),
    ],
)
def test_every_line_has_a_kind(last, kind):
    found = timeline([line(1, "accept", None, "RECEIVED"), last], [], 1)
    assert (found[-1].kind, found[-1].took_s) == (kind, 4)


def test_somebody_who_asks_has_waited_for_nothing():
    found = timeline(
        [line(1, "accept", None, "RECEIVED"), line(900, "cancel", "CONFIRMED", "REFUNDING")], [], 1
    )
    assert [one.took_s for one in found] == [None, None]


def test_clocks_that_run_backwards_make_no_negative_lengths():
    errand = Errand("k", "capture", "SENT", 10.0, 9.0, "captured")
    found = timeline(
        [line(5, "accept", None, "RECEIVED"), line(4, "hold", "RECEIVED", "HELD")], [errand], 1
    )
    assert min(one.took_s or 0 for one in found) == 0


async def test_what_is_kept_of_one_step_is_bounded(tmp_path):
    async with mesh(tmp_path) as m:
        await m.fault("payments", "crash")
        for index in range(6):
            await m.reserve(user_id=f"u{index}")
        await asyncio.sleep(120)
    with closing(sqlite3.connect(tmp_path / "reservations.db")) as db:
        most = db.execute("SELECT COUNT(*) AS n FROM saga_try GROUP BY line ORDER BY n DESC")
        assert 0 < most.fetchone()[0] <= MOST_TRIES + 1
