"""Which of our languages an answer is in. The texts themselves: `chassis.catalogue`.

Source: RFC 9110 §12.5.4 (Accept-Language).
"""

import re
from functools import lru_cache
from typing import Final

from chassis.catalogue import LANGUAGES, Language

_RANGE: Final = re.compile(
    r"(?P<primary>\*|[A-Za-z]{1,8})(?:-[A-Za-z0-9]{1,8})*"
    r"(?:\s*;\s*[Qq]=(?P<weight>0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?"
)
_LANG: Final = re.compile(rb"(?:^|&)lang=(es|en)(?=&|$)")


@lru_cache(maxsize=256)
def negotiate(accept_language: str | None) -> Language:
    """Best language for an `Accept-Language` header (RFC 9110 §12.5.4).

    A language has the highest quality of the ranges that name it or a regional variant of it, else that of `*`. The
    best one wins; among equals the one that is named first, Spanish before English. What is not a range is ignored;
    where nothing that we speak is acceptable, the answer is Spanish.
    """
    named: dict[str, float] = {}
    for entry in (accept_language or "").split(","):
        found = _RANGE.fullmatch(entry.strip())
        if found is not None:
            primary, weight = found["primary"].lower(), float(found["weight"] or 1)
            named[primary] = max(weight, named.get(primary, 0.0))
    anything = named.get("*", 0.0)
    order = [*(lang for lang in named if lang in LANGUAGES), *LANGUAGES]
    best = max(LANGUAGES, key=lambda lang: (named.get(lang, anything), -order.index(lang)))
    return best if named.get(best, anything) > 0 else "es"


def asked_for(query: bytes, accept_language: str | None) -> Language:
    """The language of an answer: `?lang=` of the query if it names one of ours, else by `Accept-Language`."""
    found = _LANG.search(query) if query else None
    if found is None:
        return negotiate(accept_language)
    return "en" if found[1] == b"en" else "es"
