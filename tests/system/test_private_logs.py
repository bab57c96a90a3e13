"""Whatever happens, no log line of a real process holds an e-mail address, a token or a secret, not even at debug."""

import re
import sqlite3
from contextlib import closing

import httpx
import pytest

from chaos.stack import Stack
from tests.support import free_base_port, until
from tests.support.mail import MailServer

EMAIL, GONE, USER = "ana.secreta@example.com", "nadie@example.org", "berta@example.net"
CHAOS_TOKEN, ID_SECRET = "chaos-token-for-this-test", "id-secret-for-this-test"
AUTH = {"authorization": f"Bearer {CHAOS_TOKEN}"}


class Mesh:
    """What buyers and operators do, the wrong way included."""

    def __init__(self, stack, http):
        self.stack = stack
        self.http = http
        self.tokens = set()

    async def ask(self, service, path, method="POST", **options):
        answer = await self.http.request(method, self.stack.url(service, path), **options)
        if answer.headers.get("content-type", "").startswith("application/json"):
            self.tokens |= {
                str(answer.json()[name]) for name in ("manage_token",) if name in answer.json()
            }
        return answer

    async def reserve(self, **body):
        wanted = {"user_id": USER, "event_id": "festival-01", "quantity": 1, "email": EMAIL, **body}
        return await self.ask("gateway", "/api/reserve", json=wanted)

    async def fault(self, service, fault, **order):
        order = order or {"enabled": True}
        answer = await self.ask(service, f"/chaos/{fault}", json=order, headers=AUTH)
        assert answer.status_code == 200, answer.text

    async def calm(self):
        for service in self.stack.services:
            await self.ask(service, "/chaos", "DELETE", headers=AUTH)


async def live_a_day(mesh, server):
    """Sales, refusals, mistakes, faults of every service, a crash."""
    sold = (await mesh.reserve()).json()
    path = f"/api/reservations/{sold['reservation_id']}"
    for token in ("wrong-token-of-somebody", sold["manage_token"], sold["manage_token"]):
        await mesh.ask("gateway", f"{path}/cancel", headers={"x-manage-token": token})
    await mesh.ask("gateway", path, "GET", headers={"x-manage-token": sold["manage_token"]})
    await mesh.reserve(price=1)
    await mesh.reserve(event_id=EMAIL)
    await mesh.reserve(email="not an address", quantity=99)
    await mesh.ask("gateway", "/api/reserve", content=f'{{"email": "{EMAIL}"'.encode())
    await mesh.ask("gateway", f"/api/{EMAIL}", "GET")
    await mesh.ask("notifications", "/messages", "GET", params={"to": EMAIL})
    await mesh.ask(
        "payments", "/chaos/fail", json={"enabled": True}, headers={"authorization": "Bearer no"}
    )
    for service, fault, order in (
        ("payments", "fail", {}),
        ("payments", "latency", {"seconds": 4}),
        ("inventory", "crash", {}),
        ("notifications", "down", {}),
        ("reservations", "db_flap", {"enabled": True, "probability": 1.0}),
    ):
        await mesh.fault(service, fault, **order)
        await mesh.reserve()
        await mesh.reserve()  # twice makes a breaker open
        await mesh.calm()
    server.on_recipient = lambda address: f"550 5.1.1 <{address}>: nobody of that name here"

    async def sold_to_nobody():  # once the breakers have closed
        answer = await mesh.reserve(email=GONE)
        return answer.json() if answer.status_code == 200 else None

    key = f"{(await until(sold_to_nobody, 20))['reservation_id']}.confirmed"

    async def is_dead():
        found = await mesh.ask("notifications", "/messages", "GET", params={"notification_id": key})
        return [one for one in found.json()["messages"] if one["state"] == "dead"]

    await until(is_dead, 20)
    await mesh.stack.kill("reservations")
    await mesh.stack.healthy("reservations")


def secrets_at_rest(data):
    """Every token that the databases hold."""
    found = set()
    for name, query in (
        ("reservations", "SELECT manage_token FROM reservation"),
        ("inventory", "SELECT token FROM hold WHERE token IS NOT NULL"),
    ):
        with closing(sqlite3.connect(data / f"{name}.db")) as db:
            found |= {token for (token,) in db.execute(query)}
    return found


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_no_line_says_who_somebody_is_or_what_they_may_do(tmp_path, log_format):
    server = MailServer()
    environment = {
        "LOG_LEVEL": "debug",
        "LOG_FORMAT": log_format,
        "CHAOS_TOKEN": CHAOS_TOKEN,
        "ID_SECRET": ID_SECRET,
    }
    async with server.listening():
        environment["SMTP_URL"] = server.url
        async with (
            Stack(
                base_port=free_base_port(),
                data=tmp_path,
                environment=environment,
                max_backoff_s=0.2,
            ) as stack,
            httpx.AsyncClient(timeout=10) as http,
        ):
            mesh = Mesh(stack, http)
            await live_a_day(mesh, server)
            tokens = mesh.tokens | secrets_at_rest(tmp_path)
    logs = {path.stem: path.read_text(encoding="utf-8") for path in (tmp_path / "logs").iterdir()}
    everything = "\n".join(logs.values())
    assert len(tokens) > 5
    for told in ("message_dead", "breaker_opened", "store_batch_failed", "retry", "attempt"):
        assert told in everything, f"too quiet a day: no {told}"
    assert re.findall(r"[\w.+-]+@[\w-]+\.\w+", everything) == []
    for secret in (*tokens, CHAOS_TOKEN, ID_SECRET):
        assert secret not in everything
