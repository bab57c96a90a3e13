"""Slowness: the request waits, then runs as if nothing had happened.

The body is already in memory (an outer middleware read it), so the late request runs to its end
even when its caller has long left: that is the fault that makes a late `/pay` meet its tombstone.
"""

from chaos.faults.base import Fault, Injection


async def _effect(injection: Injection) -> None:
    await injection.runtime.sleep(injection.active.seconds)
    await injection.proceed()


FAULT = Fault(
    name="latency",
    summary_es="Cada petición espera unos segundos y después se ejecuta igualmente.",
    summary_en="Every request waits some seconds and then runs all the same.",
    effect=_effect,
    default_seconds=20.0,
)
