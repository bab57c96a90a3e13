"""The kill matrix: buyers buy while services die, freeze, lose replies and run out of disk; then the books are audited.

A run is generator (`crowd`) + nemesis (`acts`, chosen by `plan`) + quiet phase (`rest`) + audit, in stages, each on a
mesh of its own (`run`). What happened when is kept (`history`) and drawn on one page (`page`).

Not here: what a fault does (`chaos.faults`, `chaos.proxy`), what must be true at rest (the auditor).
"""
