"""Composition root of inventory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI

from chassis.app import Admission, Chassis, build_app, preferring
from chassis.identity import LAB, Callers
from chassis.loops import supervised
from chassis.runtime import Runtime
from chassis.serve import serve
from chassis.sqlite import Writer
from inventory.api import routes
from inventory.loops import Sweep
from inventory.settings import Settings
from inventory.store import SCHEMA, Store
from inventory.usecases import Inventory
from resilience import Limit, Queue

CALLERS: Final[Callers] = {
    "POST /reserve": ("reservations",),
    "POST /confirm": ("reservations",),
    "POST /release": ("reservations",),
    "GET /events": ("gateway",),
    "GET /events/{event_id}/seats": ("gateway",),
    "POST /admin/reset": (LAB,),
}


def create_app(settings: Settings, runtime: Runtime) -> FastAPI:
    """The inventory service."""
    chassis = Chassis("inventory", settings, runtime)

    @asynccontextmanager
    async def service() -> AsyncIterator[Inventory]:
        path = settings.data_dir / "inventory.db"
        plan = chassis.faults.store_plan
        async with Writer.open(path, SCHEMA, runtime, chassis.metrics, plan=plan) as writer:
            store = Store(writer, runtime, chassis.metrics)
            await store.seed()
            inventory = Inventory(store, settings, runtime)

            async def serves() -> bool:
                await store.events()
                return True

            chassis.health.checks["store"] = serves
            loops = [Sweep(inventory, chassis.metrics).loop()]
            grace_s = settings.shutdown_grace_s
            async with supervised(loops, runtime, chassis.metrics, grace_s=grace_s):
                yield inventory

    return build_app(
        chassis,
        summary="Asientos y apartados; nunca vende dos veces el mismo · Seats and holds; never oversells",
        service=service,
        admission=Admission(
            Limit(fixed=settings.max_inflight),
            queue=Queue(),
            priority=preferring("/confirm", "/release"),
        ),
        routers=[routes(lab=settings.chaos_enabled)],
        callers=CALLERS,
    )


if __name__ == "__main__":
    serve("inventory", Settings, create_app)
