"""What an experiment file says, checked. Not here: where files are (`files`), running one (`run`).

Source of the format: the Chaos Toolkit's specification of an experiment (chaostoolkit.org/reference/api/experiment).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any, Final, Literal

from chaos.experiment.tolerance import Tolerance, tolerance

ANSWER_LIMIT_S: Final = 60.0
"""Longest wait for an answer where a file names no timeout, seconds."""

_TOP: Final = frozenset(
    {"version", "title", "description", "tags", "contributions", "configuration", "runtime"}
    | {"steady-state-hypothesis", "method", "rollbacks"}
)
_ACTIVITY: Final = frozenset({"type", "name", "tolerance", "provider", "pauses"})
_PROVIDER: Final = frozenset({"type", "url", "method", "headers", "arguments", "timeout"})
_CASTS: Final[dict[str | None, type]] = {None: str, "str": str, "int": int, "float": float}
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_HOLE: Final = re.compile(r"\$\{(\w+)\}")


class BadExperiment(Exception):
    """A file says something that is wrong, or that is not understood here.

    Args:
        where: Part of the file.
        what: What about it, English.
    """

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")


@dataclass(frozen=True, slots=True)
class Activity:
    """One probe or action: an HTTP request.

    Attributes:
        raw: As the file says it, for the journal.
        tolerance: What is expected; None where nothing is.
        before_s: Pause before it, seconds.
        after_s: Pause after it, seconds.
        timeout_s: Longest wait for the answer, seconds.
    """

    raw: Mapping[str, Any]
    name: str
    kind: Literal["probe", "action"]
    method: str
    url: str
    headers: Mapping[str, str]
    arguments: Any
    tolerance: Tolerance | None
    timeout_s: float
    before_s: float
    after_s: float


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment.

    Attributes:
        raw: The whole file, for the journal.
        hypothesis: Title of the steady state.
    """

    raw: Mapping[str, Any]
    title: str
    description: str
    hypothesis: str
    probes: Sequence[Activity]
    method: Sequence[Activity]
    rollbacks: Sequence[Activity]


def experiment(raw: Any, environment: Mapping[str, str]) -> Experiment:
    """Check a file's content and fill in its configuration.

    Raises:
        BadExperiment: Something is wrong or not understood; nothing was touched.
    """
    top = _mapping("experiment", raw, _TOP)
    values = _configuration(top.get("configuration", {}), environment)
    hypothesis = _mapping(
        "steady-state-hypothesis",
        top.get("steady-state-hypothesis"),
        frozenset({"title", "probes"}),
    )
    if top.get("runtime", {}) not in ({}, {"rollbacks": {"strategy": "always"}}):
        raise BadExperiment("runtime", "only rollbacks: {strategy: always}, which is what happens")
    probes = _activities("steady-state-hypothesis", hypothesis.get("probes"), values)
    for one in probes:
        if one.kind != "probe" or one.tolerance is None:
            raise BadExperiment(one.name, "a steady state is made of probes with a tolerance")
    if not probes:
        raise BadExperiment("steady-state-hypothesis", "has no probes")
    return Experiment(
        raw=top,
        title=_filled(_text("title", top.get("title")), values),
        description=_text("description", top.get("description")),
        hypothesis=_text("steady-state-hypothesis", hypothesis.get("title")),
        probes=probes,
        method=_activities("method", top.get("method"), values),
        rollbacks=_activities("rollbacks", top.get("rollbacks", []), values),
    )


def _mapping(where: str, said: Any, known: frozenset[str]) -> Mapping[str, Any]:
    if not isinstance(said, dict):
        raise BadExperiment(where, "is not a mapping")
    strange = sorted(str(one) for one in set(said) - known)
    if strange:
        raise BadExperiment(where, f"not understood: {', '.join(strange)}")
    return said


def _text(where: str, said: Any) -> str:
    if not isinstance(said, str) or not said.strip():
        raise BadExperiment(where, "is empty")
    return " ".join(said.split())


def _configuration(said: Any, environment: Mapping[str, str]) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise BadExperiment("configuration", "is not a mapping")
    return {name: _value(name, one, environment) for name, one in said.items()}


def _value(name: str, said: Any, environment: Mapping[str, str]) -> Any:
    where = f"configuration.{name}"
    if not isinstance(said, dict):
        return said
    keys = frozenset({"type", "key", "default", "env_var_type"})
    found = _mapping(where, said, keys)
    if found.get("type") != "env" or found.get("env_var_type") not in _CASTS:
        raise BadExperiment(where, "only type: env, as str, int or float")
    value = environment.get(str(found.get("key")), found.get("default"))
    if value is None:
        raise BadExperiment(where, f"{found.get('key')} is not set and there is no default")
    try:
        return _CASTS[found.get("env_var_type")](value)
    except ValueError as error:
        raise BadExperiment(where, str(error)) from error


def _activities(where: str, said: Any, values: Mapping[str, Any]) -> list[Activity]:
    if not isinstance(said, list):
        raise BadExperiment(where, "is not a list")
    return [
        _activity(f"{where}[{number}]", one, values) for number, one in enumerate(said, start=1)
    ]


def _activity(where: str, said: Any, values: Mapping[str, Any]) -> Activity:
    raw = _mapping(where, said, _ACTIVITY)
    name = _text(where, raw.get("name"))
    if raw.get("type") not in ("probe", "action"):
        raise BadExperiment(name, "type is neither probe nor action")
    if raw["type"] == "action" and "tolerance" in raw:
        raise BadExperiment(name, "only probes have a tolerance")
    provider = raw.get("provider")
    if not isinstance(provider, dict) or provider.get("type") != "http":
        raise BadExperiment(name, "only provider: {type: http}")
    asked = _fill(name, _mapping(name, provider, _PROVIDER), values)
    pauses = _fill(
        name, _mapping(name, raw.get("pauses", {}), frozenset({"before", "after"})), values
    )
    method = str(asked.get("method", "GET")).upper()
    if method not in _METHODS:
        raise BadExperiment(name, f"method {method}")
    return Activity(
        raw=raw,
        name=name,
        kind=raw["type"],
        method=method,
        url=_address(name, asked.get("url")),
        headers=_headers(name, asked.get("headers") or {}),
        arguments=asked.get("arguments"),
        tolerance=_tolerance(name, raw, values),
        timeout_s=_seconds(name, asked.get("timeout", ANSWER_LIMIT_S)),
        before_s=_seconds(name, pauses.get("before", 0)),
        after_s=_seconds(name, pauses.get("after", 0)),
    )


def _tolerance(name: str, raw: Mapping[str, Any], values: Mapping[str, Any]) -> Tolerance | None:
    if "tolerance" not in raw:
        return None
    try:
        return tolerance(_fill(name, raw["tolerance"], values))
    except ValueError as error:
        raise BadExperiment(name, f"not understood: {error}") from error


def _address(name: str, said: Any) -> str:
    if not isinstance(said, str) or not said.startswith(("http://", "https://")):
        raise BadExperiment(name, f"url {said!r}")
    return said


def _headers(name: str, said: Any) -> Mapping[str, str]:
    if not isinstance(said, dict) or not all(isinstance(one, str) for one in said.values()):
        raise BadExperiment(name, "headers are text to text")
    # "Bearer ${token}" without a token ends in a blank, which the sender's HTTP does not allow.
    return {header: value.strip() for header, value in said.items()}


def _seconds(name: str, said: Any) -> float:
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 <= said <= 3600:
        raise BadExperiment(name, f"{said!r} is no number of seconds from 0 to 3600")
    return float(said)


def _fill(name: str, said: Any, values: Mapping[str, Any]) -> Any:
    """With every `${name}` replaced; one that is the whole text keeps its type."""
    if isinstance(said, dict):
        return {key: _fill(name, one, values) for key, one in said.items()}
    if isinstance(said, list):
        return [_fill(name, one, values) for one in said]
    if not isinstance(said, str):
        return said
    for hole in _HOLE.findall(said):
        if hole not in values:
            raise BadExperiment(name, f"${{{hole}}} is not in the configuration")
    whole = _HOLE.fullmatch(said)
    return values[whole[1]] if whole else _filled(said, values)


def _filled(said: str, values: Mapping[str, Any]) -> str:
    return Template(said).safe_substitute(values)
