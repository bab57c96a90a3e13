"""What pages and scripts say to people without their catalogue: a heuristic, made to be wrong on the loud side."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

BRAND = "Taquilla"
LETTER = r"[A-Za-zÀ-ÖØ-öø-ÿ]"

SHOWN_BEHIND = re.compile(
    r"(?:\btextContent\s*=|\balert\(|\bconfirm\(|\bnote\(|\bsay\((?:[^()]|\([^()]*\))+,"
    r"|[\"']?\b(?:aria-label|alt|title|placeholder)[\"']?\s*[:=])\s*$"
)
"""Code behind which a literal is read by people, be it one word."""

NAMED_BEHIND = re.compile(
    r"(?:\b(?:querySelector|querySelectorAll|closest|matches|matchMedia|getElementById)\("
    r"|[\"']?\b(?:class|className|viewBox|d|transform|points)[\"']?\s*[:=,](?:[^,;\n]*\?)?(?:[^,;\n]*:)?)\s*$"
)
"""Code behind which it is a name, a selector, a drawing."""


def is_text(said: str | None) -> bool:
    """Whether there are words in it, besides the brand."""
    return bool(re.search(f"{LETTER}{{2,}}", (said or "").replace(BRAND, "")))


def is_prose(said: str, names: set[str]) -> bool:
    """Whether it reads as a sentence, and not as names of ours side by side."""
    if re.search("[À-ÖØ-öø-ÿ¿¡]", said) or re.match(r"[A-Z][a-z]{2,}\b", said):
        return True
    words = re.findall(rf"{LETTER}[\w-]*", said)
    neighbours = re.search(rf"{LETTER}{{2,}}[,.:;]? +{LETTER}{{2,}}", said)
    return neighbours is not None and not set(words) <= names


def unspoken_for_in_page(html: str) -> list[str]:
    """Words that a page shows or reads out by itself."""
    page = _Page()
    page.feed(html)
    return page.found


def unspoken_for_in_script(source: str, names: set[str]) -> list[str]:
    """Literals of a script that people would read; `names` are words that only it and the style sheet know."""
    return [
        said
        for code, said in literals(source)
        if (SHOWN_BEHIND.search(code) and is_text(said))
        or (not NAMED_BEHIND.search(code) and is_prose(said.replace(BRAND, ""), names))
    ]


def literals(source: str) -> Iterator[tuple[str, str]]:
    """Each string of a script, without what a template fills in, and the code just before it."""
    at, end = 0, len(source)
    while at < end:
        if source.startswith("//", at):
            at = source.find("\n", at) % (end + 1)
        elif source.startswith("/*", at):
            at = source.index("*/", at) + 2
        elif source[at] in "\"'`":
            said, inner, after = _string(source, at)
            yield source[max(0, at - 120) : at], said
            for part in inner:
                yield from literals(part)
            at = after
        else:
            at += 1


def _string(source: str, start: int) -> tuple[str, list[str], int]:
    """The string that begins at `start`, the code within it, and where it ends."""
    quote, at, said, inner = source[start], start + 1, "", []
    while source[at] != quote:
        if source[at] == "\\":
            said, at = said + source[at + 1], at + 2
        elif quote == "`" and source.startswith("${", at):
            close = _close(source, at + 2)
            inner.append(source[at + 2 : close])
            at = close + 1
        else:
            said, at = said + source[at], at + 1
    return said, inner, at + 1


def _close(source: str, at: int) -> int:
    """Where the brace closes that opened before `at`."""
    depth = 1
    while True:
        if source[at] in "\"'`":
            *_, at = _string(source, at)
            continue
        depth += (source[at] == "{") - (source[at] == "}")
        if depth == 0:
            return at
        at += 1


class _Page(HTMLParser):
    SPOKEN = frozenset({"aria-label", "alt", "placeholder", "title"})

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._without_scripts = False

    def handle_starttag(self, tag, attrs):
        self._without_scripts = tag == "noscript" or self._without_scripts
        self.found += [said for name, said in attrs if name in self.SPOKEN and is_text(said)]

    def handle_endtag(self, tag):
        self._without_scripts = self._without_scripts and tag != "noscript"

    def handle_data(self, data):
        # Without scripts there is no catalogue: what is said then is said in both languages at once.
        if is_text(data) and not (self._without_scripts and " · " in data):
            self.found.append(data.strip())
