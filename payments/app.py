"""Composition root of payments."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from fastapi import FastAPI

from chassis.app import Admission, Chassis, build_app, preferring
from chassis.identity import OPERATOR, Callers
from chassis.loops import supervised
from chassis.runtime import Runtime
from chassis.serve import serve
from chassis.sqlite import Writer
from payments import usecases
from payments.api import routes
from payments.clients import PROVIDER_SCHEMA, Provider, SimulatedProvider
from payments.loops import Settle
from payments.settings import Settings
from payments.store import SCHEMA, Store
from payments.usecases import Payments
from resilience import Limit, Queue

CALLERS: Final[Callers] = {
    "POST /pay": ("reservations",),
    "POST /capture": ("reservations",),
    "POST /cancel": ("reservations",),
    "GET /payments/{payment_ref}": (OPERATOR,),
}


def create_app(
    settings: Settings, runtime: Runtime, *, provider: Provider | None = None
) -> FastAPI:
    """The payments service.

    Args:
        settings: Its settings.
        runtime: Its effects.
        provider: Who moves the money; the lab's own, beside this service, by default.
    """
    chassis = Chassis(
        "payments", settings, runtime, slow_route={"latency": "/pay"}, points=usecases.POINTS
    )
    metrics = chassis.metrics
    gauge = metrics.gauge("payments_open", "Payments that wait for the provider.")

    @asynccontextmanager
    async def service() -> AsyncIterator[Payments]:
        async with AsyncExitStack() as stack:
            writer = await stack.enter_async_context(
                Writer.open(
                    settings.data_dir / "payments.db",
                    SCHEMA,
                    runtime,
                    metrics,
                    plan=chassis.faults.store_plan,
                )
            )
            mover = provider
            if mover is None:
                mover = await stack.enter_async_context(_lab_provider(chassis, settings))
            store = Store(writer, runtime, metrics)
            payments = Payments(store, mover, settings, runtime, metrics)
            payments.reach = chassis.faults.reach
            chassis.traffic["provider"] = payments.traffic
            settle = Settle(payments, gauge)

            async def serves() -> bool:
                await store.open_counts()
                return True

            chassis.health.checks["store"] = serves
            chassis.health.values["payments_open"] = lambda: settle.open
            stack.push_async_callback(settle.drain, settings.shutdown_grace_s)
            await stack.enter_async_context(
                supervised([settle.loop()], runtime, metrics, grace_s=settings.shutdown_grace_s)
            )
            yield payments

    return build_app(
        chassis,
        summary="Pagos y un proveedor simulado; lo dudoso no es un fallo · "
        "Payments and a simulated provider; in doubt is not failed",
        service=service,
        admission=Admission(
            Limit(fixed=settings.max_inflight),
            queue=Queue(),
            priority=preferring("/cancel", "/capture"),
        ),
        routers=[routes()],
        callers=CALLERS,
    )


@asynccontextmanager
async def _lab_provider(chassis: Chassis, settings: Settings) -> AsyncIterator[Provider]:
    path = settings.data_dir / "provider.db"
    # The outside world is not struck by our faults.
    async with Writer.open(
        path, PROVIDER_SCHEMA, chassis.runtime, chassis.metrics, plan=lambda: None
    ) as books:
        yield SimulatedProvider(
            books,
            chassis.runtime,
            declines=chassis.faults.declines,
            latency_s=settings.provider_latency_s,
        )


if __name__ == "__main__":
    serve("payments", Settings, create_app)
