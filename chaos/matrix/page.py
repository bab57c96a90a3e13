"""The report: one JSON document, and one HTML page that needs nothing else, with a picture of what happened when."""

import json
from collections import Counter
from dataclasses import asdict
from html import escape
from typing import Any, Final

from chaos.matrix.history import BUCKET_S, OUTCOMES, Bar
from chaos.matrix.rest import Figures
from chaos.matrix.run import Report, StageReport
from chaos.texts import Say

_COLOURS: Final = {
    "confirmed": "#2f9e6e",
    "pending": "#3b82c4",
    "refused": "#8a8f98",
    "unavailable": "#e0a030",
    "busy": "#c9b458",
    "no answer": "#c2571a",
    "breach": "#c01c28",
}
_LANES: Final = {
    "kill": "#c01c28",
    "crash": "#a347ba",
    "freeze": "#3b82c4",
    "link": "#e0a030",
    "store": "#813d9c",
    "world": "#6b7280",
    "disk": "#865e3c",
}
_WORDS: Final = {
    "confirmed": ("confirmada", "confirmed"),
    "pending": ("pendiente", "pending"),
    "refused": ("rechazada", "refused"),
    "unavailable": ("no disponible", "unavailable"),
    "busy": ("saturado", "busy"),
    "no answer": ("sin respuesta", "no answer"),
    "breach": ("fuera de contrato", "breach"),
    "kill": ("kill -9", "kill -9"),
    "crash": ("muerte en un punto", "crash point"),
    "freeze": ("congelado", "frozen"),
    "link": ("enlace", "link"),
    "store": ("base de datos", "database"),
    "world": ("entorno", "surroundings"),
    "disk": ("disco lleno", "disk full"),
}
"""Spanish and English names of colours in the key."""

_WIDTH, _PLOT, _LANE, _LEFT = 1100, 160, 16, 190


def as_json(report: Report) -> dict[str, Any]:
    """The report for machines."""
    order = report.order
    kills = report.total("kills")
    return {
        "ok": report.ok,
        "seed": order.seed,
        "budget_s": order.budget_s,
        "buyers": order.buyers,
        "data": str(order.data),
        "figures": asdict(report.figures),
        "kills": {"total": kills.total(), "by_point": _sorted(kills)},
        "faults": _sorted(report.total("faults")),
        "answers": _sorted(report.total("answers")),
        "not_reached": _sorted(report.total("missed")),
        "breaches": _sorted(report.total("breaches")),
        "stages": [_stage_json(one) for one in report.stages],
    }


def _stage_json(one: StageReport) -> dict[str, Any]:
    rest_s = one.rest_after_s
    return {
        "name": one.stage.name,
        "ok": one.ok,
        "skipped": one.skipped,
        "seconds": round(one.stage.seconds, 1),
        "rest_after_s": None if rest_s is None else round(rest_s, 2),
        "open_in_the_end": dict(one.open_in_the_end),
        "figures": asdict(one.figures),
        "audit_ok": one.audit_ok,
        "audit": one.audit,
        "acts": [asdict(bar) for bar in one.history.bars],
    }


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def as_html(report: Report, say: Say) -> str:
    """The report for people, in one language."""
    verdict = say("todo cuadra", "the books balance") if report.ok else say("HAY FALLOS", "FAILED")
    title = say("Matriz de caos", "The kill matrix")
    order = report.order
    ran = say(
        f"semilla {order.seed} · {order.budget_s:.0f} s · {order.buyers} compradores",
        f"seed {order.seed} · {order.budget_s:.0f} s · {order.buyers} buyers",
    )
    parts = [
        f'<!doctype html><html lang="{say.lang}"><meta charset="utf-8"><title>{title}</title>',
        _STYLE,
        f'<h1>{title}: <span class="{"good" if report.ok else "bad"}">{verdict}</span></h1>',
        f"<p>{ran}</p>",
        _figures_table(report.figures, report, say),
        *(_stage_html(one, say) for one in report.stages),
        _counts(say("Procesos matados, por punto", "Kills by point"), report.total("kills")),
        _counts(say("Fallos, por tipo", "Faults by kind"), report.total("faults")),
        _counts(
            say("Respuestas", "Answers"),
            Counter({say(*_WORDS[name]): n for name, n in report.total("answers").items()}),
        ),
        _counts(say("Puntos no alcanzados", "Points not reached"), report.total("missed")),
        _counts(say("Respuestas fuera de contrato", "Breaches"), report.total("breaches")),
    ]
    return "\n".join(part for part in parts if part) + "</html>\n"


_STYLE: Final = """<style>
body{font:15px/1.5 system-ui,sans-serif;max-width:1140px;margin:2rem auto;padding:0 1rem;color:#1c1c22;background:#fff}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{padding:.15rem .8rem .15rem 0;text-align:left}
td:last-child{text-align:right;font-variant-numeric:tabular-nums}.good{color:#1f7a52}.bad{color:#c01c28}
svg{width:100%;height:auto;display:block}svg text{font:11px system-ui,sans-serif;fill:currentColor}
.key span{display:inline-block;margin-right:1rem}.key i{display:inline-block;width:.8em;height:.8em;margin-right:.3em}
details{margin:.5rem 0}pre{white-space:pre-wrap}
@media(prefers-color-scheme:dark){body{background:#16161a;color:#e6e6ea}}</style>"""


def _figures_table(figures: Figures, report: Report, say: Say) -> str:
    kills = report.total("kills").total()
    rows = [
        (
            say("reservas confirmadas a compradores", "acknowledged to buyers"),
            figures.acknowledged,
            False,
        ),
        (
            say("desenlace que el comprador no sabe", "left open for the buyer"),
            figures.unknown,
            False,
        ),
        (say("confirmadas al final", "confirmed in the end"), figures.confirmed, False),
        (say("procesos matados", "kills"), kills, False),
        (say("perdidas", "lost"), figures.lost, True),
        (say("asientos vendidos de más", "oversold"), figures.oversold, True),
        (say("cobros sin asiento", "charged without seat"), figures.charged_without_seat, True),
        (say("asientos sin cobro", "seat without charge"), figures.seat_without_charge, True),
        (
            say("rechazadas pero confirmadas", "refused yet confirmed"),
            figures.refused_yet_confirmed,
            True,
        ),
    ]
    lines = "".join(
        f'<tr><td>{name}<td class="{_class(value) if must_be_zero else ""}">{value}'
        for name, value, must_be_zero in rows
    )
    return f"<table>{lines}</table>"


def _class(value: int) -> str:
    return "bad" if value else "good"


def _counts(title: str, counts: Counter[str]) -> str:
    if not counts:
        return ""
    lines = "".join(f"<tr><td>{escape(name)}<td>{n}" for name, n in _sorted(counts).items())
    return f"<h2>{title}</h2><table>{lines}</table>"


def _stage_html(one: StageReport, say: Say) -> str:
    name = f"<h2>{one.stage.name}</h2>"
    if one.skipped is not None:
        return f"{name}<p>{say('no se hizo', 'skipped')}: {escape(one.skipped)}</p>"
    if one.rest_after_s is None:
        rest = say("no llegó al reposo: ", "never came to rest: ") + escape(
            str(one.open_in_the_end)
        )
    else:
        rest = say(
            f"en reposo {one.rest_after_s:.1f} s después del último fallo",
            f"at rest {one.rest_after_s:.1f} s after the last fault",
        )
    audit = {
        None: say("sin auditor", "no auditor"),
        True: say("auditoría verde", "audit green"),
        False: say("AUDITORÍA ROJA", "AUDIT RED"),
    }[one.audit_ok]
    details = (
        ""
        if one.audit is None
        else f"<details><summary>{audit}</summary><pre>{escape(_pretty(one.audit))}</pre></details>"
    )
    return f"{name}<p>{rest} · {audit}</p>{picture(one, say)}{details}"


def _pretty(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1)


def picture(one: StageReport, say: Say) -> str:
    """Answers over time, and below them in lanes who was struck when: an SVG with its key."""
    history = one.history
    lanes = sorted({bar.lane for bar in history.bars})
    last_s = max(
        [bar.ended_s for bar in history.bars]
        + [(index + 1) * BUCKET_S for index in history.buckets]
        + [1.0]
    )
    scale = (_WIDTH - _LEFT) / last_s
    highest = max([counts.total() for counts in history.buckets.values()] + [1])
    height = _PLOT + 24 + _LANE * len(lanes)
    axis = say("respuestas por medio segundo", "answers per half second")
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{axis}">',
        f'<text x="0" y="12">{axis} (max {highest})</text>',
    ]
    for index, counts in sorted(history.buckets.items()):
        parts += _column(_LEFT + index * BUCKET_S * scale, BUCKET_S * scale, counts, highest, say)
    step = max(1, round(last_s / 12))
    for second in range(0, int(last_s) + 1, step):
        x = _LEFT + second * scale
        parts.append(
            f'<path d="M{x:.1f} 0V{height}" stroke="currentColor" stroke-opacity=".12"/>'
            f'<text x="{x + 2:.1f}" y="{_PLOT + 14}">{second} s</text>'
        )
    for row, lane in enumerate(lanes):
        y = _PLOT + 22 + row * _LANE
        parts.append(f'<text x="0" y="{y + 11}">{escape(lane)}</text>')
        parts += [_bar(bar, y, scale) for bar in history.bars if bar.lane == lane]
    key = "".join(
        f'<span><i style="background:{colour}"></i>{say(*_WORDS[name])}</span>'
        for name, colour in {**_COLOURS, **_LANES}.items()
    )
    return "".join(parts) + f'</svg><p class="key">{key}</p>'


def _column(x: float, width: float, counts: Counter[str], highest: int, say: Say) -> list[str]:
    drawn, top = [], float(_PLOT)
    for name in OUTCOMES:
        if counts[name]:
            size = counts[name] / highest * (_PLOT - 20)
            top -= size
            drawn.append(
                f'<rect x="{x:.1f}" y="{top:.1f}" width="{max(width - 0.5, 0.5):.1f}" height="{size:.1f}"'
                f' fill="{_COLOURS[name]}"><title>{say(*_WORDS[name])}: {counts[name]}</title></rect>'
            )
    return drawn


def _bar(bar: Bar, y: float, scale: float) -> str:
    colour = _LANES[bar.label.partition(":")[0]]
    width = max((bar.ended_s - bar.began_s) * scale, 2.0)
    words = f"{escape(bar.label)} {bar.began_s:.1f}–{bar.ended_s:.1f} s"
    return (
        f'<rect x="{_LEFT + bar.began_s * scale:.1f}" y="{y + 2}" width="{width:.1f}" height="{_LANE - 4}"'
        f' rx="2" fill="{colour}"><title>{words}</title></rect>'
    )
