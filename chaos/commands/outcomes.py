"""What load and race came to, in words."""

from typing import TYPE_CHECKING

import click

from chaos.texts import Say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chaos.load import Report
    from chaos.race import Verdict


def _show_outcomes(outcomes: "Mapping[tuple[int, str], int]", say: Say) -> None:
    from rich.console import Console  # noqa: PLC0415 - only for people
    from rich.table import Table  # noqa: PLC0415

    table = Table(say("respuesta", "answer"), say("código", "code"), say("cuántas", "count"))
    for (status, code), count in sorted(outcomes.items()):
        table.add_row(str(status or say("ninguna", "none")), code, str(count))
    Console().print(table)


def show_load(report: "Report", say: Say) -> None:
    """Answers, speed and latencies of a flood."""
    _show_outcomes(report.outcomes, say)
    total = report.outcomes.total()
    click.echo(
        say(
            f"{total} reservas en {report.elapsed_s:.2f} s ({total / report.elapsed_s:.1f}/s)",
            f"{total} reservations in {report.elapsed_s:.2f} s ({total / report.elapsed_s:.1f}/s)",
        )
    )
    if report.accepted_s:
        shares = ((50, 0.5), (95, 0.95), (99, 0.99))
        times = "  ".join(
            f"p{name} {(report.percentile_s(share) or 0) * 1000:.0f} ms" for name, share in shares
        )
        click.echo(say("aceptadas: ", "accepted: ") + times)
    for breach, count in report.breaches.items():
        click.secho(f"{count} x {breach}", fg="red")
    healthy, sick = (
        say("gateway sano", "gateway healthy"),
        say("gateway NO sano", "gateway NOT healthy"),
    )
    click.secho(
        healthy if report.healthy_after else sick, fg="green" if report.healthy_after else "red"
    )


def show_race(verdict: "Verdict", say: Say) -> None:
    """Answers and verdict of a race."""
    _show_outcomes(verdict.outcomes, say)
    click.echo(
        say(
            f"{verdict.buyers} compradores, {verdict.seats} asientos, {verdict.sold} vendidos, "
            f"{verdict.retries} reintentos tras 429",
            f"{verdict.buyers} buyers, {verdict.seats} seats, {verdict.sold} sold, "
            f"{verdict.retries} retries after 429",
        )
    )
    for fault in verdict.faults:
        click.secho(fault, fg="red")
    if verdict.ok:
        click.secho(say("nadie compró un asiento de más", "no seat was sold twice"), fg="green")
