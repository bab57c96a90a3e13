"""Small experiments to change one thing in."""

from copy import deepcopy
from typing import Any

BASE = "http://mesh"


def activity(kind: str, name: str, path: str, **more: Any) -> dict[str, Any]:
    """One request; `more` may hold tolerance, pauses, and parts of the provider."""
    outer = {key: more.pop(key) for key in ("tolerance", "pauses") if key in more}
    provider = {"type": "http", "url": f"${{url}}{path}", "timeout": 1, **more}
    return {"type": kind, "name": name, "provider": provider, **outer}


def probe(name: str, path: str, tolerance: Any = 200, **more: Any) -> dict[str, Any]:
    return activity("probe", name, path, tolerance=tolerance, **more)


def action(name: str, path: str, **more: Any) -> dict[str, Any]:
    return activity("action", name, path, method="POST", **more)


SMALL: dict[str, Any] = {
    "version": "1.0.0",
    "title": "Pequeño · Small",
    "description": "Un experimento · An experiment",
    "configuration": {"url": {"type": "env", "key": "TAQUILLA_URL", "default": BASE}},
    "steady-state-hypothesis": {"title": "todo bien · all is well", "probes": [probe("ok", "/ok")]},
    "method": [action("rompe · break", "/break")],
    "rollbacks": [action("arregla · mend", "/mend")],
}


def small(**changes: Any) -> dict[str, Any]:
    """The small one, with other parts; `probes` are those of the hypothesis."""
    made = deepcopy(SMALL)
    if "probes" in changes:
        made["steady-state-hypothesis"]["probes"] = changes.pop("probes")
    return made | changes
