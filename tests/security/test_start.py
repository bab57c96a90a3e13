"""A shop that anybody could walk into does not start, and says what to do."""

import asyncio
import os
import sys

import httpx
import pytest

from chaos import credentials
from chaos.stack import Stack
from tests.support import free_base_port

SERVICES = ("gateway", "reservations", "inventory", "payments", "notifications")
SHOP = {"CHAOS_ENABLED": "0", "ID_SECRET": "a-secret-for-the-tests"}


async def start(service: str, data, **variables: str) -> tuple[int, str]:
    """Exit code and last words of a service that is started with these settings."""
    inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"{service}.app"),
        env={**inherited, "PORT": "0", "DATA_DIR": str(data), **SHOP, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.parametrize("service", SERVICES)
async def test_a_shop_does_not_start_without_credentials(service, tmp_path):
    code, said = await start(service, tmp_path)
    assert code == 2
    assert f"{service}: SERVICE_CREDENTIALS: " in said
    assert "taquilla credentials DIR" in said
    assert f"{service}: ADMIN_TOKEN: " in said


async def test_a_shop_does_not_start_with_the_labs_marked_key(tmp_path):
    key = "laboratorio-sin-secretos"
    code, said = await start("inventory", tmp_path, LAB_KEY=key, ADMIN_TOKEN="x" * 32)
    assert code == 2
    assert "LAB_KEY is public" in said
    assert "taquilla credentials DIR" in said
    assert key not in said


@pytest.mark.parametrize("damage", ["missing", "empty", "of another"])
async def test_a_shop_does_not_start_with_credentials_of_no_use(tmp_path, damage):
    credentials.make(tmp_path, SERVICES)
    path = credentials.path_of(tmp_path, "inventory")
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_text("")
    else:
        path = credentials.path_of(tmp_path, "payments")
    code, said = await start(
        "inventory", tmp_path, SERVICE_CREDENTIALS=str(path), ADMIN_TOKEN="x" * 32
    )
    assert code == 2
    assert said.startswith(f"inventory: SERVICE_CREDENTIALS: {path}: "), said
    assert "Traceback" not in said


async def test_up_shop_makes_its_own_secrets_and_keeps_them(tmp_path):
    kept = None
    for _ in range(2):
        async with (
            Stack(base_port=free_base_port(), data=tmp_path, shop=True) as shop,
            httpx.AsyncClient(timeout=15) as http,
        ):
            body = {"user_id": "ana", "event_id": "concert-01", "quantity": 1}
            sold = await http.post(shop.url("gateway", "/api/reserve"), json=body)
            assert sold.status_code == 200, sold.text
            hold = {"hold_id": "r1.1", "event_id": "concert-01", "quantity": 1}
            stranger = await http.post(shop.url("inventory", "/reserve"), json=hold)
            assert (stranger.status_code, stranger.json()["code"]) == (401, "unauthorized")
            for service in SERVICES:
                assert (await http.get(shop.url(service, "/healthz"))).status_code == 200
                assert (await http.get(shop.url(service, "/metrics"))).status_code == 401
                admin = {"authorization": f"Bearer {(tmp_path / 'admin_token').read_text()}"}
                page = await http.get(shop.url(service, "/metrics"), headers=admin)
                assert page.status_code == 200
        found = {
            path: path.read_text()
            for path in (*tmp_path.rglob("credentials.json"), tmp_path / "admin_token")
        }
        assert len(found) == len(SERVICES) + 1
        if os.name != "nt":
            assert {path.stat().st_mode & 0o077 for path in found} == {0}
        assert kept is None or kept == found
        kept = found
