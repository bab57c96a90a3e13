"""Inventory: events, seats and holds. Never oversells.

Owns `inventory.db`. Invariants, all kept in SQL: a seat has at most one live hold; a hold is all-or-nothing; hold rows
are never deleted; a released or refused id is never taken again; only the token made with the hold confirms it.
Calls nobody.
"""
