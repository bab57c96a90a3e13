"""Composition root of reservations."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from fastapi import FastAPI

from chassis.app import Chassis, build_app
from chassis.identity import Callers
from chassis.loops import supervised
from chassis.runtime import Runtime
from chassis.serve import serve
from chassis.sqlite import Writer
from reservations import loops, saga
from reservations.api import routes
from reservations.clients import Inventory, Notifications, Payments, note
from reservations.loops import Outbox, Recovery
from reservations.saga import Collaborators
from reservations.settings import Settings
from reservations.store import SCHEMA, OutboxStore, SagaStore
from reservations.usecases import Drivers, Reservations

CALLERS: Final[Callers] = {
    "POST /reserve": ("gateway",),
    "GET /reservations/{reservation_id}": ("gateway",),
    "POST /reservations/{reservation_id}/cancel": ("gateway",),
}


def create_app(settings: Settings, runtime: Runtime) -> FastAPI:
    """The reservations service."""
    chassis = Chassis("reservations", settings, runtime, points=(*saga.POINTS, *loops.POINTS))
    metrics = chassis.metrics

    @asynccontextmanager
    async def service() -> AsyncIterator[Reservations]:
        async with AsyncExitStack() as stack:
            path = settings.data_dir / "reservations.db"
            plan = chassis.faults.store_plan
            writer = await stack.enter_async_context(
                Writer.open(path, SCHEMA, runtime, metrics, plan=plan)
            )
            upstreams = (
                chassis.upstream("inventory", settings.inventory_url, note),
                chassis.upstream("payments", settings.payments_url, note),
                chassis.upstream("notifications", settings.notifications_url, note),
            )
            for one in upstreams:
                stack.push_async_callback(one.aclose)
            owner = runtime.new_id()
            sagas = SagaStore(writer, runtime, metrics, owner=owner, lease_s=settings.lease_s)
            others = Collaborators(
                Inventory(upstreams[0]), Payments(upstreams[1]), Notifications(upstreams[2])
            )
            grace_s = settings.shutdown_grace_s
            drivers = await stack.enter_async_context(Drivers().running(grace_s=grace_s))
            svc = Reservations(
                sagas=sagas,
                outbox=OutboxStore(writer, runtime, metrics),
                others=others,
                drivers=drivers,
                settings=settings,
                runtime=runtime,
                mailed={},
                reach=chassis.faults.reach,
            )
            recovery = Recovery(svc, metrics)

            async def stores() -> bool:
                await sagas.counts()
                return True

            chassis.health.checks["store"] = stores
            chassis.health.values["open"] = lambda: recovery.counts
            work = [recovery.loop(), *Outbox(svc).loops()]
            await stack.enter_async_context(supervised(work, runtime, metrics, grace_s=grace_s))
            yield svc

    return build_app(
        chassis,
        summary="Orquesta la saga de cada reserva · Orchestrates each reservation's saga",
        service=service,
        routers=[routes()],
        callers=CALLERS,
    )


if __name__ == "__main__":
    serve("reservations", Settings, create_app)
