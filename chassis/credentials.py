"""Tokens: what a service shows to whom it calls, and how it knows who shows one.

A token is `tq.CALLER.SECRET`, another one for every pair of caller and callee: who is called learns nothing that opens
any other door. A callee has digests only, compared in constant time, so its file lets nobody pretend to be a caller.

Source of the format: docs/adr/0017. Not here: who may call what (`chassis.identity`); making the files
(`chaos.credentials`).
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, NamedTuple, Protocol

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from chassis.runtime import Runtime
from chassis.settings import ServiceSettings

log = structlog.get_logger()

LOOK_EVERY_S: Final = 1.0
"""So often a file is looked at again, seconds; besides, whenever somebody shows a token that is not in it."""

_PREFIX: Final = b"tq."
_NAME: Final = 32  # longest name of a caller
_SEEN: Final = (
    64  # so many tokens of the lab are remembered: its key is public, and so is making some
)

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class CredentialsUnusable(Exception):
    """A credentials file cannot be read, makes no sense or is another service's."""


class Credentials(Protocol):
    """The tokens of one service."""

    def bearer(self, callee: str) -> str | None:
        """The Authorization header for calls to `callee`; None if there is no token for it."""

    def caller(self, token: bytes) -> str | None:
        """Who shows `token`; None if nobody that is known does, or does so any longer."""


class Accepted(BaseModel):
    """A token that is taken for a caller's.

    Attributes:
        caller: Whose.
        sha256: Digest of the whole token, in hex.
        not_after: When it expires, if ever.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    caller: str = Field(min_length=1, max_length=_NAME)
    sha256: Digest
    not_after: AwareDatetime | None = None


class CredentialsFile(BaseModel):
    """What a credentials file says.

    Attributes:
        service: Whose file it is.
        calls: The token to show, by callee.
        callers: Whom it lets in; several of one caller while tokens are being rotated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: str
    calls: Mapping[str, str]
    callers: Sequence[Accepted]


def credentials_of(name: str, settings: ServiceSettings, runtime: Runtime) -> Credentials | None:
    """The credentials of service `name`; None where it has none.

    Raises:
        CredentialsUnusable: There is a file, and it is of no use.
    """
    if settings.service_credentials is not None:
        return FileCredentials(settings.service_credentials, name, runtime)
    return LabCredentials(name, settings.lab_key) if settings.lab_key else None


class LabCredentials:
    """Every token derived from one public key: names callers, as the shop does, and keeps nobody out."""

    def __init__(self, name: str, key: str) -> None:
        self._name = name
        self._key = key
        self._bearers: dict[str, str] = {}
        # Written by `caller`.
        self._seen: dict[bytes, str] = {}

    def bearer(self, callee: str) -> str | None:
        """As the protocol says."""
        found = self._bearers.get(callee)
        if found is None:
            found = self._bearers[callee] = f"Bearer {lab_token(self._key, self._name, callee)}"
        return found

    def caller(self, token: bytes) -> str | None:
        """As the protocol says."""
        seen = self._seen.get(token)
        if seen is not None:
            return seen
        name = _named(token)
        if name is None:
            return None
        wanted = lab_token(self._key, name, self._name).encode()
        if not hmac.compare_digest(_digest(token), _digest(wanted)):
            return None
        if len(self._seen) < _SEEN:
            self._seen[token] = name
        return name


def lab_token(key: str, caller: str, callee: str) -> str:
    """What `caller` shows to `callee` in a lab with this key."""
    secret = hmac.new(key.encode(), f"{caller}>{callee}".encode(), "sha256").hexdigest()
    return f"tq.{caller}.{secret}"


class _Known(NamedTuple):
    digest: bytes
    expires_s: float | None


class FileCredentials:
    """Credentials from a file, read again when it has changed; a change that makes no sense changes nothing.

    One per app and event loop. Reading is a `stat` a second, and a small file when that says so.

    Raises:
        CredentialsUnusable: At the start only.
    """

    def __init__(self, path: Path, name: str, runtime: Runtime) -> None:
        self._path = path
        self._name = name
        self._runtime = runtime
        # All five are written by `_read` only, but that `caller` adds to `_seen` what it found true: a look-up by a
        # keyed hash tells a guesser nothing of how far a guess agrees. Tokens that expire are looked at every time.
        self._mark: tuple[int, int, int] | None = None
        self._looked_s = runtime.mono()
        self._bearers: dict[str, str] = {}
        self._known: dict[str, list[_Known]] = {}
        self._seen: dict[bytes, str] = {}
        try:
            self._mark = self._marked()
            self._read()
        except (OSError, ValueError) as error:
            raise CredentialsUnusable(f"{path}: {_said(error)}") from None

    def bearer(self, callee: str) -> str | None:
        """As the protocol says."""
        self._look_again()
        return self._bearers.get(callee)

    def caller(self, token: bytes) -> str | None:
        """As the protocol says."""
        self._look_again()
        seen = self._seen.get(token)
        if seen is not None:
            return seen
        found = self._caller(token)
        if found is None and self._look():  # who shows it may have heard of a rotation first
            found = self._caller(token)
        return found

    def _caller(self, token: bytes) -> str | None:
        name = _named(token)
        if name is None:
            return None
        shown = _digest(token)
        for known in self._known.get(name, ()):
            if not hmac.compare_digest(shown, known.digest):
                continue
            if known.expires_s is None:
                self._seen[token] = name
                return name
            return name if self._runtime.now().timestamp() < known.expires_s else None
        return None

    def _look_again(self) -> None:
        if self._runtime.mono() - self._looked_s >= LOOK_EVERY_S:
            self._look()

    def _look(self) -> bool:
        """Read the file if it has changed; whether it had, for the better."""
        self._looked_s = self._runtime.mono()
        try:
            mark = self._marked()
            if mark == self._mark:
                return False
            self._mark = mark
            self._read()
        except (OSError, ValueError) as error:
            log.warning("credentials_unusable", path=str(self._path), error=_said(error))
            return False
        log.info("credentials_read", path=str(self._path))
        return True

    def _marked(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> None:
        found = CredentialsFile.model_validate_json(self._path.read_bytes())
        if found.service != self._name:
            raise ValueError(f"these are the credentials of {found.service}, not of {self._name}")
        known: dict[str, list[_Known]] = {}
        for one in found.callers:
            until_s = None if one.not_after is None else one.not_after.timestamp()
            known.setdefault(one.caller, []).append(_Known(bytes.fromhex(one.sha256), until_s))
        self._bearers = {callee: f"Bearer {token}" for callee, token in found.calls.items()}
        self._known = known
        self._seen = {}


def _said(error: Exception) -> str:
    """What is wrong, without the values that it is wrong with: they are secrets."""
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _named(token: bytes) -> str | None:
    """The caller that a token names, true or not."""
    if not token.startswith(_PREFIX):
        return None
    name, dot, _ = token[len(_PREFIX) :].partition(b".")
    return name.decode() if dot and name.isalpha() and len(name) <= _NAME else None
