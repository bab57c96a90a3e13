"""The journal of a run, in the Chaos Toolkit's shape, and what it says."""

from typing import Any

Journal = dict[str, Any]
"""`status` (completed, failed, interrupted), `deviated`, `steady_states`, `run`, `rollbacks` and times."""

Run = dict[str, Any]
"""What came of one activity: `activity`, `output`, `status`, `exception` if it failed, `start`, `end`, `duration`, and
`tolerance_met` where it has a tolerance."""


def held(journal: Journal) -> bool:
    """Whether the steady state was there before and after, and nothing went wrong in between."""
    states = journal["steady_states"]
    return (
        journal["status"] == "completed"
        and not journal["deviated"]
        and all(states[when] and states[when]["steady_state_met"] for when in ("before", "after"))
    )
