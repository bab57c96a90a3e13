"""How long work shows how far it is."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click

_LINES: Final = 20
"""Lines at most where nobody watches a bar."""


@contextmanager
def progress(name: str, *, as_json: bool) -> Iterator[Callable[[float, str], None]]:
    """A bar where a person watches, lines where somebody reads, nothing where a program listens.

    Args:
        name: Shown until there is something to say.
        as_json: Whether the answer is for a program.

    Yields:
        To be called with the share that is done, 0 to 1, and a line about it.
    """
    watched = sys.stderr.isatty()
    if not watched and as_json:
        yield lambda _share, _text: None
        return
    if not watched:
        told = 0

        def line(share: float, text: str) -> None:
            nonlocal told
            if int(share * _LINES) > told:
                told = int(share * _LINES)
                click.echo(f"{share:4.0%} {text}", err=True)

        yield line
        return
    from rich.console import Console  # noqa: PLC0415 - only for people
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn  # noqa: PLC0415

    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=1.0)
        yield lambda share, text: bar.update(task, completed=share, description=text)
