"""Breaking the mesh on purpose, and the tools around it.

Owns: the faults that live inside every service (`chaos.faults`), the local runner that starts the
five processes from compose.yaml (`chaos.stack`), load and race, and the command line `taquilla`
(`chaos.cli`). Talks to the services over HTTP only. Nothing here but `chaos.faults` runs inside a
service.
"""
