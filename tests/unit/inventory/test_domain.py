"""Which seats are best, and what rows are called."""

from itertools import islice

import pytest

from inventory.domain import Seat, best_available, row_name, seats_from


def hall(*free: int, row_length: int = 4) -> list[Seat]:
    seats = list(islice(seats_from(0, row_length), max(free) + 1))
    return [seats[rank] for rank in free]


@pytest.mark.parametrize(
    ("free", "quantity", "chosen"),
    [
        ((0, 1, 2, 3), 2, ["A-01", "A-02"]),
        ((0, 2, 3, 4), 2, ["A-03", "A-04"]),
        ((3, 4, 5), 2, ["B-01", "B-02"]),
        ((0, 2, 4), 2, ["A-01", "A-03"]),
        ((0,), 1, ["A-01"]),
    ],
)
def test_adjacent_seats_in_one_row_come_first(free, quantity, chosen):
    assert [seat.name for seat in best_available(hall(*free), quantity)] == chosen


def test_too_few_seats_are_none():
    assert best_available(hall(0, 1), 3) is None


def test_rows_go_on_after_z():
    assert [row_name(index) for index in (0, 25, 26, 27, 51, 52, 702)] == [
        "A",
        "Z",
        "AA",
        "AB",
        "AZ",
        "BA",
        "AAA",
    ]
