"""Payments: what we know about every payment, and a simulated provider that has the last word.

Owns `payments.db`; `provider.db` belongs to the simulated provider, a separate party that only `clients.py` touches.
Invariants: the *_PENDING row is committed before the provider is called; a time-out or an error is *unknown*, never
"failed"; VOIDED only after the provider acknowledged; one call at a time per reference; whatever is open is settled by
the loop, for ever. Calls the provider and nobody else.
"""
