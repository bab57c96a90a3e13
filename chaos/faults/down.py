"""The notifications service is out: every request gets an unmarked 503."""

from chaos.faults.base import Fault, Injection, answer_problem


async def _effect(injection: Injection) -> None:
    await answer_problem(injection, 503, "service_down", "Service down")


FAULT = Fault(
    name="down",
    summary_es="El servicio de notificaciones está caído: responde 503.",
    summary_en="The notification service is down: it answers 503.",
    effect=_effect,
    services=("notifications",),
)
