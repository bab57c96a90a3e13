"""The shape of a layer, and how layers become one call.

A **call** is a coroutine function without arguments. A **layer** is a coroutine function that takes
the call and makes it its own way. Each policy file offers a **wrap**: given the layer inside, it
returns the layer around it. `fold` nests them once, when a pipeline is bound, so that a call costs
one coroutine per layer and builds nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

Call = Callable[[], Awaitable[Any]]
"""The work itself, ready to be made, once per attempt."""

Layer = Callable[[Call], Awaitable[Any]]
"""Makes a call under one policy."""

Wrap = Callable[[Layer], Layer]
"""Puts a layer around another."""


def plain(fn: Call) -> Awaitable[Any]:
    """The innermost layer: makes the call."""
    return fn()


def fold(wraps: Sequence[Wrap], around: Layer = plain) -> Layer:
    """Nest the wraps, first one outermost, around a layer."""
    folded = around
    for wrap in reversed(wraps):
        folded = wrap(folded)
    return folded
