"""Requests that no client sends by mistake, byte by byte: each gets a clear refusal, and the books stay true."""

import httpx
import pytest
import pytest_asyncio

from chaos.stack import Stack
from tests.security.attacks import HARMLESS, ORDER, SHOP, WIRE
from tests.support import free_base_port
from tests.support.raw import exchange

SERVICES = ("gateway", "reservations", "inventory", "payments", "notifications")

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory):
    data = tmp_path_factory.mktemp("mesh")
    async with Stack(base_port=free_base_port(), data=data) as running:
        yield running


def port_of(mesh, service):
    return mesh.base_port + SERVICES.index(service)


def judge(name, answer, expected):
    """A clear 4xx in Spanish, as a problem; of what is refused below the framework, the connection ends with it."""
    assert (answer.status, answer.problem.get("code")) == expected, f"{name}: {answer}"
    problem = answer.problem
    assert problem["status"] == answer.status, name
    assert problem["request_id"] == answer.headers["x-request-id"], name
    assert answer.headers["content-language"] == "es", name
    assert b"Traceback" not in answer.body, name
    assert len(answer.body) < 25_000, f"{name}: an answer is not longer than what was asked"


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("name", WIRE)
async def test_what_is_no_sound_request_is_refused_by_every_service(mesh, service, name):
    sent, expected = WIRE[name]
    judge(name, await exchange(port_of(mesh, service), sent), expected)


@pytest.mark.parametrize("name", SHOP)
async def test_what_is_no_sound_order_is_refused(mesh, name):
    sent, expected = SHOP[name]
    judge(name, await exchange(mesh.base_port, sent), expected)


@pytest.mark.parametrize("name", HARMLESS)
async def test_what_is_merely_strange_is_answered(mesh, name):
    sent, status = HARMLESS[name]
    assert (await exchange(mesh.base_port, sent)).status == status


async def test_every_operation_with_a_body_refuses_deep_json(mesh):
    """Whatever route, whichever way it is read: enumerated, so that a new one is covered by itself."""
    asked = 0
    for service in SERVICES:
        port = port_of(mesh, service)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            paths = (await http.get("/openapi.json")).json()["paths"]
            for path, methods in paths.items():
                if "requestBody" not in methods.get("post", {}):
                    continue
                target = path.replace("{", "").replace("}", "")
                answer = await http.post(
                    target,
                    content=b"[" * 30_000 + b"]" * 30_000,
                    headers={"content-type": "application/json"},
                )
                assert 400 <= answer.status_code < 500, (service, path, answer.text)
                assert answer.headers["content-type"] == "application/problem+json"
                asked += 1
    assert asked >= 15


async def test_a_refusal_never_repeats_the_address_or_the_token(mesh):
    """What was wrong is named by its field; what was in it stays out of answers and metrics."""
    secret = "secret-of-ana@example.com"
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{mesh.base_port}") as http:
        for body in (
            {"user_id": secret + "\n", "event_id": "concert-01"},
            {"user_id": "ana", "event_id": "concert-01", "email": f"{secret} {secret}"},
            {"user_id": "ana", "event_id": "concert-01", "quantity": secret},
            {"user_id": "ana", "event_id": "concert-01", "seats": [secret]},
        ):
            answer = await http.post("/api/reserve", json=body)
            assert answer.status_code == 422
            assert secret not in answer.text
        good = {"user_id": "ana", "event_id": "festival-01", "email": secret}
        sold = await http.post("/api/reserve", json=good)
        assert sold.status_code == 200
        assert secret not in sold.text
        token = sold.json()["manage_token"]
        url = f"/api/reservations/{sold.json()['reservation_id']}"
        seen = await http.get(url)
        assert secret not in seen.text
        assert token not in seen.text
        wrong = await http.post(f"{url}/cancel", headers={"x-manage-token": token + "x"})
        assert (wrong.status_code, token in wrong.text) == (403, False)
        for service in SERVICES:
            answer = await http.get(f"http://127.0.0.1:{port_of(mesh, service)}/metrics")
            assert "http_server_request_duration" in answer.text
            assert "example.com" not in answer.text
            assert token not in answer.text


async def test_afterwards_it_sells_nothing_has_crashed_and_the_books_are_true(mesh):
    """Last in this file on purpose: what came before has left no trace."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{mesh.base_port}", timeout=30) as http:
        headers = {"content-type": "application/json"}
        answer = await http.post("/api/reserve", content=ORDER, headers=headers)
        assert answer.status_code == 200, answer.text
        report = (await http.get("/api/lab/audit")).json()
        assert report["ok"], report
    logs = sorted((mesh.data / "logs").glob("*.log"))
    assert len(logs) >= len(SERVICES)
    for log in logs:
        text = log.read_text(encoding="utf-8")
        assert "Traceback" not in text, log.name
        assert "internal_error" not in text, log.name
