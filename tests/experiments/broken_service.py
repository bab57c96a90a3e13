"""A real service with one rule broken: `python -m tests.experiments.broken_service payments "leaves a tombstone"`."""

import importlib
import sys
from collections.abc import Sequence

import reservations.loops
from chassis.serve import serve
from tests.controls.__main__ import found
from tests.controls.broken import Broken

NEVER_AGAIN = "what could not be delivered is tried again"

ONLY_HERE = {
    NEVER_AGAIN: (
        Broken(
            reservations.loops.Outbox,
            "_mark",
            {'"PENDING", status, delay_s)': '"PENDING", status, 1e9)'},
        ),
    )
}
"""Rules that experiments find broken, besides those of tests/controls."""


def broken_rules(words: str) -> Sequence[Broken]:
    """How the rule with these words is broken.

    Raises:
        ValueError: No rule has them, or several.
    """
    if words in ONLY_HERE:
        return ONLY_HERE[words]
    (control,) = found(words.split())
    return control.broken


def main(service: str, words: str) -> None:
    """Break the rule in this process and serve."""
    for one in broken_rules(words):
        one.__enter__()
    module = importlib.import_module(f"{service}.app")
    serve(service, module.Settings, module.create_app)


if __name__ == "__main__":
    main(*sys.argv[1:])
