"""A bug: every request gets an unmarked 500."""

from chaos.faults.base import Fault, Injection, answer_problem


async def _effect(injection: Injection) -> None:
    await answer_problem(injection, 500, "service_failed", "Service failed")


FAULT = Fault(
    name="error",
    summary_es="El servicio responde 500 sin ejecutar nada.",
    summary_en="The service answers 500 and runs nothing.",
    effect=_effect,
)
