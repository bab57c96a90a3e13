"""`load` and `race`: many buyers at once against a running mesh."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chaos.commands.audit import conclude, data_of, journal_of, journal_options
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
    token_option,
    unreachable,
)
from chaos.commands.outcomes import show_load, show_race
from chaos.commands.verdict import not_true, show_report
from chaos.mesh import Mesh, MeshUnreachable
from chaos.texts import Say

if TYPE_CHECKING:
    from chaos.audit import Report as AuditReport
    from chaos.journal import Journal
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
    @journal_options(say)
    @port_option(say)
    @json_option(say)
    def load(
        port: int, as_json: bool, journal_path: Path | None, audits: bool, **chosen: Any
    ) -> None:
        plan, mesh, data = _plan(say, **chosen), Mesh(port), data_of(port)
        _knock(mesh, say)
        with journal_of("load", journal_path, data) as journal:
            report = asyncio.run(_flood(mesh, plan, journal))
        if not as_json:
            show_load(report, say)
        verdict = conclude(data, journal, audits=audits, say=say)
        _end(report.as_json(), verdict, as_json=as_json, say=say)
        if not report.ok:
            raise HypothesisFailed(say("el contrato no se cumplió", "the contract was broken"))

    return load


def _end(
    document: dict[str, Any], verdict: "AuditReport | None", *, as_json: bool, say: Say
) -> None:
    """The audit's part of the output.

    Raises:
        HypothesisFailed: The books are not true.
    """
    if as_json:
        ok = document["ok"] and (verdict is None or verdict.ok)
        emit({**document, "ok": ok, "audit": None if verdict is None else verdict.as_json()})
    elif verdict is not None:
        show_report(verdict, say, brief=True)
    if verdict is not None and not verdict.ok:
        raise HypothesisFailed(not_true(verdict, say))


async def _flood(mesh: Mesh, plan: "Plan", journal: "Journal | None") -> "Report":
    from chaos.buyers import Buyers  # noqa: PLC0415 - httpx is slow to import
    from chaos.load import flood  # noqa: PLC0415
    from resilience import Runtime  # noqa: PLC0415

    at_once = plan.workers if plan.rate_per_s is None else round(plan.rate_per_s)
    async with Buyers(mesh.url("gateway"), at_once, journal=journal) as buyers:
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
    @journal_options(say)
    @port_option(say)
    @token_option(say)
    @json_option(say)
    def race(
        port: int,
        token: str | None,
        as_json: bool,
        journal_path: Path | None,
        audits: bool,
        **chosen: Any,
    ) -> None:
        mesh, data = Mesh(port, token), data_of(port)
        _knock(mesh, say)
        with journal_of("race", journal_path, data) as journal:
            verdict = _run_race(mesh, journal, say, **chosen)
        if not as_json:
            show_race(verdict, say)
        report = conclude(data, journal, audits=audits, say=say)
        _end(verdict.as_json(), report, as_json=as_json, say=say)
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


def _run_race(
    mesh: Mesh, journal: "Journal | None", say: Say, event_id: str, buyers: int, seats: int
) -> "Verdict":
    from chaos.race import LabClosed  # noqa: PLC0415 - httpx is slow to import

    try:
        return asyncio.run(_race(mesh, journal, event_id, buyers, seats))
    except LabClosed as error:
        status, code = error.answer.status, error.answer.code
        raise Unreachable(
            say(
                f"No se pudo preparar {event_id}: inventory respondió {status} {code}",
                f"{event_id} could not be prepared: inventory answered {status} {code}",
            )
        ) from error


async def _race(
    mesh: Mesh, journal: "Journal | None", event_id: str, count: int, seats: int
) -> "Verdict":
    from chaos.buyers import Buyers  # noqa: PLC0415 - httpx is slow to import
    from chaos.race import Race  # noqa: PLC0415
    from resilience import Runtime  # noqa: PLC0415

    async with Buyers(mesh.url("gateway"), count, journal=journal) as crowd:
        race = Race(crowd, mesh.url("inventory"), event_id, Runtime.real(), mesh.token)
        return await race.run(count, seats)


def _knock(mesh: Mesh, say: Say) -> None:
    try:
        mesh.call("gateway", "GET", "/healthz")
    except MeshUnreachable as error:
        raise unreachable(say, error) from error
