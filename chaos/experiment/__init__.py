"""Experiments in the Chaos Toolkit's file format, run here without it: the same files, the same verdict.

The files are in chaos/experiments/. Understood is what they need (docs/experiments.md): HTTP probes and actions,
tolerances on status, JSON path and text, pauses, rollbacks. Whatever else a file says is refused before anything is
touched, because a run that ignored it would not be the same experiment.
"""
