#!/usr/bin/env python3
# ruff: noqa: PLC0415 - a service imports what its framework needs, and nothing else
"""The mesh as courses build it: synchronous services, a blocking client, everything in memory.

The gateway calls reservations, which calls inventory, payments and notifications, one after the other; each call blocks
a thread of a pool. The stock is a number behind a `threading.Lock`, reservations and payments are dictionaries: nothing
survives a restart. There are neither retries nor keys nor deadlines; a declined payment gives the seats back, unless
something breaks in between. The gateway lets so many in and answers 429 to one more.

Two spellings of the same: `flask` (Flask on waitress, requests with a session per thread) and `fastapi` (endpoints with
`def`, which run in its thread pool, and one blocking `httpx.Client`).

    python3 -m bench.course_style --urls '{"reservations": "http://…", …}' --serve gateway --port 20000
"""

import itertools
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from bench.null_mesh import service_options

TIMEOUT_S: Final = 5.0
STOCK: Final = 100_000_000
PRICE: Final = 35
THREADS: Final = 64
"""Of each service: as many as the most callers of a benchmark, so that nobody waits for a thread."""

Json = dict[str, Any]
Answer = tuple[int, Json]
Post = Callable[[str, Json], Answer]
"""URL and JSON to status and JSON; blocks."""

Handlers = Mapping[str, Callable[[Json], Answer]]
"""What a service does, by path."""


# --------------------------------------------------------------------------- the five services
def gateway(urls: Mapping[str, str], post: Post, limit: int) -> Handlers:
    """Lets `limit` requests in at a time."""
    places = threading.BoundedSemaphore(limit)

    def reserve(order: Json) -> Answer:
        if not places.acquire(blocking=False):
            return 429, {"error": "API Gateway saturado", "code": "gateway_saturated"}
        try:
            return post(f"{urls['reservations']}/reserve", order)
        finally:
            places.release()

    return {"/api/reserve": reserve}


def reservations(urls: Mapping[str, str], post: Post, _limit: int) -> Handlers:
    """Calls the others in turn, and remembers what came of it."""
    numbers = itertools.count(1)
    done: dict[str, Json] = {}

    def reserve(order: Json) -> Answer:
        asked = {"event_id": order["event_id"], "quantity": order.get("quantity", 1)}
        status, held = post(f"{urls['inventory']}/reserve", asked)
        if status != 200:
            return status, held
        charge = {"user_id": order["user_id"], "amount": PRICE * asked["quantity"]}
        status, paid = post(f"{urls['payments']}/pay", charge)
        if status != 200:
            post(f"{urls['inventory']}/release", asked)
            return status, paid
        notice = {"user_id": order["user_id"], "message": "Reserva confirmada."}
        status, _ = post(f"{urls['notifications']}/send", notice)
        reservation = {
            "status": "confirmed",
            "reservation_id": f"r-{next(numbers)}",
            "payment_id": paid["payment_id"],
            "notification_sent": status == 200,
            **order,
        }
        done[reservation["reservation_id"]] = reservation
        return 200, reservation

    return {"/reserve": reserve}


def inventory(_urls: Mapping[str, str], _post: Post, _limit: int) -> Handlers:
    """A stock behind a lock."""
    lock = threading.Lock()
    stock = {"concert-01": STOCK, "festival-01": STOCK}

    def reserve(asked: Json) -> Answer:
        with lock:
            left = stock.get(asked["event_id"], 0)
            if left < asked["quantity"]:
                return 409, {"error": "No hay asientos disponibles.", "code": "sold_out"}
            stock[asked["event_id"]] = left - asked["quantity"]
            return 200, {"status": "reserved", "left": stock[asked["event_id"]]}

    def release(asked: Json) -> Answer:
        with lock:
            stock[asked["event_id"]] += asked["quantity"]
            return 200, {"status": "released"}

    return {"/reserve": reserve, "/release": release}


def payments(_urls: Mapping[str, str], _post: Post, _limit: int) -> Handlers:
    """Approves every payment."""
    numbers = itertools.count(1)
    ledger: dict[str, Json] = {}

    def pay(charge: Json) -> Answer:
        payment_id = f"p-{next(numbers)}"
        ledger[payment_id] = charge
        return 200, {"status": "approved", "payment_id": payment_id}

    return {"/pay": pay}


def notifications(_urls: Mapping[str, str], _post: Post, _limit: int) -> Handlers:
    """Keeps every message."""
    sent: list[Json] = []

    def send(notice: Json) -> Answer:
        sent.append(notice)
        return 200, {"status": "sent"}

    return {"/send": send}


SERVICES: Final = {
    one.__name__: one for one in (gateway, reservations, inventory, payments, notifications)
}


# --------------------------------------------------------------------------- Flask
def requests_post() -> Post:
    """requests, with a kept connection per thread and callee."""
    import requests

    mine = threading.local()

    def post(url: str, body: Json) -> Answer:
        if not hasattr(mine, "session"):
            mine.session = requests.Session()
        answer = mine.session.post(url, json=body, timeout=TIMEOUT_S)
        return answer.status_code, answer.json()

    return post


def serve_flask(handlers: Handlers, port: int) -> None:
    """Flask on waitress's thread pool."""
    import flask
    import waitress

    app = flask.Flask("course")

    def route(path: str, handler: Callable[[Json], Answer]) -> None:
        def view() -> Any:
            status, body = handler(flask.request.get_json())
            return flask.jsonify(body), status

        app.add_url_rule(path, path, view, methods=["POST"])

    for path, handler in handlers.items():
        route(path, handler)
    app.add_url_rule("/healthz", "healthz", lambda: {"status": "ok"})
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    waitress.serve(
        app, host="127.0.0.1", port=port, threads=THREADS, connection_limit=1000, _quiet=True
    )


# --------------------------------------------------------------------------- FastAPI
def httpx_post() -> Post:
    """One blocking client for all threads."""
    import httpx

    client = httpx.Client(timeout=TIMEOUT_S)

    def post(url: str, body: Json) -> Answer:
        answer = client.post(url, json=body)
        return answer.status_code, answer.json()

    return post


def serve_fastapi(handlers: Handlers, port: int) -> None:
    """FastAPI with `def` endpoints, which run in its thread pool (40 threads, as it comes)."""
    import uvicorn
    from fastapi import FastAPI
    from fastapi.responses import JSONResponse

    app = FastAPI(openapi_url=None)

    def route(path: str, handler: Callable[[Json], Answer]) -> None:
        @app.post(path)
        def endpoint(body: dict[str, Any]) -> JSONResponse:
            status, said = handler(body)
            return JSONResponse(said, status)

    for path, handler in handlers.items():
        route(path, handler)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning")


FRAMEWORKS: Final = {
    "flask": (requests_post, serve_flask),
    "fastapi": (httpx_post, serve_fastapi),
}


def main() -> None:
    """Be one service."""
    options = service_options(__doc__)
    options.add_argument("--framework", choices=tuple(FRAMEWORKS), default="flask")
    options.add_argument("--limit", type=int, default=5, help="requests that the gateway lets in")
    chosen = options.parse_args()
    if chosen.serve is None:
        options.error("--serve is missing; `python3 -m bench.mesh` starts all five")
    client, serve = FRAMEWORKS[chosen.framework]
    serve(SERVICES[chosen.serve](chosen.urls, client(), chosen.limit), chosen.port)


if __name__ == "__main__":
    main()
