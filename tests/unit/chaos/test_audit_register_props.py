"""Each seat as a register. Properties:

- what really happened one after the other, seen through any intervals around it, is linearizable;
- the search agrees with trying every order, on short histories;
- two buyers who both were told one seat are not linearizable, unless it was given back in between.
"""

import itertools
from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.audit.register import NOBODY, Operation, why_not_linearizable

times = st.integers(0, 6).map(float)


def book(who, start, end, must=True):
    return Operation("book", who, start, end, must)


def give_back(who, start, end, must=True):
    return Operation("give_back", who, start, end, must)


def see(who, start, end):
    return Operation("see", who, start, end, must=True)


@st.composite
def histories(draw):
    """A few operations of two buyers, in any intervals, possible or not."""
    found = []
    for who in ("a", "b"):
        for kind in draw(
            st.lists(st.sampled_from(["book", "give_back", "see"]), max_size=2, unique=True)
        ):
            start = draw(times)
            end = draw(
                st.one_of(times.map(lambda length, start=start: start + length), st.just(inf))
            )
            must = kind == "see" or draw(st.booleans())
            found.append(Operation(kind, who, start, end, must))
    if draw(st.booleans()):
        found.append(see(draw(st.sampled_from(["a", "b", NOBODY])), inf, inf))
    return found


def some_order_exists(history):
    """The definition, tried out: a subset with all that must be, an order true to time, legal at every step."""
    required = [one for one in history if one.must]
    optional = [one for one in history if not one.must]
    for count in range(len(optional) + 1):
        for chosen in itertools.combinations(optional, count):
            if any(legal(order) for order in itertools.permutations([*required, *chosen])):
                return True
    return False


def legal(order):
    owner = NOBODY
    for at, one in enumerate(order):
        if any(later.end < one.start for later in order[at + 1 :]):
            return False
        match one.kind:
            case "book" if owner == NOBODY:
                owner = one.who
            case "give_back" if owner == one.who:
                owner = NOBODY
            case "see" if owner == one.who:
                pass
            case _:
                return False
    return True


@settings(max_examples=400)
@given(histories())
def test_the_search_agrees_with_trying_every_order(history):
    assert (why_not_linearizable(history) is None) == some_order_exists(history)


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3)), min_size=1, max_size=12), st.randoms())
def test_what_really_happened_is_linearizable_through_any_intervals(widths, chance):
    history, owner = [], NOBODY
    for at, (before, after) in enumerate(widths):
        interval = (at - before, at + after)
        if owner == NOBODY:
            owner = f"r{at}"
            history.append(book(owner, *interval))
        elif chance.random() < 0.5:
            history.append(see(owner, *interval))
        else:
            history.append(give_back(owner, *interval))
            owner = NOBODY
    chance.shuffle(history)
    assert why_not_linearizable([*history, see(owner, inf, inf)]) is None


def test_one_seat_told_to_two_buyers_is_found():
    told = [book("a", 0, 1), book("b", 0.5, 2)]
    assert "book b" in why_not_linearizable(told)
    assert why_not_linearizable([*told, give_back("a", 0.2, 1.5)]) is None
    assert why_not_linearizable([*told, give_back("a", 3, 4)]) is not None, "too late for b"


def test_an_acknowledged_seat_that_is_free_in_the_end_is_found():
    assert why_not_linearizable([book("a", 0, 1), see(NOBODY, inf, inf)]) is not None


def test_what_has_no_answer_may_have_happened_or_not():
    unknown = book("a", 0, inf, must=False)
    assert why_not_linearizable([unknown, see(NOBODY, inf, inf)]) is None
    assert why_not_linearizable([unknown, see("a", inf, inf)]) is None
    assert why_not_linearizable([unknown, book("b", 5, 6)]) is None


def test_a_thousand_sales_of_one_seat_are_quick():
    history = []
    for turn in range(500):
        history += [
            book(f"r{turn}", turn, turn + 0.7),
            give_back(f"r{turn}", turn + 0.5, turn + 1.2),
        ]
    assert why_not_linearizable([*history, see(NOBODY, inf, inf)]) is None
