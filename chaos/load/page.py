"""The report as one HTML page that needs nothing else: no script, no foreign request, light and dark, one language."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Final

from chaos.load import charts
from chaos.load.histogram import Histogram
from chaos.load.report import CPU_LIMIT, LAG_LIMIT_S, SHARES, Report, machine, name_of
from chaos.load.tally import NOT_SENT
from chaos.load.words import advice
from chaos.texts import Say

if TYPE_CHECKING:
    from chaos.audit import Report as Verdict

_PHASES: Final = {
    "closed": ("cerrado", "closed", "good"),
    "half_open": ("a prueba", "half-open", "warn"),
    "open": ("abierto", "open", "bad"),
}
"""Spanish, English and class."""

_COLOURS: Final = {200: "good", 202: "c1", 429: "warn", 503: "c3", 504: "c4", 0: "bad"}
"""Class by status; whatever is not here has one of its own."""

_LIVE: Final = (0.5, 0.95, 0.99)


def as_html(report: Report, verdict: "Verdict | None", say: Say) -> str:
    """The whole page."""
    title = say("El Diluvio: informe de carga", "The flood: load report")
    across = charts.time_axis(max(report.elapsed_s, max(report.seconds, default=0) + 1.0))
    parts = [
        f'<!doctype html><html lang="{say.lang}"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{title}</title>{_STYLE}</head><body><main><h1>{title}</h1>",
        f"<p><code>{escape(command(report))}</code><br>{escape(machine())}</p>",
        _verdicts(report, verdict, say),
        _tiles(report, say),
        *_over_time(report, across, say),
        *_services(report, across, say),
        *_client(report, across, say),
        *_latencies(report, say),
        _outcomes(report, say),
    ]
    return "\n".join(part for part in parts if part) + "</main></body></html>\n"


def command(report: Report) -> str:
    """The command that makes such a run."""
    plan = report.plan
    if plan.is_open:
        words = [f"--rate {plan.rate_per_s:g} --duration {plan.duration_s:g}"]
        if plan.arrivals == "poisson":
            words.append(f"--arrivals poisson --seed {plan.seed}")
    else:
        words = [f"--requests {plan.requests} --workers {plan.workers}"]
    words += [f"--processes {plan.processes}"] if plan.processes > 1 else []
    words += ["--unique-users"] if plan.unique_users else []
    return " ".join(["taquilla load", *words, f"--event {plan.event_id}"])


def _verdicts(report: Report, verdict: "Verdict | None", say: Say) -> str:
    audit = {
        None: ("quiet", say("sin auditoría", "no audit")),
        True: ("good", say("los libros cuadran", "the books are true")),
        False: ("bad", say("LOS LIBROS NO CUADRAN", "THE BOOKS ARE NOT TRUE")),
    }[None if verdict is None else verdict.ok]
    kept = not report.whole.breaches
    found = [
        ("good", say("contrato cumplido", "contract kept"))
        if kept
        else ("bad", say("CONTRATO INCUMPLIDO", "CONTRACT BROKEN")),
        ("good", say("gateway sano", "gateway healthy"))
        if report.healthy_after
        else ("bad", say("GATEWAY NO SANO", "GATEWAY NOT HEALTHY")),
        audit,
    ]
    if report.interrupted:
        found.append(("warn", say("interrumpida", "interrupted")))
    words = [f'<li class="{kind}">{escape(text)}</li>' for kind, text in found]
    words += [f'<li class="warn">{escape(text)}</li>' for text in advice(report.client, say)]
    words += [
        f'<li class="bad">{count} × {escape(breach)}</li>'
        for breach, count in report.whole.breaches.items()
    ]
    red = [] if verdict is None else verdict.red
    words += [f'<li class="bad">{escape(str(name))}</li>' for name in red]
    return f'<ul class="verdicts">{"".join(words)}</ul>'


def _tiles(report: Report, say: Say) -> str:
    whole, client = report.whole, report.client
    wanted = f" / {report.plan.rate_per_s:g}" if report.plan.is_open else ""
    found = {
        say("reservas", "reservations"): f"{whole.due}",
        say("enviadas por segundo", "sent a second"): f"{report.rate_per_s:.1f}{wanted}",
        say("aceptadas por segundo", "accepted a second"): f"{report.goodput_per_s:.1f}",
        say("aceptadas, p50", "accepted, p50"): _ms(whole.accepted.at(0.5)),
        say("aceptadas, p99", "accepted, p99"): _ms(whole.accepted.at(0.99)),
        say("retraso del cliente, p99", "client's lag, p99"): _ms(client.lag_p99_s),
        say("no enviadas", "not sent"): f"{client.not_sent}",
        say("núcleo del cliente", "client's core"): f"{client.processes} × {client.cpu_share:.0%}",
    }
    boxes = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in found.items())
    return f'<dl class="tiles">{boxes}</dl>'


def _over_time(report: Report, across: charts.Scale, say: Say) -> Iterator[str]:
    seconds = report.seconds
    times = {
        name_of(share): [(n + 0.5, _in_ms(one.accepted.at(share))) for n, one in seconds.items()]
        for share in _LIVE
    }
    name = say("Latencia de las aceptadas", "Latency of the accepted")
    yield _section(
        name,
        say(
            "Desde que cada una debía salir hasta su respuesta, en el segundo en que llegó la respuesta. Escala "
            "logarítmica.",
            "From when each was meant to start to its answer, in the second in which the answer came. Logarithmic.",
        ),
        charts.lines(name, across, times, unit=" ms", is_log=True),
    )
    name = say("Respuestas por segundo", "Answers a second")
    pairs = sorted(report.whole.outcomes, key=lambda pair: (pair[0] == 0, pair))
    classes = {
        _title(pair, say): _COLOURS.get(pair[0], f"c{5 + number % 4}")
        for number, pair in enumerate(pairs)
    }
    columns = {
        number: {_title(pair, say): count for pair, count in one.outcomes.items()}
        for number, one in seconds.items()
    }
    yield _section(name, "", charts.stacks(name, across, columns, classes))
    name = say("Útiles, enviadas y en vuelo", "Goodput, sent and in flight")
    rates = {
        say("aceptadas/s", "accepted/s"): [
            (n + 0.5, one.accepted.count) for n, one in seconds.items()
        ],
        say("enviadas/s", "sent/s"): [(n + 0.5, one.sent) for n, one in seconds.items()],
        say("en vuelo al final", "in flight at its end"): [
            (n + 1.0, one.in_flight) for n, one in seconds.items()
        ],
    }
    wanted = report.plan.rate_per_s or None
    text = say("La línea a trazos es lo pedido.", "The dashed line is what was asked for.")
    chart = charts.lines(name, across, rates, unit="", limit=wanted)
    yield _section(name, text if wanted else "", chart)


def _services(report: Report, across: charts.Scale, say: Say) -> Iterator[str]:
    samples = report.samples
    if not samples:
        return
    name = say("Límite del gateway", "The gateway's limit")
    series: dict[str, charts.Points] = {
        say("límite", "limit"): [(one.at_s, one.limit) for one in samples],
        say("en vuelo", "in flight"): [(one.at_s, one.in_flight) for one in samples],
    }
    text = say("Mirado una vez por segundo.", "Looked at once a second.")
    yield _section(name, text, charts.lines(name, across, series, unit=""))
    rows: dict[str, list[tuple[float, float, str]]] = {}
    for one, end_s in zip(samples, [*(s.at_s for s in samples[1:]), across.high], strict=True):
        for edge, phase in one.breakers.items():
            rows.setdefault(edge, []).append((one.at_s, end_s, say(*_PHASES[phase][:2])))
    if rows:
        name = "Breakers"
        classes = {say(es, en): colour for es, en, colour in _PHASES.values()}
        yield _section(name, text, charts.lanes(name, across, rows, classes))


def _client(report: Report, across: charts.Scale, say: Say) -> Iterator[str]:
    seconds, processes = report.seconds, report.plan.processes
    if report.plan.is_open:
        name = say("Retraso del propio cliente", "The client's own lag")
        lags = {
            name_of(share): [(n + 0.5, _in_ms(one.lag.at(share))) for n, one in seconds.items()]
            for share in (0.5, 0.99)
        }
        lags["max"] = [(n + 0.5, _in_ms(one.lag.at(1.0))) for n, one in seconds.items()]
        yield _section(
            name,
            say(
                "Cuánto después de su momento salió cada una: va dentro de las latencias. La línea a trazos es el "
                "límite para fiarse (p99).",
                "How long after its time each one left: it is part of the latencies. The dashed line is the limit of "
                "trust (p99).",
            ),
            charts.lines(name, across, lags, unit=" ms", is_log=True, limit=LAG_LIMIT_S * 1000),
        )
    name = say("Núcleo que gasta cada proceso comprador", "Core that each buying process takes")
    share = {"CPU": [(n + 0.5, one.cpu_s / processes * 100) for n, one in seconds.items()]}
    yield _section(name, "", charts.lines(name, across, share, unit=" %", limit=CPU_LIMIT * 100))


def _latencies(report: Report, say: Say) -> Iterator[str]:
    whole = report.whole
    rows: Mapping[str, tuple[Histogram, int]] = {
        say("aceptadas (200, 202)", "accepted (200, 202)"): (whole.accepted, 0),
        say("rechazadas (429, 503)", "refused (429, 503)"): (whole.refused, 0),
        say("todas", "all"): (whole.answered(), whole.silent),
        say("retraso del cliente", "client's lag"): (whole.lag, 0),
    }
    head = "".join(f'<th scope="col">{name_of(share)}</th>' for share in SHARES)
    body = "".join(
        f'<tr><th scope="row">{name}</th><td>{histogram.count + missing}</td>'
        + "".join(f"<td>{_ms(histogram.at(share, missing))}</td>" for share in (*SHARES, 1.0))
        + "</tr>"
        for name, (histogram, missing) in rows.items()
    )
    number, name = say("cuántas", "count"), "Percentiles"
    table = (
        f'<div class="wide" role="region" tabindex="0" aria-label="{name}"><table><thead><tr><td></td>'
        f'<th scope="col">{number}</th>{head}<th scope="col">max</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
    text = say(
        "Exactos hasta el 0,1 %. «Todas» cuenta a quien no tuvo respuesta, o no se envió, como más lenta que cualquier "
        "otra: «–» quiere decir que el percentil cae entre ellas.",
        "Exact to 0.1 %. “All” counts whoever had no answer, or was not sent, as slower than any other: “–” means "
        "that the percentile falls among those.",
    )
    chart = ""
    if whole.accepted.count:
        spans = [(low * 1e3, high * 1e3, n) for low, high, n in whole.accepted.spans()]
        marks = {name_of(share): (whole.accepted.at(share) or 0) * 1e3 for share in SHARES}
        about = say("Histograma de las aceptadas", "Histogram of the accepted")
        chart = f"<h3>{about}</h3>{charts.histogram(about, spans, marks, ' ms')}"
    yield _section(name, text, table + chart)


def _outcomes(report: Report, say: Say) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(_title(pair, say))}</th><td>{count}</td></tr>'
        for pair, count in sorted(report.whole.outcomes.items())
    )
    return _section(say("Respuestas", "Answers"), "", f"<table><tbody>{rows}</tbody></table>")


def _title(pair: tuple[int, str], say: Say) -> str:
    status, code = pair
    if pair == (0, NOT_SENT):
        return say("no enviada", "not sent")
    return f"{status} {code}" if status else f"{say('sin respuesta', 'no answer')}: {code}"


def _section(name: str, text: str, content: str) -> str:
    words = f"<p>{text}</p>" if text else ""
    return f"<section><h2>{name}</h2>{words}{content}</section>"


def _in_ms(seconds: float | None) -> float | None:
    return None if seconds is None else max(seconds * 1000, 0.001)


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.{1 if seconds < 0.1 else 0}f} ms"


_STYLE: Final = (
    """<style>
:root{color-scheme:light dark;--ink:#1c1c22;--paper:#fff;--faint:#d8d8de;--quiet:#5c5c66;--good:#1f7a52;--warn:#8a5a00;
--bad:#b3161f;--fgood:#2f9e6e;--fwarn:#e0a030;--fbad:#c01c28;--c0:#0b65c2;--c1:#0d8a78;--c2:#a33b8f;--c3:#d5720f;
--c4:#7a4fc4;--c5:#6b7280;--c6:#8f6b4a;--c7:#4a7d8f;--c8:#9aa05a}
@media(prefers-color-scheme:dark){:root{--ink:#e6e6ea;--paper:#16161a;--faint:#34343c;--quiet:#a6a6b0;--good:#5fd09a;
--warn:#f0bd5c;--bad:#ff8a8a;--c0:#6cb2ff;--c1:#45c9b3;--c2:#e08ad0;--c3:#ffa64d;--c4:#b596f0;--c5:#9aa1ad}}
body{font:15px/1.5 system-ui,sans-serif;margin:0;color:var(--ink);background:var(--paper)}
main{max-width:1040px;margin:1.5rem auto;padding:0 1rem}h1{font-size:1.6rem;margin:.2rem 0}h2{font-size:1.1rem;
margin:1.8rem 0 .2rem}h3{font-size:1rem;margin:1rem 0 .2rem}section p{margin:.1rem 0 .5rem;color:var(--quiet)}
.verdicts{list-style:none;padding:0;margin:1rem 0}.verdicts li{margin:.15rem 0;padding-left:1.3em;text-indent:-1.3em}
.verdicts .good::before{content:"✓ "}.verdicts .bad::before{content:"✗ "}.verdicts .warn::before{content:"⚠ "}
.verdicts .quiet::before{content:"· "}li.good{color:var(--good)}li.warn{color:var(--warn)}li.bad{color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(14rem,1fr));gap:.6rem;margin:1rem 0}
.tiles div{border:1px solid var(--faint);border-radius:8px;padding:.5rem .8rem}.tiles dt{color:var(--quiet);
font-size:.85rem}.tiles dd{margin:0;font-size:1.3rem;font-variant-numeric:tabular-nums}
table{border-collapse:collapse}th,td{padding:.2rem .9rem .2rem 0;text-align:right;font-variant-numeric:tabular-nums;
white-space:nowrap}th[scope=row]{text-align:left;font-weight:normal}.wide{overflow-x:auto}
code{overflow-wrap:anywhere}svg{width:100%;height:auto;display:block}
svg text{font:11px system-ui,sans-serif;fill:var(--quiet)}.rule{stroke:var(--faint);stroke-width:1}
.limit{stroke:var(--ink);stroke-width:1;stroke-dasharray:5 4}polyline{fill:none;stroke-width:1.8;stroke-linejoin:round}
.key{margin:.1rem 0 0}.key span{display:inline-block;margin-right:1.1rem}.key i{display:inline-block;width:.8em;
height:.8em;margin-right:.35em;border-radius:2px}
rect.good{fill:var(--fgood)}rect.warn{fill:var(--fwarn)}rect.bad{fill:var(--fbad)}i.good{background:var(--fgood)}
i.warn{background:var(--fwarn)}i.bad{background:var(--fbad)}
"""
    + "".join(
        f"rect.c{n},circle.c{n}{{fill:var(--c{n})}}polyline.c{n}{{stroke:var(--c{n})}}i.c{n}{{background:var(--c{n})}}"
        for n in range(9)
    )
    + "</style>"
)
