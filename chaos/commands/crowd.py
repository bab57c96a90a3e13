"""`race`, and how `load` and `race` begin and end."""

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
from chaos.commands.outcomes import show_race
from chaos.commands.verdict import not_true, show_report
from chaos.mesh import Mesh, MeshUnreachable
from chaos.texts import Say

if TYPE_CHECKING:
    from chaos.audit import Report as AuditReport
    from chaos.journal import Journal
    from chaos.race import Verdict


def end(
    document: dict[str, Any], verdict: "AuditReport | None", *, as_json: bool, say: Say
) -> None:
    """The output of a run: as JSON, or what is left to say of its audit.

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
        knock(mesh, say)
        with journal_of("race", journal_path, data) as journal:
            verdict = _run_race(mesh, journal, say, **chosen)
        if not as_json:
            show_race(verdict, say)
        report = conclude(data, journal, audits=audits, say=say)
        end(verdict.as_json(), report, as_json=as_json, say=say)
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


def knock(mesh: Mesh, say: Say) -> None:
    """Is there a gateway?

    Raises:
        Unreachable: Nothing answers.
    """
    try:
        mesh.call("gateway", "GET", "/healthz")
    except MeshUnreachable as error:
        raise unreachable(say, error) from error
