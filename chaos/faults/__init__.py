"""Faults that a service can be told to have, in lab mode only.

Owns: the fault catalogue, the live switches of one process, the ASGI middleware that lets them
strike, the control routes. Imports no service and no chassis: chassis imports this.
"""

from chaos.faults.base import Active, Fault, Injection
from chaos.faults.control import control_routes
from chaos.faults.middleware import FaultMiddleware
from chaos.faults.registry import (
    FAULTS,
    UNTOUCHABLE,
    FaultNotFound,
    Faults,
    FaultState,
    PointNotFound,
)
from chaos.faults.scenarios import SCENARIOS, Scenario
from chaos.faults.wire import ConnectionDropped

__all__ = [
    "FAULTS",
    "SCENARIOS",
    "UNTOUCHABLE",
    "Active",
    "ConnectionDropped",
    "Fault",
    "FaultMiddleware",
    "FaultNotFound",
    "FaultState",
    "Faults",
    "Injection",
    "PointNotFound",
    "Scenario",
    "control_routes",
]
