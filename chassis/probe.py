"""`python -m chassis.probe NAME URL`: is a service alive? For healthchecks of containers; standard library only.

Where TLS_DIR is set, it asks as NAME itself would, by NAME's own certificate.
"""

import os
import ssl
import sys
import urllib.parse
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path

from chassis.mutual import Certificates

LIMIT_S = 2.0


def main(name: str, url: str) -> int:
    """Exit code 0 if it answers 200."""
    parts = urllib.parse.urlsplit(url)
    folder = os.environ.get("TLS_DIR")  # noqa: TID251 - a process of its own, beside the service
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=LIMIT_S)
    if folder:
        context = Certificates(Path(folder), name).for_calls()
        context.check_hostname = (
            False  # it is asked at an address, and its certificate names a service
        )
        connection = HTTPSConnection(
            parts.hostname or "", parts.port, timeout=LIMIT_S, context=context
        )
    try:
        connection.request("GET", parts.path)
        return 0 if connection.getresponse().status == 200 else 1
    except (OSError, ssl.SSLError, HTTPException):
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
