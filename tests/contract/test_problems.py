"""The refusals of the whole mesh: every code has its texts, one status, and a service that documents it."""

import importlib
import inspect

import pytest

from chassis.catalogue import MESSAGES, PROBLEMS
from chassis.errors import ServiceError

SERVICES = ("gateway", "reservations", "inventory", "payments", "notifications")

STATUSES = {
    "sold_out": 409,
    "seat_taken": 409,
    "event_not_found": 404,
    "reservation_not_found": 404,
    "price_changed": 409,
    "payment_declined": 402,
    "payment_timeout": 504,
    "inventory_unavailable": 503,
    "payments_unavailable": 503,
    "storage_unavailable": 503,
    "reservations_unavailable": 503,
    "gateway_saturated": 429,
    "rate_limited": 429,
    "deadline_exceeded": 504,
    "idempotency_key_reused": 422,
    "request_in_progress": 409,
    "reservation_in_progress": 409,
    "invalid_state": 409,
    "not_yours": 403,
    "hold_gone": 409,
    "hold_token_stale": 409,
    "payment_cancelled": 409,
    "event_busy": 409,
    "hold_not_found": 404,
    "payment_not_found": 404,
    "overloaded": 503,
    "bad_upstream": 502,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "internal_error": 500,
    "invalid_request": 422,
    "malformed_json": 400,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "malformed_request": 400,
    "uri_too_long": 414,
    "headers_too_large": 431,
    "request_timeout": 408,
    "too_many_connections": 429,
    "user_busy": 429,
}
"""The wire contract: codes are public, and so are their statuses."""

SPANISH = {
    "sold_out": "No hay asientos disponibles.",
    "payment_declined": "Pago rechazado por el proveedor.",
    "payment_timeout": "El pago tardó demasiado y fue cancelado.",
    "inventory_unavailable": "El servicio de inventario está inactivo.",
    "storage_unavailable": "No se pudo guardar la reserva.",
    "gateway_saturated": "API Gateway saturado: demasiadas solicitudes en vuelo.",
}


def errors_of(module):
    return [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, ServiceError) and "code" in vars(member)
    ]


def all_errors():
    modules = [importlib.import_module("chassis.errors")]
    modules += [
        importlib.import_module(f"{service}.errors")
        for service in SERVICES
        if importlib.util.find_spec(f"{service}.errors")
    ]
    return {error for module in modules for error in errors_of(module)}


def test_every_refusal_has_texts_and_one_status():
    for error in all_errors():
        assert error.code in PROBLEMS, error
        if error.code in STATUSES:
            assert error.status == STATUSES[error.code], error


def test_the_contract_is_complete():
    assert set(STATUSES) <= set(PROBLEMS)


@pytest.mark.parametrize("code", sorted(SPANISH))
def test_the_courses_sentences_are_unchanged(code):
    assert PROBLEMS[code].detail.es == SPANISH[code]


def test_no_text_is_missing_in_either_language():
    for name, (title, detail) in PROBLEMS.items():
        for text in (*title, *detail):
            assert text.strip(), name
    for name, text in MESSAGES.items():
        assert text.es.strip(), name
        assert text.en.strip(), name
