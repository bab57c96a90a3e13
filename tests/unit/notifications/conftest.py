"""Notifications on virtual time: the real app in process, and the parts with a mailer that does what it is told."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace

import httpx
import pytest

from chassis.runtime import simulated
from chassis.sqlite import Writer
from chassis.telemetry import Metrics
from chassis.testing import serve
from notifications.app import create_app
from notifications.clients import StoreMailer
from notifications.loops import Delivery
from notifications.settings import Settings
from notifications.store import SCHEMA, Store
from notifications.usecases import Notifications
from resilience.testing import Script, VirtualTimeLoop


def pytest_asyncio_loop_factories(config, item):
    if item.path.name == "test_clients.py":  # talks to a real socket, so to real time
        return {"real": asyncio.SelectorEventLoop}
    return {"virtual": VirtualTimeLoop}


class ScriptedMailer:
    """A mailer over `send`, a Script; by default every mail is delivered."""

    is_atomic = False

    def __init__(self):
        self.send = Script(None)


@pytest.fixture
def smtp() -> ScriptedMailer:
    return ScriptedMailer()


@pytest.fixture
def open_store(tmp_path):
    """`async with open_store() as store`; `plan` is what the fault does to each commit."""

    @asynccontextmanager
    async def opener(plan: Callable[[], str | None] = lambda: None):
        runtime, metrics = simulated(7, {}), Metrics()
        path = tmp_path / "notifications.db"
        async with Writer.open(path, SCHEMA, runtime, metrics, plan=plan) as writer:
            yield Store(writer, runtime, metrics)

    return opener


@pytest.fixture
def open_notifications(open_store, smtp, tmp_path):
    """`async with open_notifications() as it`: it.svc, it.store, it.delivery; e-mail goes to the scripted mailer."""

    @asynccontextmanager
    async def opener(*, drain_s: float = 60.0, **store_options: object):
        async with open_store(**store_options) as store:
            runtime, metrics = simulated(8, {}), Metrics()

            async def put(notification_id: str):
                return await store.put_in_mailbox(notification_id, now=runtime.now().timestamp())

            settings = Settings(data_dir=tmp_path, gateway_url="http://shop.test")
            svc = Notifications(store, StoreMailer(put), smtp, settings, runtime, metrics)
            gauge = metrics.gauge("notifications_pending", "Pending.")
            yield SimpleNamespace(
                svc=svc, store=store, delivery=Delivery(svc, gauge), metrics=metrics
            )
            await svc.drain(drain_s)

    return opener


@pytest.fixture
def open_app(tmp_path):
    """`async with open_app() as http`: a client of the real app, its loop included."""

    @asynccontextmanager
    async def opener(**settings: object):
        found = Settings(data_dir=tmp_path, chaos_enabled=True, **settings)
        async with (
            serve(create_app(found, simulated(7, {}))) as transport,
            httpx.AsyncClient(
                transport=transport, base_url="http://notifications", timeout=None
            ) as http,
        ):
            yield http

    return opener


@pytest.fixture
def query(tmp_path):
    """`query(sql)` → rows of the database, read beside the service."""

    def read(sql: str) -> list[tuple]:
        db = sqlite3.connect(tmp_path / "notifications.db")
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()

    return read
