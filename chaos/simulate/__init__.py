"""The whole mesh in one process on virtual time: broken worlds by the thousand, each repeatable by its number.

The five unmodified apps run over a simulated network, simulated disks and a sealed machine; a seed decides everything
else. `run.run_seed` plays one and judges it with the auditor; `sweep` plays many; `shrink` looks for the smallest world
that still fails. docs/simulation.md shows how to read what they say.

Modelled on FoundationDB's and TigerBeetle's simulators. Not simulated: the bytes of HTTP, connection pools, uvicorn,
CPU time, loss of power, threads.
"""
