"""Starting meshes in tests without fixed ports."""

import itertools
import random

from chaos.ports import is_free

_PORTS = range(20_000, 32_000)
"""Below the range of outgoing connections (32768 and up on Linux), which collide by chance."""


def free_base_port(count: int = 5) -> int:
    """A port such that it and the next `count - 1` are free now."""
    starts = list(range(_PORTS.start, _PORTS.stop - count, count))
    random.SystemRandom().shuffle(starts)
    for base in itertools.islice(starts, 200):
        if all(is_free(port) for port in range(base, base + count)):
            return base
    msg = f"no {count} free ports in a row"
    raise AssertionError(msg)
