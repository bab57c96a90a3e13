"""An intermittent database: commits fail, some before and some after they took effect.

No request is touched: the store's writer asks `Faults.store_plan` before each commit.
"""

from chaos.faults.base import Fault

FAULT = Fault(
    name="db_flap",
    summary_es="La base de datos falla al guardar, a veces antes y a veces después del commit.",
    summary_en="The database fails when saving, sometimes before and sometimes after the commit.",
    default_probability=0.5,
    services=("reservations", "inventory", "payments", "notifications"),
)
