"""Idempotency keys: what a usable key is, and when two requests are the same.

Source: IETF draft-ietf-httpapi-idempotency-key-header-07 (the header and 422 on reuse with another body).
"""

import hashlib
import json
import re
from typing import Any, Final

from chassis.errors import InvalidKey

USABLE_KEY: Final = r"[\x21-\x7e]{16,128}"
"""Pattern of a whole key."""

_KEY: Final = re.compile(USABLE_KEY)


def checked(key: str) -> str:
    """`key`, if it has 16 to 128 visible ASCII characters.

    Raises:
        InvalidKey: It has not.
    """
    if not _KEY.fullmatch(key):
        raise InvalidKey
    return key


def fingerprint(body: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of a *validated* body: equal for requests that mean the same."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
