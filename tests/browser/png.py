"""Packing a browser's screenshot so that a page can afford it: 256 colours and zlib at its best.

Reads what Chromium writes and nothing more: 8 bits per channel, RGB or RGBA without transparency, no interlacing.
Source of the filters: PNG (third edition), chapter 9.
"""

import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

COLOURS: Final = 256
COMMON: Final = 96
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_CHANNELS: Final = {2: 3, 6: 4}

Colour = tuple[int, int, int]


def packed(png: bytes) -> bytes:
    """The same picture in 256 colours of its own; every other one becomes the nearest of them."""
    parts = list(_chunks(png))
    width, height, depth, kind, *_, interlaced = struct.unpack(">IIBBBBB", dict(parts)[b"IHDR"])
    if depth != 8 or interlaced or kind not in _CHANNELS:
        msg = f"not a screenshot: depth {depth}, colour type {kind}, interlaced {interlaced}"
        raise ValueError(msg)
    channels = _CHANNELS[kind]
    data = zlib.decompress(b"".join(content for name, content in parts if name == b"IDAT"))
    rows = [
        list(zip(row[0::channels], row[1::channels], row[2::channels], strict=True))
        for row in _unfiltered(data, width * channels, height, channels)
    ]
    palette, places = _palette(Counter(colour for row in rows for colour in row))
    pixels = b"".join(b"\0" + bytes([places[colour] for colour in row]) for row in rows)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    colours = bytes(value for colour in palette for value in colour)
    chunks = (
        (b"IHDR", head),
        (b"PLTE", colours),
        (b"IDAT", zlib.compress(pixels, 9)),
        (b"IEND", b""),
    )
    return _SIGNATURE + b"".join(_chunk(name, content) for name, content in chunks)


def _palette(counts: Counter[Colour]) -> tuple[list[Colour], dict[Colour, int]]:
    """The commonest colours, and the ones that would be missed most: far from all of these, and not single pixels."""
    ordered = [colour for colour, _ in counts.most_common()]
    kept, rest = ordered[:COMMON], ordered[COMMON:]
    nearest = {
        colour: min(range(len(kept)), key=lambda i: _apart(colour, kept[i])) for colour in rest
    }
    while len(kept) < COLOURS and nearest:
        missed = max(nearest, key=lambda one: counts[one] * _apart(one, kept[nearest[one]]))
        kept.append(missed)
        del nearest[missed]
        for colour, place in nearest.items():
            if _apart(colour, missed) < _apart(colour, kept[place]):
                nearest[colour] = len(kept) - 1
    return kept, {colour: place for place, colour in enumerate(kept)} | nearest


def _apart(one: Colour, other: Colour) -> int:
    return (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2 + (one[2] - other[2]) ** 2


def _unfiltered(data: bytes, size: int, height: int, step: int) -> Iterator[bytes]:
    """The rows of `size` bytes; `step` is the number of bytes of a pixel."""
    above = bytes(size)
    for start in range(0, height * (size + 1), size + 1):
        row = bytearray(data[start + 1 : start + 1 + size])
        if (guess := _GUESSES[data[start]]) is not None:
            for i in range(size):
                left, corner = (row[i - step], above[i - step]) if i >= step else (0, 0)
                row[i] = (row[i] + guess(left, above[i], corner)) & 255
        above = bytes(row)
        yield above


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    by = (abs(guess - left), abs(guess - up), abs(guess - corner))
    return (left, up, corner)[by.index(min(by))]


_GUESSES: Final[tuple[Callable[[int, int, int], int] | None, ...]] = (
    None,
    lambda left, _up, _corner: left,
    lambda _left, up, _corner: up,
    lambda left, up, _corner: (left + up) // 2,
    _paeth,
)
"""What each filter expects of a byte, from those to its left, above it and above that."""


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(_SIGNATURE)
    while place < len(png):
        (length,) = struct.unpack_from(">I", png, place)
        yield png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        place += length + 12


def _chunk(name: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )
