"""docs/licences.md: the licence of every package that the mesh runs on, as its installed metadata says it.

Renew it with `python3 dev.py docs`.
"""

import importlib.metadata
import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "licences.md"

COMPATIBLE: Final = frozenset(
    {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "PSF-2.0"}
)
"""May be used by a program under Apache-2.0. MPL-2.0 binds changes to its own files, of which there are none here."""

_CLASSIFIERS: Final = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
_HEAD: Final = """# Licences

What the mesh runs on, indirect dependencies included, and under which licence: what
[requirements.lock](../requirements.lock) pins, read from the packages' own metadata by `python3 dev.py docs`. A test
fails when the page is not current, and when a licence is not among those that a program under Apache-2.0 may use.
Tools of development and test are not part of what runs; their licences are in [dependencies.md](dependencies.md).

| package | licence |
|---|---|
"""


def locked() -> list[str]:
    """Names of all that is needed to run, on any system."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    return re.findall(r"^([a-z0-9][a-z0-9._-]*)==", text, re.MULTILINE)


def licence_of(name: str) -> str:
    """An SPDX expression, or what the metadata says instead, or nothing."""
    metadata = importlib.metadata.metadata(name)
    said = metadata.get("License-Expression") or ""
    field = (metadata.get("License") or "").strip()
    if not said and field in COMPATIBLE:
        said = field
    if not said:
        kinds = [
            one.rpartition(" :: ")[2]
            for one in metadata.get_all("Classifier") or []
            if one.startswith("License :: ") and one != "License :: OSI Approved"
        ]
        said = " OR ".join(sorted(_CLASSIFIERS.get(kind, kind) for kind in kinds))
    return said or field[:40]


def is_compatible(expression: str) -> bool:
    """Whether one of the alternatives may be used."""
    return any(
        all(part.strip(" ()") in COMPATIBLE for part in alternative.split(" AND "))
        for alternative in expression.split(" OR ")
    )


def page() -> str:
    """The whole document."""
    return _HEAD + "".join(f"| `{name}` | {licence_of(name)} |\n" for name in locked())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
