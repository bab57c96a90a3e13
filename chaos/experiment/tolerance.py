"""What a probe may answer: the tolerances of the Chaos Toolkit that experiments use.

    200                                                     the status
    [200, 503]                                              one of these
    {type: jsonpath, target: body, path: $.ok, expect: [true]}     what the path leads to, or `count` how many
    {type: regex, target: body, pattern: sold_out}          text somewhere in a body that is not application/json

Source: chaoslib/hypothesis.py (chaostoolkit-lib 1.44).
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from chaos.experiment.jsonpath import JsonPath

_KEYS: Final = {
    "jsonpath": frozenset({"type", "target", "path", "expect", "count"}),
    "regex": frozenset({"type", "target", "pattern"}),
}


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What is expected of an output (`status`, `headers`, `body`).

    Attributes:
        words: The expectation, for people.
        met_by: Whether an output meets it.
    """

    words: str
    met_by: Callable[[Mapping[str, Any]], bool]


def tolerance(said: Any) -> Tolerance:
    """A tolerance as a file says it, names already filled in.

    Raises:
        ValueError: It is none, or of a kind that is not understood here.
    """
    if isinstance(said, int) and not isinstance(said, bool):
        return Tolerance(str(said), lambda output: bool(output["status"] == said))
    if isinstance(said, list) and said and all(type(one) is int for one in said):
        words = ", ".join(str(one) for one in said)
        return Tolerance(words, lambda output: output["status"] in said)
    if isinstance(said, dict) and said.get("type") in _KEYS:
        kind = said["type"]
        strange = sorted(set(said) - _KEYS[kind])
        if strange or said.get("target") != "body":
            raise ValueError(f"{', '.join(strange) or 'a target other than body'}")
        return _jsonpath(said) if kind == "jsonpath" else _regex(said)
    raise ValueError(f"tolerance {said!r}")


def _jsonpath(said: Mapping[str, Any]) -> Tolerance:
    path = JsonPath(str(said.get("path", "")))
    if "expect" in said:
        expected = said["expect"] if isinstance(said["expect"], list) else [said["expect"]]
        words = f"{said['path']} = {json.dumps(expected, ensure_ascii=False)}"
        return Tolerance(words, lambda output: path.values(document(output)) == expected)
    if "count" in said:
        words = f"{said['path']} × {said['count']}"
        return Tolerance(words, lambda output: len(path.values(document(output))) == said["count"])
    return Tolerance(said["path"], lambda output: bool(path.values(document(output))))


def _regex(said: Mapping[str, Any]) -> Tolerance:
    try:
        pattern = re.compile(said["pattern"])
    except (KeyError, TypeError, re.error) as error:
        raise ValueError(f"regex: {error}") from error

    def met_by(output: Mapping[str, Any]) -> bool:
        body = output["body"]
        return isinstance(body, str) and pattern.search(body) is not None

    return Tolerance(f"/{said['pattern']}/", met_by)


def document(output: Mapping[str, Any]) -> Any:
    """The body, decoded where it is JSON of another media type, such as a problem document."""
    body = output["body"]
    if isinstance(body, str):
        try:
            return json.loads(body)
        except ValueError:
            return body
    return body
