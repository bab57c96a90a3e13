"""Pure rules of seats and holds: the state table, the catalogue, which seats are best.

Not here: storage and locking (`store.py`), time (passed in).
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import groupby
from typing import Final, NamedTuple


class HoldState(StrEnum):
    """States of a hold. (none) → HELD | REFUSED | RELEASED (tombstone)."""

    HELD = "HELD"
    SOLD = "SOLD"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"
    REFUSED = "REFUSED"


ARROWS: Final = frozenset(
    {
        (None, HoldState.HELD),
        (None, HoldState.REFUSED),
        (None, HoldState.RELEASED),
        (HoldState.HELD, HoldState.SOLD),
        (HoldState.HELD, HoldState.RELEASED),
        (HoldState.HELD, HoldState.EXPIRED),
        (HoldState.SOLD, HoldState.RELEASED),
    }
)
"""Every legal transition; each is a compare-and-set on the state in `store.py`."""

LIVE: Final = (HoldState.HELD, HoldState.SOLD)
"""States whose hold owns seats."""


class Seat(NamedTuple):
    """A place in the hall. `rank` orders seats from best (0) to worst and is unique within an event."""

    name: str
    row: str
    number: int
    rank: int


class Event(NamedTuple):
    """An entry of the catalogue. Money in minor units."""

    event_id: str
    name: str
    price_minor: int
    currency: str
    row_length: int
    capacity: int


CATALOGUE: Final = (
    Event("concert-01", "Noche de Boleros", 5000, "USD", 12, 96),
    Event("concert-02", "Sinfonía en la Plaza", 8000, "USD", 12, 120),
    Event("festival-01", "Festival del Palacio", 3500, "USD", 50, 2000),
)
"""The built-in events."""


def row_name(index: int) -> str:
    """A, B … Z, AA, AB …: the name of row `index`, from 0."""
    name = ""
    index += 1
    while index:
        index, letter = divmod(index - 1, 26)
        name = chr(ord("A") + letter) + name
    return name


def seats_from(rank: int, row_length: int) -> Iterator[Seat]:
    """Endless seats of a hall, front row first, starting at place `rank`."""
    while True:
        row, place = divmod(rank, row_length)
        name = row_name(row)
        yield Seat(f"{name}-{place + 1:02d}", name, place + 1, rank)
        rank += 1


def best_available(free: Sequence[Seat], quantity: int) -> list[Seat] | None:
    """The best `quantity` seats of `free`: the first adjacent ones in one row, else the best single ones.

    Args:
        free: Free seats by rank, best first.
        quantity: How many, >= 1.

    Returns:
        The seats in rank order, or None when there are too few.
    """
    if len(free) < quantity:
        return None
    for _, run in groupby(enumerate(free), key=lambda pair: (pair[1].row, pair[1].rank - pair[0])):
        together = [seat for _, seat in run][:quantity]
        if len(together) == quantity:
            return together
    return list(free[:quantity])
