"""An audit in words: the check list, the sentence at the end, and the distance while it shrinks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import click

from chaos.audit import INVARIANTS, Look, Report, Result
from chaos.texts import Say

_SHOWN: Final = 10

Show = Callable[[Look], None]
"""Takes each look at the books while the mesh comes to rest."""


def not_true(report: Report, say: Say) -> str:
    """One sentence on a verdict of no."""
    red = ", ".join(report.red)
    if report.settled:
        return say(f"los libros no cuadran: {red}", f"the books are not true: {red}")
    return say(
        f"la malla no llega al reposo ({red}). ¿Queda un fallo encendido? (taquilla chaos list)",
        f"the mesh does not come to rest ({red}). Is a fault still on? (taquilla chaos list)",
    )


def show_report(report: Report, say: Say, *, brief: bool = False) -> None:
    """The check list in words; only what is red when `brief`."""
    for result in report.results:
        if not brief or not result.ok:
            _show_result(result, say)
    facts = report.facts
    click.echo(
        say(
            "confirmadas {confirmed}   asientos vendidos {seats_sold}   cobrado {kept}   "
            "avisos entregados {delivered}",
            "confirmed {confirmed}   seats sold {seats_sold}   kept {kept}   notices delivered {delivered}",
        ).format(**facts, kept=_money(facts["captured_minor"] - facts["refunded_minor"]))
    )
    if report.journals:
        click.echo(
            say(
                "diario: {requests} peticiones, {acknowledged} anunciadas, {unknown} sin saber "
                "({unknown_became_sales} fueron ventas)",
                "journal: {requests} requests, {acknowledged} acknowledged, {unknown} unknown "
                "({unknown_became_sales} became sales)",
            ).format(**facts)
        )
    _show_named(report, say)
    if report.ok:
        wait = f"{report.waited_s:.1f} s"
        click.secho(
            say(
                f"los libros cuadran (en reposo tras {wait})",
                f"the books are true (at rest after {wait})",
            ),
            fg="green",
        )


def _show_named(report: Report, say: Say) -> None:
    words = {
        "dead_letters": say("avisos muertos (taquilla mail)", "dead letters (taquilla mail)"),
        "second_mails": say(
            "correos que quizá llegaron dos veces", "mails that may have arrived twice"
        ),
    }
    for name, ids in report.named.items():
        if ids:
            more = " …" if len(ids) > _SHOWN else ""
            click.secho(f"{words[name]}: {len(ids)}   {', '.join(ids[:_SHOWN])}{more}", fg="yellow")
    if report.refusals_not_judged:
        number = report.refusals_not_judged
        click.echo(
            say(
                f"{number} «agotado» sin juzgar: nadie contó los asientos antes y después",
                f"{number} “sold out” not judged: nobody counted the seats before and after",
            )
        )


def _show_result(result: Result, say: Say) -> None:
    one = result.invariant
    if not result.judged:
        no_journal = say("(sin diario)", "(no journal)")
        click.secho(f"· {one.number:<4}{say(one.es, one.en)} {no_journal}", dim=True)
        return
    mark, colour = ("✓", "green") if result.ok else ("✗", "red")
    click.secho(f"{mark} {one.number:<4}", fg=colour, nl=False)
    click.echo(say(one.es, one.en))
    for finding in result.findings[:_SHOWN]:
        click.echo(f"       {finding.what}   {finding.facts}")
    if len(result.findings) > _SHOWN:
        more = len(result.findings) - _SHOWN
        click.echo("       " + say(f"… y {more} más", f"… and {more} more"))


def _money(amount_minor: int) -> str:
    return f"{amount_minor // 100}.{amount_minor % 100:02d}"


@contextmanager
def watching(say: Say, wanted: bool) -> Iterator[Show]:
    """Something that shows looks: a live table on a terminal, lines elsewhere."""
    if not wanted:
        yield lambda _look: None
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import

    console = Console()
    if not console.is_terminal:
        yield lambda look: click.echo(_line(look, say))
        return
    from rich.live import Live  # noqa: PLC0415 - slow to import

    with Live(console=console, refresh_per_second=8) as live:
        yield lambda look: live.update(_table(look, say))


def _line(look: Look, say: Say) -> str:
    parts = " ".join(f"{number}={count}" for number, count in look.distances.items())
    return f"{look.waited_s:6.1f} s  {say('distancia', 'distance')} {look.distance}  {parts}"


def _table(look: Look, say: Say) -> Any:
    from rich.table import Table  # noqa: PLC0415 - slow to import

    title = f"{look.waited_s:.1f} s   {say('distancia', 'distance')} {look.distance}"
    table = Table(title=title, show_header=False)
    for one in INVARIANTS:
        if not one.by_journal:
            count = look.distances.get(one.number, 0)
            bar = "█" * min(count, 40)
            table.add_row(one.number, one.name, f"{count or '✓'}", bar)
    return table
