"""Strangers at every internal route of every service: each is told a clear no, and nothing happens.

The routes are those of the API documents that the running services hand out: a new route is attacked by itself.
"""

import asyncio
import hashlib
import json
import re
import secrets
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml

from chaos import credentials
from chaos.stack import Stack
from chaos.topology import COMPOSE
from tests.support import free_base_port, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICES = ("gateway", "reservations", "inventory", "payments", "notifications")
OPEN = {"GET /healthz", "GET /readyz"}
"""What an internal service tells anybody."""

NOT_THE_SHOPS = ("/api/lab/", "/chaos", "/metrics")
"""What at the gateway is not for buyers, by prefix."""

LAB_TOKEN, ADMIN_TOKEN = "a-lab-token-" + secrets.token_hex(8), secrets.token_hex(16)


@dataclass
class Attacked:
    """A running mesh that wants to know who calls, and what attackers may have got hold of."""

    stack: Stack
    http: httpx.AsyncClient
    folder: Path
    expired: dict[str, str] = field(default_factory=dict)  # by callee

    def token(self, caller: str, callee: str) -> str:
        file = json.loads(credentials.path_of(self.folder, caller).read_text())
        return file["calls"][callee]

    def secrets(self) -> set[str]:
        files = [json.loads(credentials.path_of(self.folder, one).read_text()) for one in SERVICES]
        shown = {token for file in files for token in file["calls"].values()}
        return {*shown, *self.expired.values(), LAB_TOKEN, ADMIN_TOKEN}

    async def document(self, service: str) -> dict[str, Any]:
        return (await self.http.get(self.stack.url(service, "/openapi.json"))).json()


def with_expired(folder: Path) -> dict[str, str]:
    """Let every callee know tokens whose time is over, of whoever may do most there."""
    found = {}
    for callee in SERVICES:
        path = credentials.path_of(folder, callee)
        file = json.loads(path.read_text())
        caller = "gateway" if callee in ("gateway", "reservations") else "reservations"
        found[callee] = f"tq.{caller}.{secrets.token_hex(32)}"
        file["callers"].append(
            {
                "caller": caller,
                "sha256": hashlib.sha256(found[callee].encode()).hexdigest(),
                "not_after": (datetime.now(UTC) - timedelta(seconds=1)).isoformat(),
            }
        )
        path.write_text(json.dumps(file))
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory):
    folder = tmp_path_factory.mktemp("secrets")
    credentials.make(folder, SERVICES)
    expired = with_expired(folder)
    overlay = folder / "overlay.yaml"
    own = {
        name: {
            "environment": {
                "LAB_KEY": "",
                "SERVICE_CREDENTIALS": str(credentials.path_of(folder, name)),
            }
        }
        for name in SERVICES
    }
    overlay.write_text(yaml.safe_dump({"services": own}))
    async with (
        Stack(
            base_port=free_base_port(),
            data=tmp_path_factory.mktemp("mesh"),
            files=(COMPOSE, overlay),
            environment={
                "SERVICE_AUTH": "required",
                "CHAOS_TOKEN": LAB_TOKEN,
                "ADMIN_TOKEN": ADMIN_TOKEN,
                "LOG_LEVEL": "debug",
            },
        ) as stack,
        httpx.AsyncClient(timeout=15) as http,
    ):
        yield Attacked(stack, http, folder, expired)


def is_internal(service: str, path: str, operation: str) -> bool:
    return operation not in OPEN and (service != "gateway" or path.startswith(NOT_THE_SHOPS))


def example(content: dict[str, Any], document: dict[str, Any]) -> Any:
    """A body that the operation would take, so that a guard that is missing does harm."""
    media = content.get("application/json", {})
    if media.get("examples"):
        return next(iter(media["examples"].values()))["value"]
    schema = media.get("schema", {})
    for one in (schema, *schema.get("anyOf", ())):
        name = one.get("$ref", "").rpartition("/")[2]
        found = document["components"]["schemas"].get(name, one).get("examples")
        if found:
            return found[0]
    return {}


def filled(path: str, parameters: list[dict[str, Any]]) -> str:
    values = {
        one["name"]: str(one.get("schema", {}).get("examples", one.get("examples", ["x"]))[0])
        for one in parameters
        if one["in"] == "path"
    }
    values |= {"service": "inventory", "fault": "crash"}
    return re.sub(r"\{(\w+)\}", lambda hole: values.get(hole[1], "x"), path)


def internal(service: str, document: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Method, path and body of every internal operation, and of what else wants a name."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if is_internal(service, path, f"{method.upper()} {path}"):
                body = example(operation.get("requestBody", {}).get("content", {}), document)
                yield method.upper(), filled(path, operation.get("parameters", [])), body
    yield "GET", "/readyz?verbose=1", None


def attacks(mesh: Attacked, service: str, path: str) -> dict[str, tuple[list[str], int]]:
    """Authorization headers and the status that they get, by what the attacker has."""
    caller = "gateway" if service == "reservations" else "reservations"
    elsewhere = "payments" if service == "inventory" else "inventory"
    other = "payments" if service == "notifications" else "notifications"
    is_lab = path.startswith(("/chaos", "/api/lab", "/admin"))
    mine = mesh.token(caller, service)
    return {
        "nothing": ([], 401),
        "an empty header": ([""], 401),
        "no token": (["Bearer"], 401),
        "another scheme": ([f"Basic {mine}"], 401),
        "a bare token": ([mine], 401),
        "two headers": ([f"Bearer {mine}", f"Bearer {mine}"], 400),  # two readings are none
        "a token of no form": (["Bearer tq."], 401),
        "a guess": ([f"Bearer tq.{caller}.{'0' * 64}"], 401),
        "a token for another callee": ([f"Bearer {mesh.token(caller, elsewhere)}"], 401),
        "an expired token": ([f"Bearer {mesh.expired[service]}"], 401),
        "the token of another service": ([f"Bearer {mesh.token(other, service)}"], 403),
        "the token of another office": ([f"Bearer {ADMIN_TOKEN if is_lab else LAB_TOKEN}"], 403),
    }


def rows(data: Path) -> dict[str, list[str]]:
    """Everything that is in the databases."""
    found = {}
    for path in sorted(data.glob("*.db")):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            found[path.name] = list(db.iterdump())
    return found


async def test_the_documents_tell_of_internal_routes(mesh):
    """Without this, an enumeration that finds nothing would find nothing wrong."""
    counts = {
        service: len(list(internal(service, await mesh.document(service)))) for service in SERVICES
    }
    assert counts["gateway"] >= 10
    assert counts["inventory"] >= 10
    assert min(counts.values()) >= 8, counts


CODES = {400: "malformed_request", 401: "unauthorized", 403: "forbidden"}


@pytest.mark.parametrize("service", SERVICES)
async def test_nobody_without_the_right_token_gets_in_anywhere(mesh, service):
    before, tried = rows(mesh.stack.data), 0
    for method, path, body in internal(service, await mesh.document(service)):
        for what, (headers, status) in attacks(mesh, service, path).items():
            answer = await mesh.http.request(
                method,
                mesh.stack.url(service, path),
                json=body,
                headers=[("authorization", one) for one in headers],
            )
            at = f"{method} {path} with {what}: {answer.status_code} {answer.text[:200]}"
            assert answer.status_code == status, at
            assert answer.headers["content-type"] == "application/problem+json", at
            assert answer.json()["code"] == CODES[status], at
            assert (answer.headers.get("www-authenticate") == "Bearer") == (status == 401), at
            tried += 1
    assert tried > 80
    assert rows(mesh.stack.data) == before


@pytest.mark.parametrize("service", SERVICES)
async def test_every_internal_operation_documents_its_scheme_and_both_refusals(mesh, service):
    document = await mesh.document(service)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if is_internal(service, path, f"{method.upper()} {path}"):
                assert operation["security"] == [{"token": []}], (method, path)
                for status, code in (("401", "unauthorized"), ("403", "forbidden")):
                    said = operation["responses"][status]["content"]["application/problem+json"]
                    assert {f"{code}.es", f"{code}.en"} <= set(said["examples"]), (method, path)
    # In the lab's own mode the documents say that a token may be shown, and need not.
    assert document["paths"]["/readyz"]["get"]["security"] == [{}, {"token": []}]
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


async def test_a_body_is_not_read_before_the_caller_is_known(mesh):
    """The refusal comes although most of the announced body never does."""
    port = mesh.stack.url("inventory", "").rpartition(":")[2]
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    writer.write(
        b"POST /reserve HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 60000\r\n\r\n{"
    )
    async with asyncio.timeout(15):
        assert (await reader.readline()).split()[1] == b"401"
    writer.close()


async def test_afterwards_buyers_buy_the_books_are_true_and_no_secret_was_told(mesh):
    body = {"user_id": "ana", "event_id": "concert-01", "quantity": 2}
    sold = await mesh.http.post(mesh.stack.url("gateway", "/api/reserve"), json=body)
    assert sold.status_code == 200, sold.text
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chaos", "audit", "--json", "--settle", "30"),
        *("--data", str(mesh.stack.data)),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    auth = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    pages = [
        (await mesh.http.get(mesh.stack.url(one, path), headers=auth)).text
        for one in SERVICES
        for path in ("/metrics", "/readyz?verbose=1")
    ]
    logs = [path.read_text() for path in (mesh.stack.data / "logs").glob("*.log")]
    assert len(logs) == len(SERVICES)
    books = ["\n".join(dump) for dump in rows(mesh.stack.data).values()]
    for text in (*pages, *logs, *books):
        assert [secret for secret in mesh.secrets() if secret in text] == []
    # The key to a reservation is in the books, where it must be, and nowhere else.
    key = sold.json()["manage_token"]
    assert any(key in text for text in books)
    assert not any(key in text for text in (*pages, *logs))


async def test_tokens_are_rotated_while_buyers_buy(mesh):
    """Nobody is refused while every token changes, and afterwards the old ones open nothing."""
    old = {
        (a, b): mesh.token(a, b) for a, b in (("gateway", "inventory"), ("gateway", "reservations"))
    }
    statuses, done = [], asyncio.Event()

    async def buy():
        number = 0
        while not done.is_set():
            number += 1
            body = {"user_id": f"u{number}", "event_id": "festival-01", "quantity": 1}
            url = mesh.stack.url("gateway", "/api/reserve")
            statuses.append((await mesh.http.post(url, json=body)).status_code)

    async def refuses_the_old() -> bool:
        answers = [
            await mesh.http.get(
                mesh.stack.url(callee, "/readyz?verbose=1"),
                headers={"authorization": f"Bearer {token}"},
            )
            for (_, callee), token in old.items()
        ]
        return all(answer.status_code == 401 for answer in answers)

    assert not await refuses_the_old()
    async with asyncio.TaskGroup() as group:
        group.create_task(buy())
        await until(lambda: len(statuses) > 5, 15)
        credentials.rotate(mesh.folder, SERVICES, datetime.now(UTC), overlap_s=3)
        seen = len(statuses)
        await until(refuses_the_old, 15)
        await until(lambda: len(statuses) > seen + 20, 15)
        done.set()
    assert set(statuses) == {200}
    for (caller, callee), token in old.items():
        assert mesh.token(caller, callee) != token
