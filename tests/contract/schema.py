"""JSON Schema, as far as our API documents use it: does a value keep to a schema?

A keyword that is not known here is an error, so that nothing goes by unchecked.
"""

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

PROSE = {"title", "description", "default", "examples", "format", "deprecated", "$defs"}
TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: TYPES["number"](value) and value == value // 1,  # 3.0 is one, too
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def _fits(pattern: str, value: str) -> re.Match[str] | None:
    """JSON Schema's `$` is the end, Python's is also before a last line feed."""
    return re.search(re.sub(r"\$$", r"\\Z", pattern), value)


BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "const": lambda value, wanted: value == wanted,
    "enum": lambda value, wanted: value in wanted,
    "minimum": lambda value, bound: not TYPES["number"](value) or value >= bound,
    "maximum": lambda value, bound: not TYPES["number"](value) or value <= bound,
    "exclusiveMinimum": lambda value, bound: not TYPES["number"](value) or value > bound,
    "exclusiveMaximum": lambda value, bound: not TYPES["number"](value) or value < bound,
    "pattern": lambda value, bound: not isinstance(value, str) or bool(_fits(bound, value)),
    "minLength": lambda value, bound: not isinstance(value, str) or len(value) >= bound,
    "maxLength": lambda value, bound: not isinstance(value, str) or len(value) <= bound,
    "minItems": lambda value, bound: not isinstance(value, list) or len(value) >= bound,
    "maxItems": lambda value, bound: not isinstance(value, list) or len(value) <= bound,
    "uniqueItems": lambda value, _: not isinstance(value, list) or len(value) == len(set(value)),
    "multipleOf": lambda value, step: (
        not TYPES["number"](value) or Fraction(str(value)) % Fraction(str(step)) == 0
    ),
    "maxProperties": lambda value, bound: not isinstance(value, dict) or len(value) <= bound,
    "required": lambda value, names: not isinstance(value, dict) or set(names) <= set(value),
    "type": lambda value, name: TYPES[name](value),
}


def complaints(value: Any, schema: Any, document: Any, at: str = "") -> Iterator[str]:
    """What is wrong with `value`, one line each; `document` is where `$ref` leads."""
    for keyword, bound in schema.items():
        if keyword in BOUNDS:
            if not BOUNDS[keyword](value, bound):
                yield f"{at or '.'}: {value!r} breaks {keyword} {bound!r}"
        elif keyword not in PROSE:
            assert keyword in DEEPER, f"{at}: the keyword {keyword!r} is not known here"
            yield from DEEPER[keyword](value, schema, document, at)


def _referred(value: Any, schema: Any, document: Any, at: str) -> Iterator[str]:
    yield from complaints(value, referred(schema["$ref"], document), document, at)


def _any_of(value: Any, schema: Any, document: Any, at: str) -> Iterator[str]:
    every = [list(complaints(value, one, document, at)) for one in schema["anyOf"]]
    if all(every):
        yield from min(every, key=len)


def _one_of(value: Any, schema: Any, document: Any, at: str) -> Iterator[str]:
    every = [list(complaints(value, one, document, at)) for one in schema["oneOf"]]
    if sum(not one for one in every) != 1:
        yield f"{at or '.'}: {value!r} fits not exactly one of {len(every)}"


def _items(value: Any, schema: Any, document: Any, at: str) -> Iterator[str]:
    for number, item in enumerate(value if isinstance(value, list) else ()):
        yield from complaints(item, schema["items"], document, f"{at}[{number}]")


def _members(value: Any, schema: Any, document: Any, at: str) -> Iterator[str]:
    """Every member by its name, else by the patterns that it fits, else as one of the others."""
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    others = schema.get("additionalProperties", True)
    for name, member in value.items() if isinstance(value, dict) else ():
        fitting = [known[name]] if name in known else []
        fitting += [one for pattern, one in patterns.items() if _fits(pattern, name)]
        if not fitting and others is False:
            yield f"{at}.{name}: not allowed"
        elif not fitting and others is not True:
            fitting = [others]
        for one in fitting:
            yield from complaints(member, one, document, f"{at}.{name}")


DEEPER: dict[str, Callable[[Any, Any, Any, str], Iterator[str]]] = {
    "$ref": _referred,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "items": _items,
    "properties": _members,
    "patternProperties": _members,
    "additionalProperties": _members,
}


def referred(ref: str, document: Any) -> Any:
    """Where `#/components/schemas/X` leads."""
    found = document
    for part in ref.removeprefix("#/").split("/"):
        found = found[part]
    return found


def examples_of(media: Any, whole: Any) -> list[Any]:
    """The values that a media type shows: its own, else those of its schema."""
    if "example" in media:
        return [media["example"]]
    if media.get("examples"):
        return [one["value"] for one in media["examples"].values()]
    schema = media.get("schema", {})
    found = []
    for one in [schema, *schema.get("anyOf", ())]:
        found += (referred(one["$ref"], whole) if "$ref" in one else one).get("examples", [])
    return found
