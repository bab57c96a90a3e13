"""Reservations: the saga orchestrator. Turns one request into a seat and a payment, or into neither.

Owns `reservations.db`. Invariants: the reservation row is the idempotency record; every decision is committed before
the call that acts on it; before AUTHORIZED everything can be undone, from there on everything goes forward; follow-up
work is an outbox row in the same commit; a time-out is an unknown outcome, resolved by key and never guessed.
Calls inventory, payments and notifications.
"""
