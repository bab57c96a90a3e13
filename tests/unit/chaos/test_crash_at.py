"""The fault `crash_at`: where it strikes, how often, and what it costs while it is off."""

import httpx
import pytest

from chaos.faults import Faults, PointNotFound
from tests.unit.chaos.faults_app import HandClock, make_app


def parts(lots=None):
    clock, exits = HandClock(lots), []
    faults = Faults(
        clock.runtime(),
        "reservations",
        points=("hold.before", "hold.called"),
        exit_process=exits.append,
    )
    return clock, faults, exits


def test_the_process_ends_at_its_point_and_nowhere_else():
    _, faults, exits = parts()
    faults.switch_on("crash_at", point="reservations.hold.called")
    faults.reach("hold", "before")
    assert exits == []
    faults.reach("hold", "called")
    assert exits == [137]


def test_it_strikes_once():
    _, faults, exits = parts()
    faults.switch_on("crash_at", point="reservations.hold.called")
    faults.reach("hold", "called")
    faults.reach("hold", "called")
    assert exits == [137]
    assert faults.active("crash_at") is None


def test_without_a_point_it_strikes_at_whichever_comes_next():
    _, faults, exits = parts()
    faults.switch_on("crash_at")
    faults.reach("hold", "before")
    assert exits == [137]


def test_off_or_over_it_does_nothing():
    clock, faults, exits = parts()
    faults.reach("hold", "before")
    faults.switch_on("crash_at", ttl_s=5)
    clock.now += 5
    faults.reach("hold", "before")
    assert faults.store_plan() is None
    assert exits == []


def test_a_probability_lets_some_pass():
    _, faults, exits = parts(lots=[0.9, 0.1])
    faults.switch_on("crash_at", probability=0.5)
    faults.reach("hold", "before")
    assert exits == []
    faults.reach("hold", "called")
    assert exits == [137]


def test_a_batch_can_be_struck_before_its_commit_and_after_it():
    _, faults, exits = parts()
    faults.switch_on("crash_at", point="reservations.batch.before")
    faults.store_plan()
    assert exits == [137]
    faults.switch_on("crash_at", point="reservations.batch.after")
    after = faults.store_plan()
    assert exits == [137]
    after()
    assert exits == [137, 137]


def test_a_point_that_does_not_exist_is_refused():
    _, faults, _ = parts()
    with pytest.raises(PointNotFound):
        faults.switch_on("crash_at", point="reservations.nowhere")
    with pytest.raises(PointNotFound):
        faults.switch_on("latency", point="reservations.hold.before")


async def test_the_points_are_listed_and_chosen_over_http():
    _, faults, exits = parts()
    transport = httpx.ASGITransport(make_app(faults))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        listed = {one["name"]: one for one in (await client.get("/chaos")).json()["faults"]}
        assert listed["crash_at"]["points"] == [
            "reservations.batch.before",
            "reservations.batch.after",
            "reservations.hold.before",
            "reservations.hold.called",
        ]
        assert listed["latency"]["points"] == []
        order = {"enabled": True, "point": "reservations.hold.before"}
        switched = await client.post("/chaos/crash_at", json=order)
        assert switched.json()["point"] == "reservations.hold.before"
        for fault, point in (("crash_at", "reservations.nowhere"), ("latency", "*")):
            answer = await client.post(f"/chaos/{fault}", json={"enabled": True, "point": point})
            assert answer.status_code == (422 if point != "*" else 200)
    faults.reach("hold", "before")
    assert exits == [137]
