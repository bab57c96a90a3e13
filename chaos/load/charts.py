"""Charts over time as SVG text: no script, no dependency; colours are classes, so that a page can be light or dark.

Every chart has a name for those who do not see it, a key for those who do not see colours, and a title on each part.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

Points = Sequence[tuple[float, float | None]]
"""Where and how much; None is a gap."""

WIDTH: Final = 1000
_LEFT, _RIGHT, _HEAD, _FOOT = 76, 12, 8, 22
_PLOT, _LANE = 150, 20


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis: values to pixels.

    Attributes:
        low: Value at `start`.
        high: Value at `end`.
        start: Pixel.
        end: Pixel.
        is_log: Equal steps are equal ratios; `low` is above 0.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value; what lies outside is moved to the edge."""
        value = min(max(value, self.low), self.high)
        if self.is_log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, about: int) -> Iterator[float]:
        """Round values on it; on a logarithmic one 1 of each power of ten, and 2 and 5 if there are few."""
        if not self.is_log:
            step = round_up((self.high - self.low) / about)
            yield from (
                n * step
                for n in range(math.ceil(self.low / step), int(self.high / step + 1e-9) + 1)
            )
            return
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        steps = (1, 2, 5) if last - first <= about // 2 else (1,)
        for power in range(first, last + 1):
            for step in steps:
                if self.low <= (tick := step * 10.0**power) <= self.high * 1.0001:
                    yield tick


_STEPS: Final = (1, 2, 5, 10)
_TOPS: Final = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)


def round_up(value: float, steps: Sequence[float] = _STEPS) -> float:
    """The next of these times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in steps if step * power >= value * 0.999)


def _upwards(highest: float) -> Scale:
    """From 0 to a little above the highest value."""
    return Scale(0.0, round_up(highest * 1.02, _TOPS), float(_HEAD + _PLOT), _HEAD)


def log_scale(values: Sequence[float], start: float, end: float) -> Scale:
    """One that holds them all, at least a power of ten."""
    some = [value for value in values if value > 0] or [1.0]
    low = 10.0 ** math.floor(math.log10(min(some)))
    return Scale(low, max(round_up(max(some)), low * 10), start, end, is_log=True)


def time_axis(last_s: float) -> Scale:
    """Seconds from left to right; the same for all charts of a page."""
    return Scale(0.0, max(last_s, 1.0), _LEFT, WIDTH - _RIGHT)


def lines(
    name: str,
    across: Scale,
    series: Mapping[str, Points],
    *,
    unit: str,
    is_log: bool = False,
    limit: float | None = None,
) -> str:
    """Lines over time, one class for each (`c0`, `c1` …), and a dashed one at a limit."""
    values = [value for points in series.values() for _, value in points if value is not None]
    if limit is not None:
        values.append(limit)
    up = log_scale(values, _HEAD + _PLOT, _HEAD) if is_log else _upwards(max(values, default=1.0))
    parts = [*_frame(across, up, unit)]
    if limit is not None:
        y = up.at(limit)
        parts.append(f'<path class="limit" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>')
    for number, (title, points) in enumerate(series.items()):
        parts += _line(points, across, up, number, title)
    return _document(name, _HEAD + _PLOT + _FOOT, parts) + _key(
        {title: f"c{number}" for number, title in enumerate(series)}
    )


def stacks(
    name: str, across: Scale, columns: Mapping[int, Mapping[str, int]], classes: Mapping[str, str]
) -> str:
    """A column for each second, of what came in it; `classes` gives order and colour."""
    highest = max((sum(parts.values()) for parts in columns.values()), default=1)
    up = _upwards(highest)
    drawn = [*_frame(across, up, "/s")]
    for second, parts in columns.items():
        x, end, low = across.at(second), across.at(second + 1), 0
        for title, colour in classes.items():
            count = parts.get(title, 0)
            if not count:
                continue
            top, bottom = up.at(low + count), up.at(low)
            low += count
            drawn.append(
                f'<rect class="{colour}" x="{x:.1f}" y="{top:.1f}" width="{max(end - x - 0.6, 0.4):.1f}" '
                f'height="{bottom - top:.1f}"><title>{second} s · {escape(title)}: {count}</title></rect>'
            )
    return _document(name, _HEAD + _PLOT + _FOOT, drawn) + _key(classes)


def lanes(
    name: str,
    across: Scale,
    rows: Mapping[str, Sequence[tuple[float, float, str]]],
    classes: Mapping[str, str],
) -> str:
    """A lane for each name, with what it was from when to when."""
    left, height = 300, _LANE * len(rows)
    inner = Scale(across.low, across.high, left, across.end)
    drawn = []
    for number, (lane, spans) in enumerate(rows.items()):
        y = _HEAD + number * _LANE
        drawn.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{escape(lane)}</text>')
        drawn += [
            f'<rect class="{classes[kind]}" x="{inner.at(begin):.1f}" y="{y + 3}" height="{_LANE - 6}" '
            f'width="{max(inner.at(end) - inner.at(begin), 0.5):.1f}">'
            f"<title>{escape(lane)}: {escape(kind)}, {begin:.0f}–{end:.0f} s</title></rect>"
            for begin, end, kind in spans
        ]
    drawn += _seconds(inner, _HEAD + height)
    return _document(name, _HEAD + height + _FOOT, drawn) + _key(classes)


def histogram(
    name: str, spans: Sequence[tuple[float, float, int]], marks: Mapping[str, float], unit: str
) -> str:
    """How often which value was seen, on a logarithmic axis, with marks at some of them."""
    values = [value for low, high, _ in spans for value in (low, high)]
    across = log_scale(values, _LEFT, WIDTH - _RIGHT)
    bins = [0] * 90
    for low, high, count in spans:
        place = (across.at((low + high) / 2) - _LEFT) / (WIDTH - _RIGHT - _LEFT)
        bins[min(int(place * len(bins)), len(bins) - 1)] += count
    up = _upwards(max(bins) * 1.4)  # room for the names of the marks
    wide = (WIDTH - _RIGHT - _LEFT) / len(bins)
    drawn = [
        f'<rect class="c0" x="{_LEFT + number * wide:.1f}" y="{up.at(count):.1f}" width="{wide - 0.6:.1f}" '
        f'height="{_HEAD + _PLOT - up.at(count):.1f}"/>'
        for number, count in enumerate(bins)
        if count
    ]
    drawn += _rules(up, "")
    for tick in across.ticks(12):
        x = across.at(tick)
        anchor = "middle" if x < WIDTH - 3 * _RIGHT else "end"
        drawn.append(_text(x, _HEAD + _PLOT + 16, f"{_number(tick)}{unit}", anchor))
    for number, (title, value) in enumerate(marks.items()):
        x, y = across.at(value), _HEAD + 12 + 14 * (number % 3)
        drawn.append(f'<path class="limit" d="M{x:.1f} {_HEAD}V{_HEAD + _PLOT}"/>')
        drawn.append(_text(x + 3, y, title, "start"))
    return _document(name, _HEAD + _PLOT + _FOOT, drawn)


def _line(points: Points, across: Scale, up: Scale, number: int, title: str) -> Iterator[str]:
    pieces: list[list[str]] = [[]]
    for x, value in points:
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{across.at(x):.1f},{up.at(value):.1f}")
    for piece in pieces:
        if len(piece) == 1:  # a line of one point would not be seen
            left, top = piece[0].split(",")
            yield f'<circle class="c{number}" cx="{left}" cy="{top}" r="2.5"/>'
        elif piece:
            told = f"<title>{escape(title)}</title>"
            yield f'<polyline class="c{number}" points="{" ".join(piece)}">{told}</polyline>'


def _frame(across: Scale, up: Scale, unit: str) -> Iterator[str]:
    yield from _rules(up, unit)
    yield from _seconds(across, _HEAD + _PLOT)


def _rules(up: Scale, unit: str) -> Iterator[str]:
    for tick in up.ticks(4):
        y = up.at(tick)
        yield f'<path class="rule" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>'
        yield _text(_LEFT - 8, y + 4, f"{_number(tick)}{unit}", "end")


def _seconds(across: Scale, y: float) -> Iterator[str]:
    for tick in across.ticks(12):
        yield _text(across.at(tick), y + 16, f"{_number(tick)} s", "middle")


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 100 else f"{value:.3g}"


def _document(name: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(name)}">'
        f"{''.join(parts)}</svg>"
    )


def _key(classes: Mapping[str, str]) -> str:
    words = "".join(
        f'<span><i class="{c}"></i>{escape(title)}</span>' for title, c in classes.items()
    )
    return f'<p class="key">{words}</p>'
