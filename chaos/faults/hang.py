"""A frozen service: requests get no answer until the fault is off, then they run."""

from typing import Final

from chaos.faults.base import Fault, Injection

_LOOK_EVERY_S: Final = 0.1


async def _effect(injection: Injection) -> None:
    while injection.still_on():
        await injection.runtime.sleep(_LOOK_EVERY_S)
    await injection.proceed()


FAULT = Fault(
    name="hang",
    summary_es="El servicio no contesta hasta que se apaga el fallo; entonces continúa.",
    summary_en="The service does not answer until the fault is off; then it goes on.",
    effect=_effect,
)
