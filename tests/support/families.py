"""What the live registry of an app can tell: its metric families, with their kinds and labels."""

from typing import NamedTuple

from fastapi import FastAPI

_SERIES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",), "gauge": ("",)}


class Family(NamedTuple):
    """A metric family; `labels` in alphabetical order."""

    kind: str
    labels: tuple[str, ...]


def families(app: FastAPI) -> dict[str, Family]:
    """By name, as it would be written in the code: a counter without its `_total`."""
    registry = app.state.health._metrics.registry
    found = {}
    for collector in registry._collector_to_names:
        for one in collector.describe():
            labels = getattr(collector, "_labelnames", None) or getattr(one, "_labelnames", ())
            found[one.name] = Family(one.type, tuple(sorted(labels)))
    return found


def series(found: dict[str, Family]) -> dict[str, frozenset[str]]:
    """Labels by name of each series that a query may ask for."""
    return {
        name + suffix: frozenset(family.labels) | ({"le"} if suffix == "_bucket" else set())
        for name, family in found.items()
        for suffix in _SERIES[family.kind]
    }
