"""The six scenarios of the course, in order: what page, CLI and documents call them.

Two of them are not switches (the flood and the race are loads); their `fault` is None.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Scenario:
    """One course scenario.

    Attributes:
        name: Its name on the command line.
        service: The service that breaks; None for a load.
        fault: The fault of that service; None for a load.
        title_es: Its name in the course.
        title_en: The same in English.
        expected_es: What must be seen, Spanish, one sentence.
        expected_en: The same in English.
    """

    name: str
    service: str | None
    fault: str | None
    title_es: str
    title_en: str
    expected_es: str
    expected_en: str


SCENARIOS: Final[tuple[Scenario, ...]] = (
    Scenario(
        name="crash-inventory",
        service="inventory",
        fault="crash",
        title_es="El Inventario Fantasma",
        title_en="The ghost inventory",
        expected_es="503 inventory_unavailable en menos de 1 s; después se recupera solo.",
        expected_en="503 inventory_unavailable in under 1 s; afterwards it recovers alone.",
    ),
    Scenario(
        name="slow-payments",
        service="payments",
        fault="latency",
        title_es="La Pasarela Lenta",
        title_en="The slow payment gateway",
        expected_es="504 payment_timeout, los asientos vuelven a estar libres y no se cobra nada.",
        expected_en="504 payment_timeout, the seats are free again and no money moves.",
    ),
    Scenario(
        name="load",
        service=None,
        fault=None,
        title_es="El Diluvio",
        title_en="The flood",
        expected_es="429 gateway_saturated con Retry-After; el gateway sigue sano.",
        expected_en="429 gateway_saturated with Retry-After; the gateway stays healthy.",
    ),
    Scenario(
        name="db-flap",
        service="reservations",
        fault="db_flap",
        title_es="Base de Datos Intermitente",
        title_en="The intermittent database",
        expected_es="Reintentos y, si no basta, 503 storage_unavailable; nada queda a medias.",
        expected_en="Retries and, if not enough, 503 storage_unavailable; nothing half done.",
    ),
    Scenario(
        name="notifications-down",
        service="notifications",
        fault="down",
        title_es="El Correo Perdido",
        title_en="The lost mail",
        expected_es="200 con notification.sent=false; el correo llega cuando el servicio vuelve.",
        expected_en="200 with notification.sent=false; the mail arrives when the service is back.",
    ),
    Scenario(
        name="race",
        service=None,
        fault=None,
        title_es="Condición de Carrera",
        title_en="The race",
        expected_es="Un solo comprador obtiene el asiento; los demás reciben 409 sold_out.",
        expected_en="One buyer gets the seat; the others get 409 sold_out.",
    ),
)
"""All six, in course order."""
