"""The fast path and FastAPI answer alike: every operation is asked the same things by both ways.

How a content type is spelt decides which of the two answers, and nothing else.
"""

import json
from pathlib import Path

import pytest

from chassis import runtime
from chassis.fastpath import Operation
from tests.support.mesh import APPS, mesh

FAST, SLOW = "application/json", 'application/json;charset="utf-8"'

VOLATILE = {"x-request-id", "idempotency-key", "retry-after", "date", "location"}

ORDER = {"user_id": "ana@example.org", "event_id": "concert-01", "quantity": 2}
HOLD = {"hold_id": "r1.1", "event_id": "concert-01", "quantity": 2, "seats": None, "price": None}
PAY = {"payment_ref": "r1.1", "amount_minor": 3500, "currency": "EUR"}
NOTICE = {
    "notification_id": "r1.confirmed",
    "to": "ana",
    "template": "confirmed",
    "lang": "es",
    "data": {
        "reservation_id": "r1",
        "event_id": "concert-01",
        "seats": ["A-01"],
        "amount_minor": 3500,
        "currency": "EUR",
    },
}
SENT = {
    ("gateway", "/api/reserve"): ORDER,
    ("reservations", "/reserve"): {},
    ("inventory", "/reserve"): HOLD,
    ("inventory", "/confirm"): {"hold_id": "r1.1", "token": "not-this-one"},
    ("inventory", "/release"): {"hold_id": "r2.1"},
    ("inventory", "/admin/reset"): {"event_id": "concert-01", "seats": 7},
    ("payments", "/pay"): PAY,
    ("payments", "/capture"): {"items": [{"payment_ref": "r1.1"}]},
    ("payments", "/cancel"): {"payment_ref": "r9.1"},
    ("notifications", "/send"): {"items": [NOTICE]},
}
NEVER_TWICE_ALIKE = {("gateway", "/api/lab/load"), ("gateway", "/api/lab/race")}
"""Crowds: fast by their shape, and no two of them have the same answers to compare."""

BROKEN = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"{}",
    b'{"quantity": "many"}',
    b'\xff{"a": 1}',
    b"[" * 5000,
    b'{"event_id": "\\ud800"}',
    b"x" * 70_000,
]


def operations():
    for name, module in APPS.items():
        app = module.create_app(module.Settings(chaos_enabled=True), runtime.simulated(1, {}))
        yield from ((name, route.path) for route in app.routes if Operation.of(route))


def told(answer):
    """An answer without what differs from one request to the next."""
    headers = {name: value for name, value in answer.headers.items() if name not in VOLATILE}
    body = answer.json() if answer.content else None
    if isinstance(body, dict):
        body = {
            name: value
            for name, value in body.items()
            if name not in ("request_id", "reservation_id", "manage_token", "seats", "expires_at")
        }
        headers.pop("content-length", None)
    return answer.status_code, headers, body


async def asked(client, path, content, kind, **headers):
    return await client.post(path, content=content, headers={"content-type": kind, **headers})


@pytest.mark.parametrize("language", ["es", "en"])
async def test_both_ways_answer_alike(tmp_path: Path, language: str) -> None:
    async with mesh(tmp_path) as running:
        for (service, path), body in SENT.items():
            content = json.dumps(body).encode()
            answers = [
                told(
                    await asked(
                        running[service], path, content, kind, **{"accept-language": language}
                    )
                )
                for kind in (FAST, SLOW)
            ]
            assert answers[0] == answers[1], (service, path)


async def test_what_makes_no_sense_is_explained_alike(tmp_path: Path) -> None:
    async with mesh(tmp_path) as running:
        for service, path in SENT:
            for content in BROKEN:
                fast = await asked(running[service], path, content, FAST)
                slow = await asked(running[service], path, content, SLOW)
                assert told(fast) == told(slow), (service, path, content[:40])
                assert 400 <= fast.status_code < 500


async def test_headers_reach_the_operation(tmp_path: Path) -> None:
    async with mesh(tmp_path) as running:
        for kind in (FAST, SLOW):
            key = f"{'k' * 20}-{len(kind)}"
            answer = await asked(
                running["gateway"],
                "/api/reserve",
                json.dumps(ORDER),
                kind,
                **{"Idempotency-Key": key},
            )
            assert (answer.status_code, answer.headers["idempotency-key"]) == (200, key)
            refused = await asked(
                running["gateway"],
                "/api/reserve",
                json.dumps(ORDER),
                kind,
                **{"Idempotency-Key": "no"},
            )
            assert refused.json()["code"] == "invalid_idempotency_key"


async def test_both_are_counted_by_route(tmp_path: Path) -> None:
    async with mesh(tmp_path) as running:
        for kind in (FAST, SLOW):
            await asked(running["inventory"], "/reserve", json.dumps(HOLD), kind)
        metrics = (await running["inventory"].get("/metrics")).text
        counted = 'http_server_request_duration_seconds_count{http_request_method="POST"'
        line = next(one for one in metrics.splitlines() if one.startswith(counted))
        assert 'http_route="/reserve"' in line
        assert line.endswith(" 2.0")


def test_every_hot_route_is_fast() -> None:
    assert set(operations()) == set(SENT) | NEVER_TWICE_ALIKE
