"""Credentials files of a mesh: made, and rotated while it runs.

DIR/SERVICE/credentials.json, one folder for each service, so that each can be given its own and no other. A file holds
the tokens that its service shows, and digests of those that it takes; every pair of services has a token of its own.
Files and folders are their owner's alone, and are replaced whole.

Rotation loses no call: first every file lets in the new tokens beside the old, then every file shows the new ones. A
service that is shown a token it does not know looks at its file before it refuses.

Not here: what the services make of them (`chassis.credentials`, whose format this is).
"""

import hashlib
import json
import os
import secrets  # noqa: TID251 - secrets at rest for a real machine, outside the simulated mesh
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

FILE: Final = "credentials.json"


class CredentialsThere(Exception):
    """There are credentials in the folder already.

    Args:
        folder: That folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(f"there are credentials in {folder}")
        self.folder = folder


class CredentialsMissing(Exception):
    """There are no credentials of a service to rotate.

    Args:
        path: Where they should be.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is missing")
        self.path = path


def path_of(folder: Path, service: str) -> Path:
    """Where the credentials of a service are."""
    return folder / service / FILE


def make(folder: Path, services: Sequence[str], *, not_after: datetime | None = None) -> list[Path]:
    """Credentials for every service.

    Args:
        folder: Where to; made if it is missing.
        services: Their names.
        not_after: When the tokens expire, aware; never if None.

    Raises:
        CredentialsThere: There are some.
    """
    if any(path_of(folder, service).exists() for service in services):
        raise CredentialsThere(folder)
    tokens = _tokens(services)
    return [
        _write(path_of(folder, name), _document(name, tokens, _entries(name, tokens, not_after)))
        for name in services
    ]


def rotate(
    folder: Path,
    services: Sequence[str],
    now: datetime,
    *,
    overlap_s: float,
    not_after: datetime | None = None,
) -> list[Path]:
    """New tokens for every service; the old ones expire after `overlap_s` seconds.

    Args:
        folder: Where the credentials are.
        services: Their names.
        now: Aware.
        overlap_s: How long old tokens are still taken, seconds: above the second after which services look again.
        not_after: When the new tokens expire, aware; never if None.

    Raises:
        CredentialsMissing: A service has none.
    """
    for service in services:
        if not path_of(folder, service).is_file():
            raise CredentialsMissing(path_of(folder, service))
    tokens = _tokens(services)
    last = now + timedelta(seconds=overlap_s)
    entries = {}
    for name in services:
        path = path_of(folder, name)
        old = json.loads(path.read_text(encoding="utf-8"))
        kept = [_until(one, last) for one in old["callers"] if not _is_over(one, now)]
        entries[name] = [*kept, *_entries(name, tokens, not_after)]
        _write(path, {**old, "callers": entries[name]})
    return [
        _write(path_of(folder, name), _document(name, tokens, entries[name])) for name in services
    ]


def _tokens(services: Sequence[str]) -> dict[tuple[str, str], str]:
    """A token by caller and callee."""
    return {
        (caller, callee): f"tq.{caller}.{secrets.token_hex(32)}"
        for caller in services
        for callee in services
        if caller != callee
    }


def _entries(
    callee: str, tokens: dict[tuple[str, str], str], not_after: datetime | None
) -> list[dict[str, Any]]:
    until = None if not_after is None else not_after.isoformat()
    return [
        {
            "caller": caller,
            "sha256": hashlib.sha256(token.encode()).hexdigest(),
            "not_after": until,
        }
        for (caller, called), token in tokens.items()
        if called == callee
    ]


def _document(
    name: str, tokens: dict[tuple[str, str], str], entries: list[dict[str, Any]]
) -> dict[str, Any]:
    calls = {callee: token for (caller, callee), token in tokens.items() if caller == name}
    return {"service": name, "calls": calls, "callers": entries}


def _is_over(entry: dict[str, Any], now: datetime) -> bool:
    until = entry["not_after"]
    return until is not None and datetime.fromisoformat(until) <= now


def _until(entry: dict[str, Any], last: datetime) -> dict[str, Any]:
    until = entry["not_after"]
    soonest = last if until is None else min(last, datetime.fromisoformat(until))
    return {**entry, "not_after": soonest.isoformat()}


def _write(path: Path, document: dict[str, Any]) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(document, file, indent=2)
    draft.replace(path)
    return path
