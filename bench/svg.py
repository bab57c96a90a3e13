"""Line and bar charts as SVG text: no dependency, no script, readable in light and dark pages.

Colours are Okabe and Ito's, which people with any colour vision can tell apart; every series is also named in a legend.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

Points = Sequence[tuple[float, float]]

_COLOURS: Final = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_INK, _FAINT, _PAPER = "#222222", "#d9d9d9", "#ffffff"
_WIDTH, _LEFT, _RIGHT = 860, 64, 20
_HEAD, _PANEL, _GAP, _FOOT = 58, 190, 52, 46
_BAR, _BAR_LEFT = 22, 250


@dataclass(frozen=True)
class Panel:
    """One plot of a figure; all panels of a figure share the x axis.

    Attributes:
        title: What is shown, with its unit.
        series: Points by name.
        top: The highest value shown; None fits all.
        marks: Names of moments, by x.
    """

    title: str
    series: Mapping[str, Points]
    top: float | None = None
    marks: Mapping[float, str] = field(default_factory=dict)


def lines(title: str, x_title: str, panels: Sequence[Panel]) -> str:
    """A figure of line plots, one below the other."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.series))
    colour = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(names)}
    xs = [x for panel in panels for points in panel.series.values() for x, _ in points]
    low, high = min(xs), max(xs)
    body, below = _legend(colour)
    height = below + len(panels) * (_PANEL + _GAP) + _FOOT - _GAP
    for number, panel in enumerate(panels):
        body += _plot(panel, colour, low, high, below + number * (_PANEL + _GAP))
    body.append(_text(_WIDTH / 2, height - 10, x_title, anchor="middle"))
    return _document(title, height, body)


def bars(title: str, values: Mapping[str, float], unit: str) -> str:
    """A figure of horizontal bars, one for each name."""
    height = _HEAD + len(values) * (_BAR + 10) + 14
    top = _round_up(max(values.values()))
    room = _WIDTH - _BAR_LEFT - 110
    body: list[str] = []
    for number, (name, value) in enumerate(values.items()):
        y = _HEAD + number * (_BAR + 10)
        wide = max(1.0, value / top * room)
        body.append(_text(_BAR_LEFT - 8, y + 16, name, anchor="end"))
        body.append(
            f'<rect x="{_BAR_LEFT}" y="{y}" width="{wide:.1f}" height="{_BAR}" '
            f'fill="{_COLOURS[number % len(_COLOURS)]}"/>'
        )
        body.append(_text(_BAR_LEFT + wide + 8, y + 16, f"{_number(value)} {unit}"))
    return _document(title, height, body)


def _plot(
    panel: Panel, colour: Mapping[str, str], low: float, high: float, y: float
) -> Iterator[str]:
    values = [value for points in panel.series.values() for _, value in points]
    top = panel.top or _round_up(max(values))
    wide = _WIDTH - _LEFT - _RIGHT

    def across(x: float) -> float:
        return _LEFT + (x - low) / (high - low) * wide

    def down(value: float) -> float:
        return y + _PANEL - min(value, top) / top * _PANEL

    yield _text(_LEFT, y - 8, panel.title, weight="bold")
    for tick in _ticks(0, top, 4):
        yield _line(_LEFT, down(tick), _WIDTH - _RIGHT, down(tick), _FAINT)
        yield _text(_LEFT - 8, down(tick) + 4, _number(tick), anchor="end")
    for tick in _ticks(low, high, 8):
        yield _text(across(tick), y + _PANEL + 16, _number(tick), anchor="middle")
    end, row = 0.0, 0
    for x, name in panel.marks.items():
        yield _line(across(x), y, across(x), y + _PANEL, _INK, dashed=True)
        row = row + 1 if across(x) < end else 0  # names must not run into each other
        end = across(x) + 4 + 7.2 * len(name)
        yield _text(across(x) + 4, y + 13 + 16 * row, name)
    # Earlier lines are broader, so that they can be seen under later ones.
    for number, (name, points) in enumerate(panel.series.items()):
        width = 2 + 1.5 * (len(panel.series) - 1 - number)
        path = " ".join(f"{across(x):.1f},{down(value):.1f}" for x, value in points)
        yield (
            f'<polyline points="{path}" fill="none" stroke="{colour[name]}" stroke-width="{width}" '
            'stroke-linejoin="round"/>'
        )


def _legend(colour: Mapping[str, str]) -> tuple[list[str], float]:
    """The legend, and where the first plot may begin."""
    shapes: list[str] = []
    x, y = float(_LEFT), 45.0
    for name, stroke in colour.items():
        needed = 20 + 7.2 * len(name) + 24
        if x > _LEFT and x + needed > _WIDTH:
            x, y = float(_LEFT), y + 20
        shapes.append(f'<rect x="{x:.0f}" y="{y - 7:.0f}" width="14" height="4" fill="{stroke}"/>')
        shapes.append(_text(x + 20, y, name))
        x += needed
    return shapes, y + 31


def _document(title: str, height: float, body: Sequence[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}"',
            f' role="img" font-family="system-ui, sans-serif" font-size="13" fill="{_INK}">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{_WIDTH}" height="{height:.0f}" fill="{_PAPER}"/>',
            _text(_LEFT, 24, title, weight="bold", size=16),
            *body,
            "</svg>\n",
        ]
    )


def _text(
    x: float, y: float, words: str, *, anchor: str = "start", weight: str = "normal", size: int = 13
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" '
        f'font-size="{size}">{escape(words)}</text>'
    )


def _line(
    x: float, y: float, to_x: float, to_y: float, stroke: str, *, dashed: bool = False
) -> str:
    dashes = ' stroke-dasharray="4 4"' if dashed else ""
    return (
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" '
        f'stroke="{stroke}"{dashes}/>'
    )


def _ticks(low: float, high: float, about: int) -> Iterator[float]:
    step = _round_up((high - low) / about, (1, 2, 5, 10))
    tick = math.ceil(low / step) * step
    while tick <= high + step / 1000:
        yield tick
        tick += step


def _round_up(value: float, factors: Sequence[float] = (1, 2, 2.5, 4, 5, 8, 10)) -> float:
    """The next of these factors times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in factors if factor * power >= value * 0.999)


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 100 else f"{value:.3g}"
