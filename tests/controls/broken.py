"""One rule of the services broken, for the length of a block.

A rule is broken by editing the source of the one function that keeps it, so that everything else stays the real code;
an edit whose text is not there any more is an error, so that no control can quietly stop breaking anything.
"""

import inspect
import textwrap
from collections.abc import Mapping
from typing import Any, Self


class Broken:
    """Replaces `owner.name` while entered.

    Args:
        owner: A module or a class.
        name: The function, method or constant that keeps the rule.
        edits: Of its source: old text to new.
        instead: What stands there instead, where that says it better.
    """

    def __init__(
        self, owner: Any, name: str, edits: Mapping[str, str] | None = None, *, instead: Any = None
    ) -> None:
        self._owner, self._name, self.edits = owner, name, edits
        self._right = vars(owner)[name]
        self._wrong = instead if edits is None else edited(self._right, edits)

    def __enter__(self) -> Self:
        setattr(self._owner, self._name, self._wrong)
        return self

    def __exit__(self, *_error: object) -> None:
        setattr(self._owner, self._name, self._right)


def edited(right: Any, edits: Mapping[str, str]) -> Any:
    """A function, or a text, with `edits` made."""
    if isinstance(right, str):
        return _edit(right, edits)
    source = _edit(textwrap.dedent(inspect.getsource(right)), edits)
    found: dict[str, Any] = {}
    # The names that the function uses stay those of its module.
    exec(compile(source, f"<broken {right.__name__}>", "exec"), right.__globals__, found)
    return found[right.__name__]


def _edit(text: str, edits: Mapping[str, str]) -> str:
    for old, new in edits.items():
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in:\n{text}"
        text = text.replace(old, new)
    return text
