"""Local TCP ports: is one free, who holds it, does a service answer on it."""

import asyncio
import contextlib
import socket
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

LOOPBACK: Final = "127.0.0.1"
_LISTENING: Final = "0A"
_PROC: Final = Path("/proc")


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if sys.platform != "win32":  # there the option would allow stealing a port that is in use
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def holder(port: int) -> str | None:
    """Who listens on `port`, as "pid 123: command"; None where Linux's /proc does not tell."""
    inodes = {
        inode
        for table in ("tcp", "tcp6")
        for inode in _listening_inodes(_PROC / "net" / table, port)
    }
    if not inodes:
        return None
    for process in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or belongs to somebody else
            if any(
                _socket_inode(descriptor) in inodes for descriptor in (process / "fd").iterdir()
            ):
                words = (
                    (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
                return f"pid {process.name}: {words.strip()[:120]}"
    return None


def _listening_inodes(table: Path, port: int) -> set[str]:
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return set()
    rows = [line.split() for line in lines]
    suffix = f":{port:04X}"
    return {row[9] for row in rows if row[3] == _LISTENING and row[1].endswith(suffix)}


def _socket_inode(descriptor: Path) -> str | None:
    try:
        target = descriptor.readlink().name
    except OSError:
        return None
    return target[len("socket:[") : -1] if target.startswith("socket:[") else None


@dataclass(frozen=True, slots=True)
class Tls:
    """How to ask a service that wants a certificate: by its own.

    Attributes:
        folder: Where `ca.pem`, `NAME.pem` and `NAME.key` are.
        name: The service.
    """

    folder: Path
    name: str

    def context(self) -> ssl.SSLContext:
        """Shows the service's certificate, and takes no other from it.

        Raises:
            OSError: A file is missing or of no use.
        """
        found = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        found.load_cert_chain(self.folder / f"{self.name}.pem", self.folder / f"{self.name}.key")
        return found


async def answers_ok(port: int, path: str, limit_s: float = 2.0, tls: Tls | None = None) -> bool:
    """Whether `GET path` on a loopback port answers 200 within `limit_s` seconds."""
    try:
        secure: dict[str, Any] = {}
        if tls is not None:
            secure = {"ssl": tls.context(), "server_hostname": tls.name}
        async with asyncio.timeout(limit_s):
            reader, writer = await asyncio.open_connection(LOOPBACK, port, **secure)
            try:
                host = f"{LOOPBACK}:{port}"
                writer.write(
                    f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
                )
                status = (await reader.readline()).split()
                return len(status) > 1 and status[1] == b"200"
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
