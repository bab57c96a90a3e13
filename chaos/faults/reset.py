"""The connection breaks before anything ran."""

from chaos.faults.base import Fault
from chaos.faults.wire import hang_up

FAULT = Fault(
    name="reset",
    summary_es="La conexión se corta sin respuesta y sin ejecutar nada.",
    summary_en="The connection breaks without an answer and nothing runs.",
    effect=hang_up,
)
