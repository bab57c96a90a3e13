"""What the public body admits, and how a refusal names the field and the reason in both languages."""

import asyncio

import pytest

from gateway.schemas import ReserveRequest
from tests.unit.gateway.conftest import bench, confirmed


def order(**changes):
    return ReserveRequest.model_validate({"user_id": "ana", "event_id": "concert-01", **changes})


def test_defaults_are_part_of_the_canonical_order():
    assert order().canonical() == {
        "user_id": "ana",
        "event_id": "concert-01",
        "quantity": 1,
        "seats": None,
        "price_minor": None,
        "email": None,
    }


@pytest.mark.parametrize("price", [50, 50.0, "50", "50.0", "50.00"])
def test_prices_that_mean_the_same_are_the_same(price):
    assert order(price=price).canonical()["price_minor"] == 5000


@pytest.mark.parametrize(("price", "minor"), [(19.99, 1999), ("0.01", 1), (0.07, 7), (1.1, 110)])
def test_cents_are_exact(price, minor):
    assert order(price=price).canonical()["price_minor"] == minor


def test_named_seats_make_the_quantity_and_have_no_order():
    one, other = order(seats=["B-01", "A-02"]), order(seats=["A-02", "B-01"], quantity=2)
    assert one.canonical() == other.canonical()
    assert one.canonical()["quantity"] == 2


@pytest.mark.parametrize(
    "email", ["a@b.co", "ana.lopez+x@mail.example.com", "ñandú@example.org", "a@x-y.example"]
)
def test_sane_addresses_pass(email):
    assert order(email=email).email == email


BAD = [
    ({"user_id": ""}, "user_id", "formato", "format"),
    ({"user_id": "ana lópez"}, "user_id", "formato", "format"),
    ({"user_id": "a" * 65}, "user_id", "formato", "format"),
    ({"user_id": None}, "user_id", "texto", "text"),
    ({"event_id": "../x"}, "event_id", "formato", "format"),
    ({"quantity": 0}, "quantity", "como mínimo", "at least"),
    ({"quantity": 11}, "quantity", "como máximo", "at most"),
    ({"quantity": 1.5}, "quantity", "entero", "whole"),
    ({"quantity": "2"}, "quantity", "entero", "whole"),
    ({"quantity": True}, "quantity", "entero", "whole"),
    ({"price": 0}, "price", "mayor que", "greater"),
    ({"price": -1}, "price", "mayor que", "greater"),
    ({"price": 19.999}, "price", "decimales", "decimals"),
    ({"price": "50 USD"}, "price", "número", "number"),
    ({"price": True}, "price", "número", "number"),
    ({"price": "NaN"}, "price", "número", "number"),
    ({"price": "5e1"}, "price", "número", "number"),
    ({"price": ""}, "price", "número", "number"),
    ({"price": " 50"}, "price", "número", "number"),
    ({"price": 1e300}, "price", "como máximo", "at most"),
    ({"email": "nobody"}, "email", "correo", "e-mail"),
    ({"email": "a@b"}, "email", "correo", "e-mail"),
    ({"email": "a b@c.com"}, "email", "correo", "e-mail"),
    ({"email": "a@b.com\r\nBcc: x@y.zz"}, "email", "correo", "e-mail"),
    ({"email": "a" * 250 + "@b.com"}, "email", "correo", "e-mail"),
    ({"seats": []}, "seats", "al menos 1", "at least 1"),
    ({"seats": ["A-1"] * 2}, "seats", "repetidos", "repeated"),
    ({"seats": [f"A-{n}" for n in range(11)]}, "seats", "como máximo", "at most"),
    ({"seats": ["a-1"]}, "seats.0", "formato", "format"),
    ({"seats": ["A-١"]}, "seats.0", "formato", "format"),
    ({"seats": ["A-1", "A-2"], "quantity": 3}, "quantity", "no coincide", "differs"),
]


@pytest.mark.parametrize(("changes", "field", "spanish", "english"), BAD)
async def test_bad_field_is_named_with_its_reason_and_nothing_is_sent(
    changes, field, spanish, english
):
    async with bench(confirmed()) as desk:
        for language, reason in (("es", spanish), ("en", english)):
            response = await desk.reserve({"Accept-Language": language}, **changes)
            problem = response.json()
            assert (response.status_code, problem["code"]) == (422, "invalid_request")
            assert [one["field"] for one in problem["errors"]] == [field]
            assert reason in problem["errors"][0]["reason"]
        assert desk.reservations.attempts == 0


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "malformed_json"),
        (b"[]", 422, "invalid_request"),
        (b"", 422, "invalid_request"),
        (b'{"x": "' + b"a" * 70_000 + b'"}', 413, "payload_too_large"),
    ],
)
async def test_unusable_bodies(content, status, code):
    async with bench(confirmed()) as desk:
        response = await desk.http.post(
            "/api/reserve", content=content, headers={"content-type": "application/json"}
        )
        assert (response.status_code, response.json()["code"]) == (status, code)
        assert desk.reservations.attempts == 0


async def test_bad_bodies_hold_no_place_in_flight():
    async with bench(confirmed()) as desk:
        answers = await asyncio.gather(*(desk.reserve(quantity=0) for _ in range(5)))
        assert {one.status_code for one in answers} == {422}
        assert (await desk.reserve()).status_code == 200
