"""A flood for people: a live table while it goes on (lines where nobody watches), and what it came to in the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from chaos.commands.outcomes import show_outcomes
from chaos.load.histogram import Histogram
from chaos.load.report import name_of
from chaos.load.words import advice
from chaos.texts import Say

if TYPE_CHECKING:
    from chaos.load.report import Report
    from chaos.load.run import Progress, Show

_LIVE: Final = (0.5, 0.95, 0.99)
_WHOLE: Final = (*_LIVE, 0.999)


@contextmanager
def showing(say: Say, *, wanted: bool) -> Iterator["Show"]:
    """Something that shows the progress of a run each second."""
    if not wanted:
        yield lambda _progress: None
        return
    from rich.console import Console  # noqa: PLC0415 - only for people

    console = Console()
    if not console.is_terminal:
        yield lambda progress: click.echo(_line(progress, say))
        return
    from rich.live import Live  # noqa: PLC0415 - only for people

    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield lambda progress: live.update(_table(progress, say), refresh=True)


def _line(progress: "Progress", say: Say) -> str:
    return "  ".join(f"{name} {value}" for name, value in _facts(progress, say))


def _table(progress: "Progress", say: Say) -> Any:
    from rich.table import Table  # noqa: PLC0415 - only for people

    table = Table(show_header=False)
    for name, value in _facts(progress, say):
        table.add_row(name, value)
    return table


def _facts(progress: "Progress", say: Say) -> Iterator[tuple[str, str]]:
    """What the last second came to, and what the run has so far."""
    last, plan, sample = progress.last, progress.plan, progress.sample
    yield say("segundo", "second"), f"{progress.number + 1}"
    wanted = f" / {plan.rate_per_s:g}" if plan.is_open else ""
    yield say("enviadas/s", "sent/s"), f"{last.sent}{wanted}"
    yield say("en vuelo", "in flight"), f"{last.in_flight}"
    yield say("aceptadas", "accepted"), _times(last.accepted, _LIVE)
    yield say("retraso", "lag"), _times(last.lag, (0.99,))
    yield (
        say("respuestas", "answers"),
        " ".join(
            f"{status or '–'} {code} {count}"
            for (status, code), count in sorted(progress.whole.outcomes.items())
        ),
    )
    if sample is not None and sample.limit is not None:
        yield say("límite", "limit"), f"{sample.in_flight}/{sample.limit:g}"
    open_ones = [] if sample is None else [n for n, at in sample.breakers.items() if at != "closed"]
    if open_ones:
        yield say("breakers abiertos", "open breakers"), " ".join(open_ones)
    if progress.left_s is not None:
        yield say("quedan", "left"), f"{progress.left_s:.0f} s"


def _times(histogram: Histogram, shares: tuple[float, ...], missing: int = 0) -> str:
    return "  ".join(f"{name_of(share)} {_ms(histogram.at(share, missing))}" for share in shares)


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"


def show_load(report: "Report", say: Say) -> None:
    """Answers, speed, latencies and lag of a flood, and what the client itself had to do with it."""
    whole = report.whole
    show_outcomes(whole.outcomes, say)
    rate, good, took = report.rate_per_s, report.goodput_per_s, f"{report.elapsed_s:.2f} s"
    wanted = f" / {report.plan.rate_per_s:g}" if report.plan.is_open else ""
    click.echo(
        say(
            f"{whole.due} reservas en {took}: {rate:.1f}{wanted} enviadas/s, {good:.1f} aceptadas/s",
            f"{whole.due} reservations in {took}: {rate:.1f}{wanted} sent/s, {good:.1f} accepted/s",
        )
    )
    rows: tuple[tuple[str, Histogram, int], ...] = (
        (say("aceptadas", "accepted"), whole.accepted, 0),
        (say("rechazadas", "refused"), whole.refused, 0),
        (say("todas", "all"), whole.answered(), whole.silent),
        (say("retraso del cliente", "the client's lag"), whole.lag, 0),
    )
    for name, histogram, missing in rows:
        if histogram.count and (report.plan.is_open or histogram is not whole.lag):
            click.echo(f"{name}: {_times(histogram, _WHOLE, missing)}")
    if report.interrupted:
        click.secho(say("interrumpida", "interrupted"), fg="yellow")
    for breach, count in whole.breaches.items():
        click.secho(f"{count} x {breach}", fg="red")
    _show_client(report, say)
    healthy, sick = (
        say("gateway sano", "gateway healthy"),
        say("gateway NO sano", "gateway NOT healthy"),
    )
    click.secho(
        healthy if report.healthy_after else sick, fg="green" if report.healthy_after else "red"
    )


def _show_client(report: "Report", say: Say) -> None:
    client = report.client
    taken, ceiling = f"{client.processes} × {client.cpu_share:.0%}", client.ceiling_per_s
    about = "" if ceiling is None else f"{ceiling:.0f}/s"
    text = say(f"cliente: {taken} de un núcleo", f"client: {taken} of a core")
    click.echo(text + (about and say(f"; su techo, unas {about}", f"; its ceiling, about {about}")))
    for sentence in advice(client, say):
        click.secho(sentence, fg="yellow")
