"""The switches over HTTP."""

import httpx
import pytest

from chaos.faults import Faults
from tests.unit.chaos.faults_app import HandClock, make_app


@pytest.fixture
def faults() -> Faults:
    return Faults(HandClock().runtime(), "payments", {"latency": "/pay"})


def client(faults: Faults) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(make_app(faults))
    return httpx.AsyncClient(transport=transport, base_url="http://service")


async def test_list_shows_every_switch_with_its_state(faults):
    faults.switch_on("latency", seconds=20)
    answer = (await client(faults).get("/chaos")).json()
    assert answer["service"] == "payments"
    found = {fault["name"]: fault for fault in answer["faults"]}
    assert found["latency"]["enabled"] is True
    assert found["latency"]["seconds"] == 20
    assert found["latency"]["route"] == "/pay"
    assert found["latency"]["left_s"] == 300
    assert found["crash"] == found["crash"] | {"enabled": False, "seconds": None, "left_s": 0}


@pytest.mark.parametrize(
    ("fault", "body", "enabled"),
    [
        ("crash", {"enabled": True}, True),
        ("crash", {"enabled": False}, False),
        ("latency", {"seconds": 20}, True),
        ("latency", {"seconds": 0}, False),
        ("latency", {"enabled": True}, True),
        ("latency", {"enabled": False, "seconds": 20}, False),
        ("error", {"enabled": True, "probability": 0.2, "ttl_s": 60, "route": "*"}, True),
    ],
)
async def test_switching(faults, fault, body, enabled):
    response = await client(faults).post(f"/chaos/{fault}", json=body)
    assert response.status_code == 200
    assert response.json()["enabled"] is enabled
    assert (faults.active(fault) is not None) is enabled


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"seconds": -1},
        {"enabled": True, "probability": 2},
        {"enabled": True, "ttl_s": 3601},
        {"enabled": True, "ttl_s": 0},
        {"enabled": True, "route": "pay"},
        {"enabled": True, "other": 1},
        {"seconds": 1e9},
    ],
)
async def test_a_bad_order_is_422_and_changes_nothing(faults, body):
    response = await client(faults).post("/chaos/latency", json=body)
    assert response.status_code == 422
    assert faults.active("latency") is None


async def test_seconds_for_a_fault_without_length_is_422(faults):
    assert (await client(faults).post("/chaos/crash", json={"seconds": 5})).status_code == 422


async def test_unknown_fault_is_a_404_problem_in_both_languages(faults):
    response = await client(faults).post("/chaos/nothing", json={"enabled": True})
    assert response.status_code == 404
    assert response.json()["code"] == "fault_not_found"
    assert response.headers["content-language"] == "es"
    headers = {"Accept-Language": "en-GB"}
    response = await client(faults).post("/chaos/nothing", json={"seconds": 3}, headers=headers)
    assert response.json()["title"] == "Unknown fault"


async def test_delete_switches_everything_off(faults):
    faults.switch_on("crash")
    faults.switch_on("fail")
    answer = (await client(faults).delete("/chaos")).json()
    assert not any(fault["enabled"] for fault in answer["faults"])
