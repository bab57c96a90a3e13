"""The experiment files: where they are, which there are, and reading one."""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from chaos.experiment.model import BadExperiment, Experiment, experiment

EXPERIMENTS: Final = Path(__file__).resolve().parents[1] / "experiments"
"""The folder of ours."""

_FIRST: Final = (
    "crash-inventory",
    "slow-payments",
    "load",
    "db-flap",
    "notifications-down",
    "race",
)
_KINDS: Final = (".yaml", ".yml", ".json")


class NoSuchExperiment(Exception):
    """Neither one of ours nor a file.

    Args:
        name: What was asked for.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"no experiment {name}")
        self.near = difflib.get_close_matches(name, names(), cutoff=0.4)


def names() -> list[str]:
    """Ours: the six scenarios in course order, then the others by name."""
    found = sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))
    return [*_FIRST, *(name for name in found if name not in _FIRST)]


def find(name: str) -> Path:
    """The file of one of ours, by name, or of anybody's, by path.

    Raises:
        NoSuchExperiment: There is none.
    """
    if name in names():
        return EXPERIMENTS / f"{name}.yaml"
    path = Path(name)
    if path.suffix in _KINDS and path.is_file():
        return path
    raise NoSuchExperiment(name)


def read(path: Path, environment: Mapping[str, str]) -> Experiment:
    """Read and check a file; `environment` is what its configuration may ask for.

    Raises:
        BadExperiment: It cannot be read, is wrong or says something that is not understood here.
    """
    try:
        text = path.read_text(encoding="utf-8")
        raw = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadExperiment(path.name, " ".join(str(error).split())) from error
    return experiment(raw, environment)
