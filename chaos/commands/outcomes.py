"""What load and race came to, in words."""

from typing import TYPE_CHECKING

import click

from chaos.texts import Say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chaos.race import Verdict


def show_outcomes(outcomes: "Mapping[tuple[int, str], int]", say: Say) -> None:
    """Answers by status and code, as a table."""
    from rich.console import Console  # noqa: PLC0415 - only for people
    from rich.table import Table  # noqa: PLC0415

    table = Table(say("respuesta", "answer"), say("código", "code"), say("cuántas", "count"))
    for (status, code), count in sorted(outcomes.items()):
        table.add_row(str(status or say("ninguna", "none")), code, str(count))
    Console().print(table)


def show_race(verdict: "Verdict", say: Say) -> None:
    """Answers and verdict of a race."""
    show_outcomes(verdict.outcomes, say)
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
