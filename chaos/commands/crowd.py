"""`load` and `race`: many buyers at once against a running mesh."""

import asyncio
from typing import TYPE_CHECKING, Any

import click

from chaos.commands.options import (
    Command,
    Decorator,
    HypothesisFailed,
    Unreachable,
    emit,
    event_option,
    json_option,
    port_option,
    together,
    unreachable,
)
from chaos.mesh import Mesh, MeshUnreachable
from chaos.texts import Say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chaos.load import Plan, Report
    from chaos.race import Verdict

_MAX_REQUESTS = 100_000


def load_command(say: Say) -> click.Command:
    """`taquilla load`."""

    @click.command(
        "load",
        cls=Command,
        say=say,
        help=say(
            "El Diluvio: muchas reservas a la vez. Con --workers, tantas en vuelo; con --rate, "
            "tantas por segundo. "
            "Un 429 no se reintenta: es la respuesta que se busca. Falla (1) si una respuesta "
            "incumple el contrato "
            "o el gateway no queda sano.",
            "The flood: many reservations at once. With --workers, so many in flight; with "
            "--rate, so many a second. "
            "A 429 is not retried: it is the answer to see. Fails (1) if an answer breaks the "
            "contract or the "
            "gateway is not healthy afterwards.",
        ),
        examples="  taquilla load --requests 50 --workers 10\n  taquilla load --rate 30 "
        "--duration 10 --unique-users",
    )
    @_load_options(say)
    @port_option(say)
    @json_option(say)
    def load(port: int, as_json: bool, **chosen: Any) -> None:
        plan, mesh = _plan(say, **chosen), Mesh(port)
        _knock(mesh, say)

        report = asyncio.run(_flood(mesh, plan))
        if as_json:
            emit(report.as_json())
        else:
            _show_load(report, say)
        if not report.ok:
            raise HypothesisFailed(say("el contrato no se cumplió", "the contract was broken"))

    return load


async def _flood(mesh: Mesh, plan: "Plan") -> "Report":
    from chaos.buyers import Buyers  # noqa: PLC0415 - httpx is slow to import
    from chaos.load import flood  # noqa: PLC0415
    from resilience import Runtime  # noqa: PLC0415

    at_once = plan.workers if plan.rate_per_s is None else round(plan.rate_per_s)
    async with Buyers(mesh.url("gateway"), at_once) as buyers:
        return await flood(plan, buyers, mesh.url("gateway", "/healthz"), Runtime.real())


def _load_options(say: Say) -> Decorator:
    return together(
        click.option(
            "--requests",
            type=click.IntRange(1, _MAX_REQUESTS),
            help=say("Cuántas reservas (50 si no se dice).", "How many reservations (default 50)."),
        ),
        click.option(
            "--workers",
            type=click.IntRange(1, 500),
            help=say("Cuántas en vuelo (10 si no se dice).", "How many in flight (default 10)."),
        ),
        click.option(
            "--rate",
            type=click.FloatRange(0, 2000, min_open=True),
            help=say("Reservas por segundo.", "Reservations a second."),
        ),
        click.option(
            "--duration",
            type=click.FloatRange(0, 3600, min_open=True),
            help=say(
                "Segundos con --rate (10 si no se dice).", "Seconds with --rate (default 10)."
            ),
        ),
        click.option(
            "--unique-users",
            is_flag=True,
            help=say("Un usuario por reserva.", "One user for each reservation."),
        ),
        event_option(say),
    )


def _plan(
    say: Say,
    requests: int | None,
    workers: int | None,
    rate: float | None,
    duration: float | None,
    **same: Any,
) -> "Plan":
    from chaos.load import Plan  # noqa: PLC0415 - httpx is slow to import

    if rate is None:
        if duration is not None:
            raise click.UsageError(say("--duration necesita --rate", "--duration needs --rate"))
        return Plan(requests=requests or 50, workers=workers or 10, rate_per_s=None, **same)
    if workers is not None or (requests is not None and duration is not None):
        raise click.UsageError(
            say(
                "--rate va con --duration o --requests", "--rate goes with --duration or --requests"
            )
        )
    count = requests or max(1, round(rate * (duration or 10)))
    return Plan(requests=min(count, _MAX_REQUESTS), workers=0, rate_per_s=rate, **same)


def race_command(say: Say) -> click.Command:
    """`taquilla race`."""

    @click.command(
        "race",
        cls=Command,
        say=say,
        help=say(
            "Condición de Carrera: deja el evento con --seats asientos y lanza --buyers "
            "compradores a la vez. "
            "Correcto (0) si ganan exactamente tantos como asientos y los demás oyen sold_out.",
            "The race: leaves the event with --seats seats and lets --buyers buyers loose at once. "
            "Right (0) if exactly as many win as there are seats and the others hear sold_out.",
        ),
        examples="  taquilla race\n  taquilla race --buyers 64 --seats 1",
    )
    @_race_options(say)
    @port_option(say)
    @json_option(say)
    def race(buyers: int, seats: int, event_id: str, port: int, as_json: bool) -> None:
        from chaos.race import LabClosed  # noqa: PLC0415 - httpx is slow to import

        mesh = Mesh(port)
        _knock(mesh, say)
        try:
            verdict = asyncio.run(_race(mesh, event_id, buyers, seats))
        except LabClosed as error:
            answer = error.answer
            raise Unreachable(
                say(
                    f"No se pudo preparar {event_id}: inventory respondió {answer.status} "
                    f"{answer.code}",
                    f"{event_id} could not be prepared: inventory answered {answer.status} "
                    f"{answer.code}",
                )
            ) from error
        if as_json:
            emit(verdict.as_json())
        else:
            _show_race(verdict, say)
        if not verdict.ok:
            raise HypothesisFailed(say("la carrera no fue limpia", "the race was not clean"))

    return race


def _race_options(say: Say) -> Decorator:
    return together(
        click.option(
            "--buyers",
            type=click.IntRange(1, 500),
            default=2,
            show_default=True,
            help=say("Compradores.", "Buyers."),
        ),
        click.option(
            "--seats",
            type=click.IntRange(0, 500),
            default=1,
            show_default=True,
            help=say("Asientos libres al empezar.", "Free seats at the start."),
        ),
        event_option(say),
    )


async def _race(mesh: Mesh, event_id: str, count: int, seats: int) -> "Verdict":
    from chaos.buyers import Buyers  # noqa: PLC0415 - httpx is slow to import
    from chaos.race import Race  # noqa: PLC0415
    from resilience import Runtime  # noqa: PLC0415

    async with Buyers(mesh.url("gateway"), count) as crowd:
        return await Race(crowd, mesh.url("inventory"), event_id, Runtime.real()).run(count, seats)


def _knock(mesh: Mesh, say: Say) -> None:
    try:
        mesh.call("gateway", "GET", "/healthz")
    except MeshUnreachable as error:
        raise unreachable(say, error) from error


def _show_outcomes(outcomes: "Mapping[tuple[int, str], int]", say: Say) -> None:
    from rich.console import Console  # noqa: PLC0415 - only for people
    from rich.table import Table  # noqa: PLC0415

    table = Table(say("respuesta", "answer"), say("código", "code"), say("cuántas", "count"))
    for (status, code), count in sorted(outcomes.items()):
        table.add_row(str(status or say("ninguna", "none")), code, str(count))
    Console().print(table)


def _show_load(report: "Report", say: Say) -> None:
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


def _show_race(verdict: "Verdict", say: Say) -> None:
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
