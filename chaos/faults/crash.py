"""The service is as good as dead: every request gets an unmarked 503 at once."""

from chaos.faults.base import Fault, Injection, answer_problem


async def _effect(injection: Injection) -> None:
    await answer_problem(injection, 503, "service_crashed", "Service crashed")


FAULT = Fault(
    name="crash",
    summary_es="El servicio responde 503 al instante, sin decir cuándo volver.",
    summary_en="The service answers 503 at once, without saying when to come back.",
    effect=_effect,
)
