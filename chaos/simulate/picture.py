"""A run as a picture: a sequence diagram in SVG that needs nothing else, readable in light and dark.

One lifeline per host, one row per event, time downwards but not to scale. Every text has its row to itself, so that no
two can overlap; slanted arrows may pass below a text, which is why texts have a halo.

Not here: which events matter (`chaos.simulate.timeline.about`), what they are called (`timeline.wording`, `gist`).
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from textwrap import wrap
from typing import Final

from chaos.simulate.timeline import Names, gist, names_of, path_of, transitions, wording
from chaos.simulate.trace import Event
from chaos.texts import Say

Point = tuple[float, float]

_WIDTH, _LEFT, _RIGHT, _TIME, _EDGE = 1100, 128, 66, 58, 66
_TOP, _HEAD, _LINE, _CHAR, _MONO = 96, 30, 16, 7.0, 7.3
_WRAPPED: Final = 145
_GAP_S: Final = 1.0
_REMIND: Final = 420
"""Height after which the next gap names the hosts again; after twice as much they are named without one."""
_MIDWAY: Final = 0.55
_ORDER: Final = (
    "buyers gateway reservations reservations-2 inventory payments provider notifications"
)
"""Hosts from left to right; others stand behind them."""
_HEIGHTS: Final = {"arrive": 16, "answer": 16, "once more": 36}
_ID: Final = re.compile(r"\br[0-9a-f]{32}\b")
_LINK: Final = re.compile(r"([\w-]+)→([\w-]+)")

_STYLE: Final = """<style>
.sequence{--paper:#fff;--ink:#1c1c22;--soft:#6b7280;--faint:#c4c8cf;--bad:#c01c28;--note:#8f5200;--good:#1f7a52;
--state:#1d5fa8;--on-note:#fff3dc;--on-state:#e8f1fc;--on-bad:#fdeaec;--on-good:#e6f5ee;--on-faint:#f1f2f5;
font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;max-width:100%;height:auto}
@media(prefers-color-scheme:dark){.sequence{--paper:#16161a;--ink:#e6e6ea;--soft:#9ca1ab;--faint:#4a4d55;
--bad:#ff7b86;--note:#ffb757;--good:#62cf9c;--state:#85bcff;--on-note:#33270f;--on-state:#14263d;--on-bad:#3a161b;
--on-good:#12301f;--on-faint:#25262c}}
.sequence .paper{fill:var(--paper)}.sequence .ink{color:var(--ink)}.sequence .soft{color:var(--soft)}
.sequence .faint{color:var(--faint)}.sequence .bad{color:var(--bad)}.sequence .note{color:var(--note)}
.sequence .good{color:var(--good)}.sequence .state{color:var(--state)}
.sequence line{stroke:currentColor;stroke-width:1.4}.sequence .answer{stroke-dasharray:6 4}
.sequence .gap{stroke-dasharray:2 6}.sequence .box{stroke:currentColor}.sequence .solid{fill:currentColor}
.sequence .dead{fill:var(--bad);fill-opacity:.14}.sequence .cross{stroke:currentColor;stroke-width:2.4}
.sequence text{fill:currentColor;paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}
.sequence .plain{stroke:none}.sequence .bold{font-weight:bold}.sequence .title{font-size:17px}
.sequence .skull{font-size:22px}.sequence .mono{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace}
</style>"""


def as_svg(events: Sequence[Event], say: Say, *, title: str, verdict: Sequence[str]) -> str:
    """A sequence diagram, to stand alone or in a page.

    Args:
        events: What to draw, in order: what `timeline.about` leaves of a run.
        say: The language.
        title: Stands on top.
        verdict: Violations, as sentences; none is good news.
    """
    names = names_of(events, title, *verdict)
    sheet = _Sheet(events, names, say)
    foot, height = _verdict(verdict, names, say, sheet.bottom + _HEAD + 24)
    size = f'viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" height="{height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="sequence" {size} role="img" lang="{say.lang}">',
        f"<title>{escape(title)}</title>{_STYLE}",
        _tag("rect", "paper", width=_WIDTH, height=height),
        _text(20, 27, names(title), "ink bold title"),
        *_legend(say),
        *sheet.drawn(),
        *foot,
    ]
    return "\n".join([*parts, "</svg>\n"])


@dataclass(slots=True)
class _Exchange:
    """Rows by kind of event, how it broke, whether it is a copy's, where the callee died."""

    first: Event
    rows: dict[str, float] = field(default_factory=dict)
    broken: str = ""
    copy: str = ""
    died: float | None = None


class _Sheet:
    """Where everything is, and how it is drawn.

    Attributes:
        bottom: Where the lifelines end.
    """

    def __init__(self, events: Sequence[Event], names: Names, say: Say) -> None:
        self._names, self._say = names, say
        hosts = {event.who for event in events if event.whom} | {
            event.whom for event in events if event.whom and event.kind not in ("commit", "disk")
        }
        self._hosts = sorted(hosts, key=lambda host: (host not in _ORDER, _ORDER.find(host), host))
        pitch = min(240.0, (_WIDTH - _LEFT - _RIGHT) / max(1, len(hosts) - 1))
        self._x = {host: _LEFT + number * pitch for number, host in enumerate(self._hosts)}
        self._events = [event for event in events if self._takes_part(event)]
        ids = {
            one for event in events if event.kind == "commit" for one in _ID.findall(event.detail)
        }
        self._alone = ids.pop() if len(ids) == 1 else ""
        self._y: list[float] = []
        self._gaps: list[tuple[float, float]] = []
        self._place()

    def _takes_part(self, event: Event) -> bool:
        """Whether it is of hosts in the picture; of a link, of both its ends."""
        ends = _LINK.findall(event.what) if event.kind == "fault" else []
        return {event.who, *(host for pair in ends for host in pair)} <= set(self._hosts)

    def _place(self) -> None:
        y, before_s, gap_y = _TOP + _HEAD + 12.0, math.inf, float(_TOP)
        for event in self._events:
            silent_s, before_s = event.at_s - before_s, event.at_s
            if silent_s > _GAP_S or y - gap_y > 2 * _REMIND:
                y, gap_y = y + 34, y + 24
                self._gaps.append((gap_y, silent_s))
            if event.kind == "commit":
                y += 14 + _LINE * len(self._changes(event))
            else:
                y += _HEIGHTS.get(event.what, _HEIGHTS.get(event.kind, 30))
            self._y.append(y)
        self.bottom = y + 24

    def _changes(self, event: Event) -> list[str]:
        """Lines of a commit; a reservation that is alone in the picture need not be named."""
        told = [
            (self._brief(who), path_of(states, self._say)) for who, states in transitions(event)
        ]
        lines = [f"{who} {path}".strip() for who, path in told]
        return lines or [self._say("otro trabajo", "other work")]

    def _brief(self, subject: str) -> str:
        rest = subject.removeprefix(self._alone) if self._alone else self._names(subject)
        return "" if rest == ".1" else rest

    def drawn(self) -> Iterator[str]:
        """Everything, from back to front."""
        if self._alone:
            yield _text(20, 48, f"{self._names(self._alone)} = {self._alone}", "soft mono")
        for host in self._hosts:
            yield from self._lifeline(host)
        for exchange in self._exchanges():
            if "send" in exchange.rows:
                yield from self._request(exchange)
            yield from self._answer(exchange)
        yield from self._silences()
        shown = ""
        for y, event in zip(self._y, self._events, strict=True):
            if (time := f"{event.at_s:.3f}") != shown:
                yield _text(_TIME, y, time, "soft", "end")
                shown = time
            yield from self._mark(event, y)
        for y, host in ((y, host) for y in (_TOP, self.bottom) for host in self._hosts):
            wide = 7.6 * len(host) + 18
            yield _box(self._x[host] - wide / 2, y, wide, _HEAD - 4, "faint", 5)
            yield _text(self._x[host], y + 17, host, "ink bold plain", "middle")

    def _lifeline(self, host: str) -> Iterator[str]:
        """From birth to death, and again; where a process is dead there is none."""
        x, lives = self._x[host], []
        for y, event in zip(self._y, self._events, strict=True):
            if event.who == host and event.kind in ("start", "die"):
                lives.append((y, event.kind))
        first = "die" if lives and lives[0][1] == "start" else "start"
        for (y, kind), (end, _) in pairwise(
            [(_TOP + _HEAD - 4.0, first), *lives, (self.bottom, "")]
        ):
            if kind == "start":
                yield _tag("line", "life faint", data_host=host, x1=x, y1=y, x2=x, y2=end)
            else:
                yield _tag("rect", "dead", data_host=host, x=x - 6, y=y, width=12, height=end - y)

    def _silences(self) -> Iterator[str]:
        """Where more than a second passes; there the hosts are named again, if that is long ago."""
        named = float(_TOP)
        for y, seconds in self._gaps:
            if seconds > _GAP_S:
                yield _tag("line", "gap soft", x1=_EDGE, y1=y, x2=_WIDTH - 20, y2=y)
                yield _text(_TIME, y + 4, f"… {seconds:.1f} s", "soft", "end")
            if y - named > _REMIND:
                named = y
                yield from (_text(x, y + 4, host, "soft", "middle") for host, x in self._x.items())

    def _exchanges(self) -> list[_Exchange]:
        found: dict[object, _Exchange] = {}
        for y, event in zip(self._y, self._events, strict=True):
            if event.kind == "die":
                for one in found.values():
                    if one.first.whom == event.who and "arrive" in one.rows and one.died is None:
                        one.died = y
            elif event.whom and event.kind not in ("commit", "disk"):
                kind = "lost answer" if event.what.startswith("answer lost") else str(event.kind)
                one = found.setdefault(event.number, _Exchange(event))
                again = event.what == "once more" or event.what.endswith(" to the copy")
                if again or ("arrive" in one.rows and kind in ("lost", "refused")):
                    rows = {kind: y} if kind == "reply" else {"send": y - 12, kind: y}
                    found[y] = _Exchange(event, rows, copy=" copy")
                    continue
                one.rows.setdefault(kind, y)
                one.broken = event.what if kind == "broken" else one.broken
        return list(found.values())

    def _request(self, one: _Exchange) -> Iterator[str]:
        x, to, y = self._x[one.first.who], self._x[one.first.whom], one.rows["send"]
        fell = one.rows.get("lost", one.rows.get("fault"))
        refused = one.rows.get("refused")
        arrived = one.rows.get("arrive", refused)
        if arrived is not None:
            tone = "ink" if refused is None else "bad"
            yield _arrow((x, y), (to, arrived), f"request{one.copy} {tone}", one.first.number)
            return
        # Neither arrived nor fallen: its caller died over it, or the story ends here.
        end = (x + (to - x) * (0.3 if fell is None else _MIDWAY), y + 10 if fell is None else fell)
        yield _arrow((x, y), end, f"request{one.copy} bad", one.first.number, head=False)
        yield _cross(end)

    def _answer(self, one: _Exchange) -> Iterator[str]:
        rows, number = one.rows, one.first.number
        here, there = self._x[one.first.who], self._x[one.first.whom]
        said, heard, lost, broken = map(rows.get, ("reply", "answer", "lost answer", "broken"))
        gave_up = "ReadTimeout" in one.broken or "waits no longer" in one.broken
        if said is not None and heard is not None:
            yield _arrow((there, said), (here, heard), "answer ink", number)
        elif said is not None and lost is not None:
            end = (there + (here - there) * _MIDWAY, lost)
            yield _arrow((there, said), end, "answer bad", number, head=False) + _cross(end)
        elif said is not None and (broken is None or gave_up):
            yield _unheard((there, said), here, number)
        if broken is not None and gave_up:
            yield _cross((here, broken))
        elif broken is not None:
            sources = (said, one.died, rows.get("refused"), broken - 8)
            start = (there, next(y for y in sources if y is not None))
            if "fault" in rows and "refused" not in rows and one.died is None:
                row = broken - 8 if "arrive" in rows else rows["fault"]
                start = (here + (there - here) * _MIDWAY, row)
            yield _arrow(start, (here, broken), "answer bad", number)

    def _mark(self, event: Event, y: float) -> Iterator[str]:
        """What stands in a row: a box, a note, a birth, a death, or the words of a message."""
        words = self._names(wording(event.what, self._say))
        if event.kind == "commit":
            yield from self._states(event, y)
        elif event.kind == "disk" or not (event.whom or event.kind in ("start", "die")):
            yield from self._note(event, words, y)
        elif event.whom:
            yield from self._words(event, words, y)
        else:
            x, born = self._x[event.who], event.kind == "start"
            yield _triangle(x, y) if born else _text(x, y + 4, "☠", "bad skull", "middle")
            yield self._beside(x, 14, words, y, "good" if born else "bad")

    def _states(self, event: Event, y: float) -> Iterator[str]:
        told = self._changes(event)
        wide, tall = _MONO * max(map(len, told)) + 14, _LINE * len(told) + 4
        x = _inside(self._x[event.who] - wide / 2, wide)
        yield _box(x, y + 5 - tall, wide, tall, "state", 7)
        for row, line in enumerate(reversed(told)):
            yield _text(x + wide / 2, y + 0.5 - _LINE * row, line, "state mono plain", "middle")

    def _note(self, event: Event, words: str, y: float) -> Iterator[str]:
        if event.kind == "disk":
            changes = ", ".join(self._changes(event)) if event.detail else ""
            words = f"{self._say('disco', 'disk')}: {words}" + (f" ({changes})" if changes else "")
        wide = min(_CHAR * len(words) + 26, _WIDTH - _EDGE - 8.0)
        x = _inside(self._x[event.who] - wide / 2, wide)
        fold = f"M{x:.1f} {y - 15:.1f}h{wide - 8:.1f}l8 8v12h-{wide:.1f}zm{wide - 8:.1f} 0v8h8"
        yield _tag("path", "annotation box note", d=fold, style="fill:var(--on-note)")
        yield _text(x + wide / 2 - 4, y - 1, words, "note plain", "middle")

    def _words(self, event: Event, words: str, y: float) -> Iterator[str]:
        x, to = self._x[event.who], self._x[event.whom]
        ahead, room = math.copysign(8, to - x), abs(to - x)
        if event.kind in ("send", "reply"):
            told = gist(event, self._names, self._say).split(" · ")
            own = {self._names(self._alone + end) for end in ("", ".1") if self._alone}
            words = " · ".join(part for part in told if part not in own)
            at, away = (x, ahead) if event.kind == "send" else (to, -ahead)
            yield self._beside(at, away, words, y - 6, "ink", room)
        elif event.what == "once more":
            yield self._beside(x, ahead, words, y - 18, "note", room)
        elif event.kind in ("refused", "broken"):
            at, away = (to, ahead) if event.kind == "refused" else (x, -ahead)
            yield self._beside(at, away, words, y + 4, "bad")
        elif event.kind in ("lost", "fault"):
            x, to = (to, x) if event.what.startswith("answer lost") else (x, to)
            away = math.copysign(12, to - x)
            yield self._beside(x + (to - x) * _MIDWAY, away, words, y + 4, "bad")

    def _beside(
        self, x: float, away: float, words: str, y: float, tone: str, room: float = math.inf
    ) -> str:
        """Words `away` to the right of a lifeline, or to its left if negative; elsewhere only for want of room."""
        wide = _CHAR * len(words)
        if away < 0 and (wide > room + 2 * away or x + away - wide < _EDGE):
            x, away = (
                (x - room if room < math.inf else x),
                -away,
            )  # above the arrow, and beyond its start
        if away > 0 and x + away + wide > _WIDTH - 8:
            away = -away
            x = max(x, min(_EDGE + wide - away, _WIDTH - 8.0 - away))
        most = int((_WIDTH - 8 - _EDGE) / _CHAR)
        words = words if len(words) <= most else words[: most - 1] + "…"
        return _text(x + away, y, words, tone, "start" if away > 0 else "end")


def _inside(x: float, wide: float) -> float:
    return max(float(_EDGE), min(x, _WIDTH - 8 - wide))


def _tag(name: str, look: str, words: str = "", **values: object) -> str:
    told = "".join(
        f' {key.replace("_", "-")}="{value:.1f}"'
        if isinstance(value, float)
        else f' {key.replace("_", "-")}="{escape(str(value))}"'
        for key, value in values.items()
    )
    return f'<{name} class="{look}"{told}>{escape(words)}</{name}>'


def _text(x: float, y: float, words: str, look: str, anchor: str = "start") -> str:
    return _tag("text", look, words, x=float(x), y=float(y), text_anchor=anchor)


def _box(x: float, y: float, wide: float, tall: float, tone: str, round_: int) -> str:
    fill = f"fill:var(--on-{tone})"
    return _tag("rect", f"box {tone}", x=x, y=y, width=wide, height=tall, rx=round_, style=fill)


def _arrow(start: Point, end: Point, look: str, number: int, *, head: bool = True) -> str:
    (x, y), (to_x, to_y) = start, end
    line = _tag("line", look, data_number=number, x1=x, y1=y, x2=to_x, y2=to_y)
    turn = math.degrees(math.atan2(to_y - y, to_x - x))
    place = f"translate({to_x:.1f} {to_y:.1f}) rotate({turn:.1f})"
    look = f"solid {look.rsplit(maxsplit=1)[-1]}"
    return line + (_tag("path", look, d="M0 0l-10 -4.5v9z", transform=place) if head else "")


def _unheard(start: Point, to: float, number: int) -> str:
    """An answer for which nobody waits."""
    x, y = start[0] + (to - start[0]) * 0.4, start[1] + 6
    stub = _arrow(start, (x, y), "answer soft", number, head=False)
    return stub + _tag("circle", "box soft paper", cx=x, cy=y, r=3.5)


def _cross(at: Point) -> str:
    return _tag("path", "cross bad", d=f"M{at[0] - 5:.1f} {at[1] - 5:.1f}l10 10m0 -10l-10 10")


def _triangle(x: float, y: float) -> str:
    return _tag("path", "solid good", d=f"M{x:.1f} {y - 9:.1f}l6 10h-12z")


def _legend(say: Say) -> Iterator[str]:
    """One line that explains every sign."""
    y, x = 74.0, 20.0
    fallen = _arrow((0, y), (28, y), "request bad", 0, head=False) + _cross((30, y))
    for words, drawn in (
        (say("solicitud", "request"), _arrow((0, y), (38, y), "request ink", 0)),
        (say("respuesta", "answer"), _arrow((0, y), (38, y), "answer ink", 0)),
        (say("nadie la espera", "nobody waits"), _unheard((0, y - 4), 90, 0)),
        (say("se pierde", "lost"), fallen),
        (say("error", "error"), _arrow((0, y), (38, y), "answer bad", 0)),
        ("commit", _box(2, y - 8, 34, 16, "state", 7)),
        (say("fallo provocado", "injected fault"), _box(2, y - 8, 34, 16, "note", 0)),
        (say("muerte", "death"), _text(25, y + 7, "☠", "bad skull", "middle")),
        (say("arranque", "start"), _triangle(28, y + 4)),
    ):
        yield f'<g transform="translate({x:.1f} 0)">{drawn}</g>'
        yield _text(x + 44, y + 4, words, "soft")
        x += 44 + 6.6 * len(words) + 12


def _verdict(verdict: Sequence[str], names: Names, say: Say, y: float) -> tuple[list[str], float]:
    """The box at the bottom, and where the picture ends."""
    tone = "bad" if verdict else "good"
    told = [line for one in verdict for line in wrap(f"✗ {names(one)}", _WRAPPED)]
    broken = say("Lo que se rompió", "What is broken")
    head = broken if verdict else say("✓ Todo cuadra", "✓ Everything holds")
    tall = 30 + _LINE * len(told) + (8 if told else 0)
    rows = [_text(36, y + 40 + _LINE * row, line, "ink plain") for row, line in enumerate(told)]
    title = _text(36, y + 20, head, f"{tone} bold plain")
    return [_box(20, y, _WIDTH - 40, tall, tone, 6), title, *rows], y + tall + 20
