"""The wire contract, on the real app with its loop."""

import asyncio

import pytest

ONE = {
    "notification_id": "r1.confirmed",
    "to": "ana@example.com",
    "template": "confirmed",
    "lang": "es",
    "data": {
        "event_name": "Noche de Boleros",
        "seats": ["A-07"],
        "amount_minor": 5000,
        "currency": "USD",
        "reservation_id": "r1",
    },
}


async def test_a_message_is_delivered_to_the_mailbox_and_shown(open_app):
    async with open_app(gateway_url="http://shop.test") as http:
        sent = await http.post("/send", json=ONE)
        assert (sent.status_code, sent.json()) == (
            200,
            {"notification_id": "r1.confirmed", "status": "delivered"},
        )
        assert (await http.post("/send", json=ONE)).json() == sent.json()
        messages = (await http.get("/messages")).json()["messages"]
    assert len(messages) == 1
    shown = messages[0]
    assert (shown["to"], shown["state"], shown["attempts"]) == ("ana@example.com", "delivered", 1)
    assert "http://shop.test/r/r1" in shown["body"]
    assert shown["subject"] == "Tu reserva está confirmada: Noche de Boleros"
    assert shown["delivered_at"] >= shown["created_at"]


async def test_a_group_answers_in_its_order(open_app):
    items = [{**ONE, "notification_id": f"r{n}.confirmed"} for n in (3, 1, 2)]
    async with open_app() as http:
        sent = await http.post("/send", json={"items": items})
        assert [item["notification_id"] for item in sent.json()["items"]] == [
            "r3.confirmed",
            "r1.confirmed",
            "r2.confirmed",
        ]
        assert {item["status"] for item in sent.json()["items"]} == {"delivered"}
        query = {"notification_id": "r1.confirmed", "to": "ana@example.com", "limit": 1}
        found = (await http.get("/messages", params=query)).json()["messages"]
    assert [message["notification_id"] for message in found] == ["r1.confirmed"]


async def test_down_means_not_accepted_and_later_accepted(open_app):
    async with open_app() as http:
        await http.post("/chaos/down", json={"enabled": True})
        down = await http.post("/send", json=ONE)
        assert down.status_code == 503
        assert "x-outcome" not in down.headers
        await http.delete("/chaos")
        assert (await http.get("/messages")).json()["messages"] == []
        assert (await http.post("/send", json=ONE)).json()["status"] == "delivered"


async def test_a_flapping_store_delivers_each_once(open_app, query):
    async with open_app() as http:
        await http.post("/chaos/db_flap", json={"enabled": True, "probability": 0.7})
        for n in range(20):
            answer = await http.post("/send", json={**ONE, "notification_id": f"r{n}.c"})
            assert answer.status_code in (200, 503)
        await http.delete("/chaos")
        await asyncio.sleep(10)
        assert "notifications_pending 0.0" in (await http.get("/metrics")).text
        for n in range(20):
            answer = await http.post("/send", json={**ONE, "notification_id": f"r{n}.c"})
            assert answer.json()["status"] == "delivered"
    assert query(
        "SELECT count(*), count(DISTINCT notification_id) FROM mailbox JOIN message ON number = message"
    ) == [(20, 20)]


async def test_ready_once_the_store_answers(open_app):
    async with open_app() as http:
        assert (await http.get("/readyz")).json()["checks"] == {"store": True}
        await http.post("/chaos/db_flap", json={"enabled": True, "probability": 1})
        broken = await http.get("/readyz")
        assert (broken.status_code, broken.json()["checks"]) == (503, {"store": False})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**ONE, "to": ""}, "to"),
        ({**ONE, "to": "a b"}, "to"),
        ({**ONE, "to": "a" * 255}, "to"),
        ({**ONE, "template": "other"}, "template"),
        ({**ONE, "lang": "fr"}, "lang"),
        ({**ONE, "notification_id": "no spaces"}, "notification_id"),
        ({**ONE, "extra": 1}, "extra"),
        ({**ONE, "data": {"seats": ["x"] * 21}}, "data.seats"),
        ({"items": []}, "items"),
        ({"items": [{**ONE, "lang": "fr"}]}, "items.0.lang"),
        ({}, "to"),
    ],
)
async def test_bad_payloads_are_422_and_name_the_field(open_app, body, field):
    async with open_app() as http:
        refused = await http.post("/send", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert any(error["field"].startswith(field) for error in refused.json()["errors"])


@pytest.mark.parametrize("limit", [0, 201, "many"])
async def test_the_page_size_is_bounded(open_app, limit):
    async with open_app() as http:
        assert (await http.get("/messages", params={"limit": limit})).status_code == 422


async def test_the_documents_show_both_forms(open_app):
    async with open_app() as http:
        spec = (await http.get("/openapi.json")).json()
    body = spec["paths"]["/send"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert [option["$ref"].rsplit("/", 1)[1] for option in body["anyOf"]] == [
        "Notification",
        "NotificationGroup",
    ]


async def test_a_message_that_is_not_dead_is_never_resent(open_app):
    async with open_app() as http:
        sent = (await http.post("/send", json=ONE)).json()
        assert sent["status"] == "delivered"
        assert (await http.get("/messages", params={"state": "dead"})).json()["messages"] == []
        (shown,) = (await http.get("/messages", params={"state": "delivered"})).json()["messages"]
        assert (shown["redelivered"], shown["error"]) == (0, None)
        alive = await http.post("/messages/r1.confirmed/resend", json={"to": "eva@example.com"})
        assert (alive.status_code, alive.json()["resent"]) == (200, False)
        assert alive.json()["message"] == shown
        missing = await http.post("/messages/r9.confirmed/resend", json={})
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("body", [{"to": "a b"}, {"to": ""}, {"colour": "red"}, []])
async def test_a_senseless_correction_is_refused(open_app, body):
    async with open_app() as http:
        refused = await http.post("/messages/r1.confirmed/resend", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


async def test_an_unknown_state_is_refused(open_app):
    async with open_app() as http:
        assert (await http.get("/messages", params={"state": "lost"})).status_code == 422
