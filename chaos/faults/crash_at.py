"""The process dies at one named place, as with `kill -9`: `Faults.reach` is called at every such place.

The points of a service are enumerated from its own tables (saga steps, states, outbox kinds), so that a new step
cannot be forgotten; `GET /chaos` lists them. Strikes once: whoever comes back is healthy.
"""

from typing import Final

from chaos.faults.base import Fault

EXIT_CODE: Final = 137
"""What a shell reports of a process that was killed with -9."""

ANY: Final = "*"
"""The point that means "whichever comes next"."""

BATCH: Final = ("batch.before", "batch.after")
"""Points of every service with a database: before each group commit, and after it before anybody is answered."""

FAULT = Fault(
    name="crash_at",
    summary_es="El proceso muere (kill -9) al llegar a un punto: point, o el primero que alcance.",
    summary_en="The process dies (kill -9) on reaching a point: point, or the first it reaches.",
    services=("reservations", "inventory", "payments", "notifications"),
)
