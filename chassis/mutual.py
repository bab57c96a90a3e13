"""Mutual TLS between services: both ends show a certificate of one authority.

A certificate names its service (a DNS name among its subject's alternatives), not a machine: who calls inventory takes
nobody else's certificate for it, wherever it listens, and a caller's token counts only with the caller's certificate.

A folder has `ca.pem`, and for its service `NAME.pem` (with what leads to the authority) and `NAME.key`. They are read
when the process starts.

Source: RFC 9525 §6.3 (names to match); docs/adr/0017.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

CERTIFIED: Final = "tls_names"
"""Member of a scope that came over mutual TLS: the names in the caller's certificate."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """The files of one service.

    Attributes:
        folder: Where they are.
        name: The service.
    """

    folder: Path
    name: str

    @property
    def authority(self) -> Path:
        """Whose certificates are taken."""
        return self.folder / "ca.pem"

    @property
    def own(self) -> tuple[Path, Path]:
        """The service's certificate, and its key."""
        return self.folder / f"{self.name}.pem", self.folder / f"{self.name}.key"

    def for_calls(self) -> ssl.SSLContext:
        """What a caller shows, and whom it believes.

        Raises:
            OSError: A file is missing, or is not what it should be (ssl.SSLError).
        """
        context = ssl.create_default_context(cafile=str(self.authority))
        context.load_cert_chain(*self.own)
        return context

    def for_uvicorn(self) -> dict[str, Any]:
        """What a server shows, and whom it lets in."""
        chain, key = self.own
        return {
            "ssl_certfile": str(chain),
            "ssl_keyfile": str(key),
            "ssl_ca_certs": str(self.authority),
            "ssl_cert_reqs": ssl.CERT_REQUIRED,
        }


def names_of(certificate: Mapping[str, Any]) -> frozenset[str]:
    """The DNS names of a peer's certificate, as `SSLSocket.getpeercert` gives it."""
    return frozenset(name for kind, name in certificate.get("subjectAltName", ()) if kind == "DNS")
