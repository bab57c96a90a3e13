"""The auditor: reads what every party wrote down and says whether the promise holds.

It imports nothing of ours but `chaos.journal` (how a journal is written), opens the five databases read-only, each in
one snapshot, and compares them with one another and with what buyers were told. What a legal transition is, what a
reference looks like and what an answer promises stands here a second time, on purpose (`arrows`).

The invariants I1 … I23 are entries of one table, `INVARIANTS`; each is one SQL query, or one rule in Python, whose rows
are the offending ids. *A* holds always, *Q* at rest. I20 (order of a waiting room) is left out: there is none.
docs/audit.md says what each means; tests/controls/ shows that each can turn red.
"""

from chaos.audit.books import Books, BooksMissing, in_folder
from chaos.audit.invariants import INVARIANTS
from chaos.audit.report import Report, Result, audit, audit_books
from chaos.audit.rule import Finding, Invariant
from chaos.audit.settle import Look, settle, still_open

__all__ = [
    "INVARIANTS",
    "Books",
    "BooksMissing",
    "Finding",
    "Invariant",
    "Look",
    "Report",
    "Result",
    "audit",
    "audit_books",
    "in_folder",
    "settle",
    "still_open",
]
