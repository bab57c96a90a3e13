"""Every refusal is a problem document; a crash is one too, and tells nothing."""

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import APIRouter
from pydantic import BaseModel

from chassis import reasons, runtime
from chassis.app import Chassis, build_app
from chassis.errors import Forbidden
from chassis.languages import negotiate
from chassis.settings import ServiceSettings
from chassis.testing import serve

JSON = {"content-type": "application/json"}


class Body(BaseModel):
    number: int


def routes():
    router = APIRouter()

    @router.post("/echo")
    async def echo(body: Body) -> Body:
        return body

    @router.post("/crash")
    async def crash():
        raise ZeroDivisionError("secret detail")

    @router.post("/forbidden")
    async def forbidden():
        raise Forbidden(retry_after_s=2.2)

    @router.post("/slow")
    async def slow():
        await asyncio.sleep(1)
        return {}

    return router


@asynccontextmanager
async def client(**settings):
    @asynccontextmanager
    async def service():
        yield None

    chassis = Chassis("inventory", ServiceSettings(**settings), runtime.simulated(1, {}))
    app = build_app(chassis, summary="t", service=service, routers=[routes()])
    async with (
        serve(app) as transport,
        httpx.AsyncClient(transport=transport, base_url="http://t") as http,
    ):
        yield http


async def test_a_refusal_has_every_member_and_is_final():
    async with client() as http:
        answer = await http.post("/forbidden", headers={"x-request-id": "abcdefgh-1"})
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-outcome"] == "final"
    assert answer.headers["retry-after"] == "3"
    assert answer.headers["x-request-id"] == problem["request_id"] == "abcdefgh-1"
    assert (problem["type"], problem["code"], problem["status"]) == (
        "/problems/forbidden",
        "forbidden",
        403,
    )
    assert (problem["instance"], answer.headers["content-language"]) == ("/forbidden", "es")
    assert "Accept-Language" in answer.headers["vary"]


async def test_a_crash_is_a_500_problem_without_details():
    async with client() as http:
        answer = await http.post("/crash")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert "x-outcome" not in answer.headers


@pytest.mark.parametrize(
    ("path", "sent", "status", "code"),
    [
        (
            "/echo",
            {"content": b"{", "headers": JSON},
            400,
            "malformed_json",
        ),
        ("/echo", {"content": b"[" * 60_000, "headers": JSON}, 400, "malformed_json"),
        (
            "/echo",
            {"content": b"[" * 30_000 + b"]" * 30_000, "headers": JSON},
            400,
            "malformed_json",
        ),
        ("/echo", {"content": b'{"number": "\xff"}', "headers": JSON}, 400, "malformed_json"),
        (
            "/echo",
            {"content": b'{"number": ' + b"9" * 5000 + b"}", "headers": JSON},
            400,
            "malformed_json",
        ),
        ("/echo", {"json": {"number": "x"}}, 422, "invalid_request"),
        ("/echo", {"json": {}}, 422, "invalid_request"),
        ("/echo", {"content": b"x" * 70_000}, 413, "payload_too_large"),
        (
            "/echo",
            {"content": b'{"number": 1}', "headers": {"content-type": "text/plain"}},
            415,
            "unsupported_media_type",
        ),
        ("/echo", {"content": b'{"number": 1}'}, 415, "unsupported_media_type"),
        ("/nowhere", {"json": {}}, 404, "not_found"),
        ("/problems/forbidden", {"json": {}}, 405, "method_not_allowed"),
    ],
)
async def test_bad_input_is_a_problem_in_both_languages(path, sent, status, code):
    async with client() as http:
        headers = sent.pop("headers", {})
        es = await http.post(path, **sent, headers=headers)
        en = await http.post(path, **sent, headers={**headers, "accept-language": "en-GB,es;q=0.5"})
    for answer in (es, en):
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert es.json()["detail"] != en.json()["detail"]


async def test_validation_names_field_and_reason_but_never_the_input():
    async with client() as http:
        answer = await http.post("/echo", json={"number": "<script>"})
    assert answer.json()["errors"] == [{"field": "number", "reason": "Debe ser un número entero."}]
    assert "script" not in answer.text


KINDS = ["application/json", "application/json;charset=utf-8", "Application/vnd.x+JSON"]


@pytest.mark.parametrize("kind", KINDS)
async def test_json_is_read_strictly_however_its_type_is_written(kind):
    """FastAPI's own parser would take UTF-16, and halves of surrogate pairs that nobody can store."""
    order = '{"number": 1, "name": "ñ"}'
    async with client() as http:
        told = [
            (await http.post("/echo", content=content, headers={"content-type": kind})).status_code
            for content in (
                order.encode(),
                order.encode("utf-8-sig"),
                order.encode("utf-16"),
                order.replace("ñ", r"ñ\ud800").encode(),
                order.replace("ñ", "ñ\n").encode(),
            )
        ]
    assert told == [200, 200, 400, 400, 400]


async def test_of_a_field_that_the_client_named_only_the_beginning_comes_back():
    details = [{"type": "extra_forbidden", "loc": ("body", "k" * 60_000)}]
    (told,) = reasons.validation_errors(details, "es")
    assert told["field"] == "k" * 100


async def test_a_path_with_a_slash_behind_is_another_path():
    """A redirect would lead wherever the client's `Host` says."""
    async with client() as http:
        answer = await http.post("/echo/", json={"number": 1}, headers={"host": "evil.test"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "location" not in answer.headers


async def test_a_body_that_grows_too_large_is_refused_before_its_end():
    read = []

    async def endless():
        for _ in range(1000):
            read.append(1)
            yield b"x" * 1000

    async with client(max_body_bytes=2048) as http:
        answer = await http.post("/echo", content=endless())
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"


async def test_a_full_service_sheds_before_any_work():
    async with client(max_inflight=1) as http:
        first, second = await asyncio.gather(http.post("/slow"), http.post("/slow"))
    shed = second if second.status_code == 503 else first
    assert shed.json()["code"] == "overloaded"
    assert shed.headers["x-shed"] == "1"
    assert 1 <= int(shed.headers["retry-after"]) <= 3
    assert "x-outcome" not in shed.headers


async def test_expired_work_is_refused():
    async with client() as http:
        answer = await http.post("/slow", headers={"x-deadline-ms": "0"})
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
    assert "x-deadline-expired" in answer.headers


async def test_every_code_has_a_page():
    async with client() as http:
        page = await http.get("/problems/sold_out")
        assert "No hay asientos disponibles." in page.text
        assert (await http.get("/problems/nonsense")).status_code == 404


@pytest.mark.parametrize(
    ("header", "lang"),
    [
        (None, "es"),
        ("", "es"),
        ("en", "en"),
        ("en-US,en;q=0.9", "en"),
        ("fr,de", "es"),
        ("fr, en;q=0.3, es;q=0.2", "en"),
        ("es-AR, en;q=0.9", "es"),
        ("en;q=0, es", "es"),
        ("*", "es"),
        (";;q=,", "es"),
        ("es;q=0, *;q=0.5", "en"),
        ("en;q=0, *", "es"),
        ("es;q=0", "es"),
        ("*;q=0.1, en;q=0.05", "es"),
        ("en, es", "en"),
        ("es, en", "es"),
        ("es;q=0.800, EN-gb ; Q=0.801", "en"),
        ("en;q=0.1, en-GB;q=0.9, es;q=0.5", "en"),
        ("en;q=7, es;q=0.1", "es"),
        ("en;q=0.1234, es;q=0.1", "es"),
        ("english, es;q=0.1", "es"),
        ("en;level=1, es;q=0.1", "es"),
        (",, en ,,", "en"),
    ],
)
def test_language_is_negotiated(header, lang):
    assert negotiate(header) == lang


@pytest.mark.parametrize(
    ("query", "lang"),
    [
        ("lang=en", "en"),
        ("a=1&lang=en&b=2", "en"),
        ("lang=fr", "es"),
        ("lang=", "es"),
        ("lang=english", "es"),
        ("xlang=en", "es"),
        ("", "es"),
    ],
)
async def test_the_address_can_name_the_language_of_any_answer(query, lang):
    async with client() as http:
        for path in ("/nowhere", "/slow"):
            answer = await http.get(f"{path}?{query}")
            assert answer.headers["content-language"] == lang
        assert (
            answer.json()["title"]
            == {"es": "Método no permitido", "en": "Method not allowed"}[lang]
        )


async def test_the_address_wins_over_the_header():
    async with client() as http:
        answer = await http.get("/nowhere?lang=es", headers={"accept-language": "en"})
        assert answer.headers["content-language"] == "es"
        assert "Accept-Language" in answer.headers["vary"]
