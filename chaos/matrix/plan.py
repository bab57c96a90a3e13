"""What is done to which mesh, when: stages, and in each an endless draw of acts, alone and in pairs."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from chaos.matrix.acts import Act, needs_short_holds

_WEIGHTS: Final = {
    "kill": 3,
    "crash": 4,
    "link": 3,
    "freeze": 1,
    "store": 1,
    "world": 1,
    "disk": 2,
}
"""How often each family has its turn."""

_PAIRS: Final = 0.5
"""Share of turns with two acts at once."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A mesh of its own.

    Attributes:
        name: For the report.
        seconds: How long buyers buy and the nemesis strikes.
        links: Whether all calls go through proxies; holds are short there, too, so that some end before their sale.
        small_disk: Whether the data folder is one that can be filled.
    """

    name: str
    seconds: float
    links: bool = False
    small_disk: bool = False


def stages(budget_s: float, only: str | None) -> list[Stage]:
    """How the budget is spent.

    Half of it on a mesh whose services call each other directly (so that a dead one refuses connections), the rest on
    one with a proxy in every link and on one with a small disk.
    """
    disk_s = min(8.0, budget_s / 5)
    found = {
        "direct": Stage("direct", (budget_s - disk_s) * 0.6),
        "links": Stage("links", (budget_s - disk_s) * 0.4, links=True),
        "disk": Stage("disk", disk_s, small_disk=True),
    }
    if only is None:
        return list(found.values())
    family = only.partition(":")[0]
    name = {"link": "links", "disk": "disk"}.get(family, "direct")
    if needs_short_holds(only):
        name = "links"
    one = found[name]
    return [Stage(one.name, budget_s, one.links, one.small_disk)]


def turns(acts: Sequence[Act], only: str | None, lots: random.Random) -> Iterator[list[Act]]:
    """Endless turns of one or two acts with the company they need.

    Each family's acts come in a shuffled order, all before any comes again. No two acts of a turn share a lane.

    Raises:
        LookupError: `only` names nothing.
    """
    chosen = [act for act in acts if only is None or act.name.startswith(only)]
    if not chosen:
        raise LookupError(only)
    by_name = {act.name: act for act in acts}
    cycles = {
        family: _cycle([act for act in chosen if act.family == family], lots)
        for family in sorted({act.family for act in chosen})
    }
    while True:
        turn: list[Act] = []
        for _ in range(2 if lots.random() < _PAIRS else 1):
            family = lots.choices(list(cycles), [_WEIGHTS[name] for name in cycles])[0]
            _join(turn, next(cycles[family]), by_name)
        yield turn


def _cycle(acts: list[Act], lots: random.Random) -> Iterator[Act]:
    while True:
        lots.shuffle(acts)
        yield from list(acts)


def _join(turn: list[Act], act: Act, by_name: dict[str, Act]) -> None:
    for one in (act, by_name.get(act.company or "")):
        if one is not None and all(one.lane != other.lane for other in turn):
            turn.append(one)
