"""The table of invariants, in order of their numbers."""

from typing import Final

from chaos.audit.answers import ANSWERS
from chaos.audit.money import MONEY
from chaos.audit.notices import NOTICES
from chaos.audit.rule import Invariant
from chaos.audit.sagas import SAGAS
from chaos.audit.seats import SEATS

INVARIANTS: Final[tuple[Invariant, ...]] = tuple(
    sorted(
        (*SEATS, *SAGAS, *ANSWERS, *MONEY, *NOTICES),
        key=lambda one: int(one.number.removeprefix("I")),
    )
)
"""I1 … I23, without I20: there is no waiting room."""
