"""A small disk that can be filled: a tmpfs, for root on Linux only."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

SIZE_MB: Final = 48
_FILLER: Final = "filler"
_BLOCK: Final = b"\0" * 65536


class NoSmallDisk(Exception):
    """No tmpfs can be mounted here; the message says why."""


@asynccontextmanager
async def small_disk(folder: Path) -> AsyncIterator[Path]:
    """Mount a tmpfs of `SIZE_MB` on `folder` for the block.

    Raises:
        NoSmallDisk: Not Linux, not root, or the system does not let us.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NoSmallDisk("needs Linux and root")
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - before anything else runs
    options = ("-t", "tmpfs", "-o", f"size={SIZE_MB}m", "taquilla", str(folder))
    code, words = await _run("mount", *options)
    if code:
        raise NoSmallDisk(words or f"mount: exit {code}")
    try:
        yield folder
    finally:
        code, _ = await _run("umount", str(folder))
        if code:
            await _run("umount", "--lazy", str(folder))


def fill(folder: Path) -> None:
    """Leave not one byte free."""
    with (
        contextlib.suppress(OSError),  # full: what was wanted
        (folder / _FILLER).open("ab", buffering=0) as file,
    ):
        while True:
            file.write(_BLOCK)


def free(folder: Path) -> None:
    """Give the room back."""
    (folder / _FILLER).unlink(missing_ok=True)


async def _run(*command: str) -> tuple[int, str]:
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    except OSError as error:
        return 1, str(error)
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace").strip()
