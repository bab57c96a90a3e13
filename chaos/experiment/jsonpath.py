"""The part of JSON path that experiments use, with the meaning that the Chaos Toolkit gives it.

    $  .name  ["name"]  [2]  [-1]  [*]  [?(@.code = "sold_out" or @.status = "confirmed")]

A filter is asked about the value that it stands behind, so lists need `[*]` before it. It compares members with
literals (= != < <= > >=) and joins comparisons with `and` or with `or`, not both; a member that is not there makes a
comparison false, `!=` too.

Source: jsonpath2 0.4 (its Filter is not that of RFC 9535); tests/experiments compares the two.
"""

import json
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

_NAME: Final = r"[A-Za-z_]\w*"
_LITERAL: Final = r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|true|false|null'
_STEP: Final = re.compile(
    rf'\.(?P<name>{_NAME})|\["(?P<quoted>[^"\\]*)"\]|\[(?P<index>-?\d+)\]|(?P<all>\[\*\])'
)
_COMPARISON: Final = re.compile(
    rf"\s*@(?P<way>(?:\.{_NAME})*)\s*(?P<sign><=|>=|!=|=|<|>)\s*(?P<literal>{_LITERAL})\s*"
)
_JOINT: Final = re.compile(r"and|or")

Step = Callable[[Any], Iterator[Any]]


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda left, right: (
        isinstance(left, int | float) and isinstance(right, int | float) and compare(left, right)
    )


_SIGNS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
}


class JsonPath:
    """A path, ready to be looked up.

    Args:
        text: The path.

    Raises:
        ValueError: Not a path, or one with parts that are not understood here.
    """

    def __init__(self, text: str) -> None:
        self._steps = _parsed(text.strip())

    def values(self, document: Any) -> list[Any]:
        """Everything that the path leads to, in order."""
        found = [document]
        for step in self._steps:
            found = [value for one in found for value in step(one)]
        return found


def _parsed(text: str) -> Sequence[Step]:
    if not text.startswith("$"):
        raise ValueError("a JSON path begins with $")
    steps, at = list[Step](), 1
    while at < len(text):
        if text.startswith("[?(", at):
            test, at = _filter(text, at + 3)
            steps.append(_kept(test))
            continue
        step = _STEP.match(text, at)
        if step is None:
            raise ValueError(f"not understood: {text[at:]}")
        steps.append(_member(step))
        at = step.end()
    return steps


def _member(step: re.Match[str]) -> Step:
    if step["all"]:
        return _everything
    if step["index"]:
        return _numbered(int(step["index"]))
    return _named(step["name"] or step["quoted"])


def _everything(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _numbered(index: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]

    return step


def _named(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _kept(test: Callable[[Any], bool]) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if test(value):
            yield value

    return step


def _filter(text: str, at: int) -> tuple[Callable[[Any], bool], int]:
    """The test that begins at `at`, and where the path goes on behind its `)]`."""
    tests, joints = list[Callable[[Any], bool]](), set[str]()
    while True:
        comparison = _COMPARISON.match(text, at)
        if comparison is None:
            raise ValueError(f"not understood: {text[at:]}")
        tests.append(_compared(comparison))
        at = comparison.end()
        if text.startswith(")]", at):
            break
        joint = _JOINT.match(text, at)
        if joint is None:
            raise ValueError(f"not understood: {text[at:]}")
        joints.add(joint[0])
        at = joint.end()
    if len(joints) > 1:
        raise ValueError("and and or in one filter are not understood")
    every = joints != {"or"}

    def test(value: Any) -> bool:
        answers = [one(value) for one in tests]
        return all(answers) if every else any(answers)

    return test, at + 2


def _compared(comparison: re.Match[str]) -> Callable[[Any], bool]:
    way = [_named(name) for name in comparison["way"].split(".")[1:]]
    compare, literal = _SIGNS[comparison["sign"]], json.loads(comparison["literal"])

    def test(value: Any) -> bool:
        found = [value]
        for step in way:
            found = [inner for one in found for inner in step(one)]
        return any(compare(one, literal) for one in found)

    return test
