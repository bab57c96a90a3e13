"""Composition root of notifications."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from fastapi import FastAPI

from chassis.app import Chassis, build_app
from chassis.identity import OPERATOR, Callers
from chassis.loops import supervised
from chassis.runtime import Runtime
from chassis.serve import serve
from chassis.sqlite import Writer
from notifications.api import routes
from notifications.clients import SmtpMailer, StoreMailer
from notifications.domain import MessageState
from notifications.loops import Delivery
from notifications.settings import Settings
from notifications.store import SCHEMA, Store
from notifications.usecases import Notifications

CALLERS: Final[Callers] = {
    "POST /send": ("reservations",),
    "GET /messages": (OPERATOR,),
    "POST /messages/{notification_id}/resend": (OPERATOR,),
}


def create_app(settings: Settings, runtime: Runtime) -> FastAPI:
    """The notifications service."""
    chassis = Chassis("notifications", settings, runtime)
    metrics = chassis.metrics
    gauge = metrics.gauge("notifications_pending", "Messages neither delivered nor dead.")

    @asynccontextmanager
    async def service() -> AsyncIterator[Notifications]:
        async with AsyncExitStack() as stack:
            writer = await stack.enter_async_context(
                Writer.open(
                    settings.data_dir / "notifications.db",
                    SCHEMA,
                    runtime,
                    metrics,
                    plan=chassis.faults.store_plan,
                )
            )
            store = Store(writer, runtime, metrics)
            smtp = settings.smtp_url and SmtpMailer(
                settings.smtp_url.get_secret_value(), settings.mail_from, runtime
            )
            notifications = Notifications(
                store, _mailbox(store, runtime), smtp or None, settings, runtime, metrics
            )

            async def serves() -> bool:
                gauge.set(await store.pending())
                return True

            chassis.health.checks["store"] = serves
            stack.push_async_callback(notifications.drain, settings.shutdown_grace_s)
            loops = [Delivery(notifications, gauge).loop()]
            await stack.enter_async_context(
                supervised(loops, runtime, metrics, grace_s=settings.shutdown_grace_s)
            )
            yield notifications

    return build_app(
        chassis,
        summary="Avisos a los compradores, una sola vez cada uno · Messages to buyers, each once",
        service=service,
        routers=[routes()],
        callers=CALLERS,
    )


def _mailbox(store: Store, runtime: Runtime) -> StoreMailer:
    async def put(notification_id: str) -> MessageState:
        return await store.put_in_mailbox(notification_id, now=runtime.now().timestamp())

    return StoreMailer(put)


if __name__ == "__main__":
    serve("notifications", Settings, create_app)
