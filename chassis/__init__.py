"""What every service shares: app factory, settings base, problems, runtime seam, storage, clients, loops, telemetry.

Invariants: nothing happens at import; no mutable module state; no knowledge of any service.
Not here: fault-tolerance policies (`resilience`), the faults themselves (`chaos.faults`).
"""
