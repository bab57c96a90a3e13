"""The card issuer says no. Payments' provider asks `Faults.declines` for each authorization."""

from chaos.faults.base import Fault

FAULT = Fault(
    name="fail",
    summary_es="El proveedor rechaza los pagos.",
    summary_en="The provider declines payments.",
    services=("payments",),
)
