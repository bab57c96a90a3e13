"""Payments on virtual time: the real app in process, and the parts with a provider that does what it is told."""

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
from payments.app import create_app
from payments.loops import Settle
from payments.settings import Settings
from payments.store import SCHEMA, Store
from payments.usecases import Payments
from resilience.testing import Script, VirtualTimeLoop


def pytest_asyncio_loop_factories(config, item):
    return {"virtual": VirtualTimeLoop}


class ScriptedProvider:
    """Each action plays its own script; by default the provider agrees at once."""

    def __init__(self):
        self.authorize = Script("authorized")
        self.capture = Script(None)
        self.void = Script(None)
        self.refund = Script(None)
        self.lookup = Script(None)

    def calls(self) -> dict[str, int]:
        return {name: script.attempts for name, script in vars(self).items() if script.attempts}


@pytest.fixture
def provider() -> ScriptedProvider:
    return ScriptedProvider()


@pytest.fixture
def open_store(tmp_path):
    """`async with open_store() as store`: the store alone; `plan` is what the fault does to each commit."""

    @asynccontextmanager
    async def opener(plan: Callable[[], str | None] = lambda: None):
        runtime, metrics = simulated(7, {}), Metrics()
        path = tmp_path / "payments.db"
        async with Writer.open(path, SCHEMA, runtime, metrics, plan=plan) as writer:
            yield Store(writer, runtime, metrics)

    return opener


@pytest.fixture
def open_payments(tmp_path, provider):
    """`async with open_payments() as it`: it.payments, it.settle, it.store with the scripted provider; no loop runs."""

    @asynccontextmanager
    async def opener(**settings: object):
        runtime, metrics = simulated(7, {}), Metrics()
        found = Settings(data_dir=tmp_path, **settings)
        path = tmp_path / "payments.db"
        async with Writer.open(path, SCHEMA, runtime, metrics, plan=lambda: None) as writer:
            store = Store(writer, runtime, metrics)
            payments = Payments(store, provider, found, runtime, metrics)
            settle = Settle(payments, metrics.gauge("payments_open", "Open."))
            yield SimpleNamespace(payments=payments, store=store, settle=settle)
            await settle.drain(60)

    return opener


@pytest.fixture
def open_app(tmp_path):
    """`async with open_app() as http`: a client of the real app, its loop and simulated provider included."""

    @asynccontextmanager
    async def opener(**settings: object):
        found = Settings(data_dir=tmp_path, chaos_enabled=True, **settings)
        async with (
            serve(create_app(found, simulated(7, {}))) as transport,
            httpx.AsyncClient(
                transport=transport, base_url="http://payments", timeout=None
            ) as http,
        ):
            yield http

    return opener


@pytest.fixture
def entries(tmp_path):
    """The provider's history: `entries()` → [(ref, kind, amount_minor)]."""

    def read() -> list[tuple[str, str, int]]:
        db = sqlite3.connect(tmp_path / "provider.db")
        try:
            return db.execute("SELECT ref, kind, amount_minor FROM entry ORDER BY seq").fetchall()
        finally:
            db.close()

    return read
