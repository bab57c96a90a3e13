"""What the runner leaves on disk for `ps` and `kill`: who runs on which data folder.

DATA/stack.lock  held by the living runner (the system drops it when the runner dies, however it
dies); contains its pid. DATA/stack.json  base port, start, and pid, port and restarts of each
service; rewritten whole at each change. A pointer in the temporary folder leads from a base port to
its data folder, so that `--port` alone names a mesh.
"""

import contextlib
import getpass
import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

STATE_FILE: Final = "stack.json"
LOCK_FILE: Final = "stack.lock"


class DataDirTaken(Exception):
    """Another runner works on this data folder.

    Args:
        data: The folder.
        pid: The other runner's process id, as text.
    """

    def __init__(self, data: Path, pid: str) -> None:
        super().__init__(f"{data} is used by the runner with pid {pid}")
        self.data = data
        self.pid = pid


class StateFiles:
    """The files of one running mesh. One per runner.

    Args:
        data: Data folder; made if it is missing.
        base_port: First port of the mesh.
    """

    def __init__(self, data: Path, base_port: int) -> None:
        self._data = data
        self._base_port = base_port
        self._lock: IO[str] | None = None

    def acquire(self) -> None:
        """Become the runner of the data folder.

        Raises:
            DataDirTaken: A living runner is there.
        """
        self._data.mkdir(parents=True, exist_ok=True)
        lock = (self._data / LOCK_FILE).open("a+", encoding="utf-8")
        if not _try_lock(lock):
            lock.seek(0)
            pid = lock.read().strip()
            lock.close()
            raise DataDirTaken(self._data, pid or "?")
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def write(self, services: dict[str, dict[str, Any]], started_at: datetime) -> None:
        """Record the services as they are now; nothing once the folder is let go."""
        if self._lock is None:
            return
        content = {
            "runner_pid": os.getpid(),
            "base_port": self._base_port,
            "data": str(self._data.resolve()),
            "started_at": started_at.isoformat(),
            "services": services,
        }
        _replace(self._data / STATE_FILE, json.dumps(content, indent=2))
        pointer = _pointer(self._base_port)
        with contextlib.suppress(OSError):  # a convenience: without it `--data` is needed
            pointer.parent.mkdir(mode=0o700, exist_ok=True)
            _replace(pointer, json.dumps({"data": str(self._data.resolve())}))

    def release(self) -> None:
        """Remove the record and let go of the folder; harmless when it was never acquired."""
        if self._lock is None:
            return
        (self._data / STATE_FILE).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            _pointer(self._base_port).unlink(missing_ok=True)
        self._lock.truncate(0)
        self._lock.close()
        self._lock = None


def find(base_port: int, data: Path | None, default: Path) -> dict[str, Any] | None:
    """The record of the mesh that a person means, or None when none is running there.

    Args:
        base_port: Its first port; ignored when `data` is given.
        data: Its data folder, if the person named one.
        default: The folder to look into first otherwise.
    """
    if data is not None:
        return _read_running(data)
    found = _read_running(default)
    if found is not None and found["base_port"] == base_port:
        return found
    with contextlib.suppress(OSError, ValueError, KeyError):
        found = _read_running(
            Path(json.loads(_pointer(base_port).read_text(encoding="utf-8"))["data"])
        )
        return found if found is not None and found["base_port"] == base_port else None
    return None


def wall_clock() -> datetime:
    """Aware UTC now. The runner is outside the simulated mesh, so it may look at the real clock."""
    return datetime.now(UTC)  # noqa: TID251 - see above


def _read_running(data: Path) -> dict[str, Any] | None:
    try:
        with (data / LOCK_FILE).open("r+", encoding="utf-8") as lock:
            if _try_lock(lock):
                return None  # nobody holds it: whatever stack.json says is the past
        content = json.loads((data / STATE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _try_lock(file: IO[str]) -> bool:
    try:
        if sys.platform == "win32":
            # Far behind the pid, so that others can still read it: Windows locks are mandatory.
            file.seek(1 << 20)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            file.seek(0)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def _pointer(base_port: int) -> Path:
    return Path(tempfile.gettempdir()) / f"taquilla-{getpass.getuser()}" / f"{base_port}.json"
