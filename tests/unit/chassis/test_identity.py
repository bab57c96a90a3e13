"""Who may call what: tokens, their files, rotation, and the rules that a guard holds."""

import dataclasses
import json
import os
import stat
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi import APIRouter

from chaos import credentials
from chassis import runtime
from chassis.credentials import CredentialsUnusable, FileCredentials, LabCredentials, lab_token
from chassis.identity import PUBLIC, declared
from chassis.settings import ServiceSettings
from tests.support.mesh import mesh

SERVICES = ("gateway", "reservations", "inventory", "payments", "notifications")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = "a-key-for-the-tests"


class Hand:
    """A runtime whose clocks are moved by hand."""

    def __init__(self):
        self.at_s = 0.0
        self.runtime = dataclasses.replace(
            runtime.simulated(1, {}),
            now=lambda: NOW + timedelta(seconds=self.at_s),
            mono=lambda: self.at_s,
        )


def opened(folder, service, hand):
    return FileCredentials(credentials.path_of(folder, service), service, hand.runtime)


def shown(file: FileCredentials, callee: str) -> bytes:
    return (file.bearer(callee) or "").removeprefix("Bearer ").encode()


def test_every_caller_is_known_to_every_callee_by_a_token_of_its_own(tmp_path):
    credentials.make(tmp_path, SERVICES)
    hand = Hand()
    files = {name: opened(tmp_path, name, hand) for name in SERVICES}
    seen = set()
    for caller in SERVICES:
        for callee in SERVICES:
            if caller == callee:
                continue
            token = shown(files[caller], callee)
            seen.add(token)
            assert {name: files[name].caller(token) for name in SERVICES} == {
                **dict.fromkeys(SERVICES),
                callee: caller,
            }
    assert len(seen) == len(SERVICES) * (len(SERVICES) - 1)


def test_files_are_their_owners_alone_and_those_who_are_called_hold_no_token_of_their_callers(
    tmp_path,
):
    credentials.make(tmp_path, SERVICES)
    hand = Hand()
    token = shown(opened(tmp_path, "gateway", hand), "inventory").decode()
    path = credentials.path_of(tmp_path, "inventory")
    assert token not in path.read_text()
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_credentials_that_are_there_are_not_overwritten(tmp_path):
    credentials.make(tmp_path, SERVICES)
    with pytest.raises(credentials.CredentialsThere):
        credentials.make(tmp_path, SERVICES)
    with pytest.raises(credentials.CredentialsMissing):
        credentials.rotate(tmp_path / "elsewhere", SERVICES, NOW, overlap_s=60)


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"tq.",
        b"tq.gateway",
        b"tq.gateway.",
        b"tq..x",
        b"tq.gate/way.x",
        b"tq.gateway.0000",
        b"gateway",
        b"\xff\xfe",
        b"tq." + b"a" * 100 + b".x",
    ],
)
def test_what_is_no_token_is_nobodys(tmp_path, token):
    credentials.make(tmp_path, SERVICES)
    assert opened(tmp_path, "inventory", Hand()).caller(token) is None
    assert LabCredentials("inventory", KEY).caller(token) is None


def test_a_token_is_refused_from_the_moment_when_it_expires(tmp_path):
    credentials.make(tmp_path, SERVICES, not_after=NOW + timedelta(seconds=60))
    hand = Hand()
    token = shown(opened(tmp_path, "gateway", hand), "inventory")
    inventory = opened(tmp_path, "inventory", hand)
    assert inventory.caller(token) == "gateway"
    hand.at_s = 59.9
    assert inventory.caller(token) == "gateway"
    hand.at_s = 60.0
    assert inventory.caller(token) is None


def test_rotation_without_a_restart_refuses_no_call_and_ends_the_old_token(tmp_path):
    credentials.make(tmp_path, SERVICES)
    hand = Hand()
    gateway, inventory = (opened(tmp_path, name, hand) for name in ("gateway", "inventory"))
    old = shown(gateway, "inventory")
    credentials.rotate(tmp_path, SERVICES, NOW, overlap_s=10)
    assert shown(gateway, "inventory") == old, "looked at its file before its time"
    assert inventory.caller(old) == "gateway"
    hand.at_s = 1.0
    new = shown(gateway, "inventory")
    assert new != old
    assert inventory.caller(new) == "gateway"
    hand.at_s = 9.0
    assert inventory.caller(old) == "gateway"
    hand.at_s = 10.0
    assert inventory.caller(old) is None
    assert inventory.caller(new) == "gateway"
    credentials.rotate(tmp_path, SERVICES, NOW + timedelta(seconds=20), overlap_s=10)
    kept = json.loads(credentials.path_of(tmp_path, "inventory").read_text())["callers"]
    assert len(kept) == 2 * (len(SERVICES) - 1), "what has expired is swept out"


def test_a_new_token_is_known_before_it_is_time_to_look_again(tmp_path):
    credentials.make(tmp_path, SERVICES)
    hand = Hand()
    inventory = opened(tmp_path, "inventory", hand)
    credentials.rotate(tmp_path, SERVICES, NOW, overlap_s=10)
    new = shown(opened(tmp_path, "gateway", hand), "inventory")
    assert inventory.caller(new) == "gateway"


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"[1]", b'{"service": "inventory"}'])
def test_a_file_that_makes_no_sense_stops_the_start_and_never_a_running_service(tmp_path, content):
    credentials.make(tmp_path, SERVICES)
    hand = Hand()
    token = shown(opened(tmp_path, "gateway", hand), "inventory")
    inventory = opened(tmp_path, "inventory", hand)
    path = credentials.path_of(tmp_path, "inventory")
    path.write_bytes(content)
    hand.at_s = 5.0
    assert inventory.caller(token) == "gateway"
    with pytest.raises(CredentialsUnusable):
        opened(tmp_path, "inventory", hand)
    path.unlink()
    hand.at_s = 10.0
    assert inventory.caller(token) == "gateway"


def test_the_file_of_another_service_is_refused_and_no_secret_is_told(tmp_path):
    credentials.make(tmp_path, SERVICES)
    path = credentials.path_of(tmp_path, "gateway")
    with pytest.raises(CredentialsUnusable, match="credentials of gateway, not of inventory"):
        FileCredentials(path, "inventory", Hand().runtime)
    found = json.loads(path.read_text())
    found["callers"] = "secret-of-somebody"
    path.write_text(json.dumps(found))
    with pytest.raises(CredentialsUnusable) as refused:
        FileCredentials(path, "gateway", Hand().runtime)
    assert "secret" not in str(refused.value)


def test_in_the_lab_every_caller_has_a_name_too():
    token = lab_token(KEY, "gateway", "inventory").encode()
    assert LabCredentials("gateway", KEY).bearer("inventory") == f"Bearer {token.decode()}"
    assert LabCredentials("inventory", KEY).caller(token) == "gateway"
    assert LabCredentials("payments", KEY).caller(token) is None
    assert LabCredentials("inventory", "another").caller(token) is None


def test_a_route_that_nobody_spoke_of_does_not_start():
    router = APIRouter()
    router.get("/new")(lambda: None)
    with pytest.raises(ValueError, match="GET /new"):
        declared({"GET /old": (PUBLIC,)}, [router])


def test_a_shop_wants_credentials_and_an_admin_token_and_no_public_key():
    assert [line.split(":")[0] for line in ServiceSettings().lacking()] == [
        "SERVICE_CREDENTIALS",
        "ADMIN_TOKEN",
    ]
    assert ServiceSettings(chaos_enabled=True).lacking() == []
    with pytest.raises(ValueError, match="taquilla credentials"):
        ServiceSettings(lab_key=KEY)
    with pytest.raises(ValueError, match="for the lab only"):
        ServiceSettings(service_auth="optional")
    with pytest.raises(ValueError, match="LAB_KEY"):
        ServiceSettings(chaos_enabled=True, service_auth="required")
    with pytest.raises(ValueError, match="LAB_KEY"):
        ServiceSettings(chaos_enabled=True, admin_token="a" * 16)


def test_no_setting_that_is_a_secret_shows_in_the_settings():
    made = ServiceSettings(
        chaos_enabled=True, lab_key="SECRET" * 3, admin_token="SECRET" * 3, chaos_token="SECRET" * 3
    )
    assert "SECRET" not in repr(made)
    assert "SECRET" not in str(made)


def bearing(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


HOLD = {"hold_id": "r1.1", "event_id": "concert-01", "quantity": 1}


async def test_in_the_lab_a_call_without_a_token_passes_and_one_with_a_token_is_judged(tmp_path):
    async with mesh(tmp_path, lab_key=KEY) as m:
        assert (await m.reserve()).status_code == 200
        inventory = m["inventory"]
        assert (await inventory.post("/reserve", json=HOLD)).status_code == 200
        wrong = await inventory.post("/reserve", json=HOLD, headers=bearing("tq.reservations.0"))
        assert (wrong.status_code, wrong.headers["www-authenticate"]) == (401, "Bearer")
        other = lab_token(KEY, "notifications", "inventory")
        refused = await inventory.post("/reserve", json=HOLD, headers=bearing(other))
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def test_with_tokens_required_the_mesh_sells_and_a_stranger_does_not_pass(tmp_path):
    async with mesh(
        tmp_path,
        lab_key=KEY,
        service_auth="required",
        admin_token="an-admin-token-for-tests",
        chaos_token="s3cret",
    ) as m:
        assert (await m.reserve()).status_code == 200
        stranger = await m["inventory"].post("/reserve", json=HOLD)
        assert (stranger.status_code, stranger.json()["code"]) == (401, "unauthorized")
        # What nobody knows is no way round.
        for path in ("/nothing", "/reserve/", "//reserve", "/reserve/x", "/events/concert-01/"):
            assert (await m["inventory"].get(path)).status_code == 401, path
        known = bearing(lab_token(KEY, "reservations", "inventory"))
        assert (await m["inventory"].get("/nothing", headers=known)).status_code == 404
        assert (await m["inventory"].put("/reserve", headers=known)).status_code == 405
        # Alive and ready are anybody's questions; what it is like inside is not.
        for path in ("/healthz", "/readyz", "/openapi.json", "/docs", "/problems/sold_out"):
            assert (await m["inventory"].get(path)).status_code == 200, path
        for service in SERVICES:
            for path in ("/metrics", "/readyz?verbose=1", "/readyz?verbose=0"):
                assert (await m[service].get(path)).status_code == 401, (service, path)
                admin = bearing("an-admin-token-for-tests")
                assert (await m[service].get(path, headers=admin)).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Basic s3cret",
        b"s3cret",
        b"Bearer se\xc3\xb1al",
        b"Bearers3cret",
    ],
)
async def test_the_lab_behind_its_token_takes_no_other_header(tmp_path, header):
    async with mesh(tmp_path, chaos_token="s3cret") as m:
        for service in SERVICES:
            for method, path in (("GET", "/chaos"), ("DELETE", "/chaos"), ("POST", "/chaos/crash")):
                answer = await m[service].request(
                    method, path, json={"enabled": True}, headers={"authorization": header}
                )
                assert answer.status_code == 401, (service, method, path)
                assert answer.json()["code"] == "unauthorized"
        listed = (await m["inventory"].get("/chaos", headers=bearing("s3cret"))).json()
        assert not any(fault["enabled"] for fault in listed["faults"])
        assert (await m["inventory"].get("/chaos", headers=bearing("s3cret"))).status_code == 200


async def test_two_authorization_headers_are_none(tmp_path):
    async with mesh(tmp_path, chaos_token="s3cret") as m:
        twice = httpx.Headers([("authorization", "Bearer s3cret")] * 2)
        assert (await m["payments"].get("/chaos", headers=twice)).status_code == 401


async def test_everything_of_the_lab_takes_the_labs_token_and_the_page_works_with_it(tmp_path):
    async with mesh(tmp_path, chaos_token="s3cret") as m:
        gateway = m["gateway"]
        for path in ("/api/lab/faults", "/api/lab/audit"):
            assert (await gateway.get(path)).status_code == 401, path
        order = {"event_id": "concert-01", "seats": 3}
        assert (await gateway.post("/api/lab/reset", json=order)).status_code == 401
        assert (await m["inventory"].post("/admin/reset", json=order)).status_code == 401
        told = await gateway.post("/api/lab/reset", json=order, headers=bearing("s3cret"))
        assert (told.status_code, (await m.event())["available"]) == (200, 3)
        assert (await gateway.get("/api/events")).status_code == 200


async def test_the_relay_lends_nobody_the_gateways_name(tmp_path):
    """`/svc/…` is open to whoever is in the lab: what it passes on, the callee judges by what came with it."""
    async with mesh(tmp_path, lab_key=KEY, service_auth="required") as m:
        assert (await m["gateway"].get("/api/events")).status_code == 200
        assert (await m["gateway"].get("/svc/inventory/events")).status_code == 401
        own = bearing(lab_token(KEY, "gateway", "inventory"))
        assert (await m["gateway"].get("/svc/inventory/events", headers=own)).status_code == 200
