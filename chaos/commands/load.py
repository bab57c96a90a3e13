"""`load`: many buyers at once against a running mesh."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chaos.commands.audit import conclude, data_of, journal_of, journal_options
from chaos.commands.crowd import end, knock
from chaos.commands.flood import show_load, showing
from chaos.commands.options import (
    Command,
    Decorator,
    HypothesisFailed,
    Unreachable,
    admin_token_option,
    event_option,
    json_option,
    port_option,
    together,
)
from chaos.load.plan import (
    MAX_DURATION_S,
    MAX_PROCESSES,
    MAX_RATE_PER_S,
    MAX_REQUESTS,
    MAX_WORKERS,
    Plan,
)
from chaos.mesh import Mesh
from chaos.texts import Say

if TYPE_CHECKING:
    from chaos.journal import Journal
    from chaos.load.report import Report

_REQUESTS, _WORKERS, _DURATION_S = 50, 10, 10.0
"""Where nothing else is said."""


def load_command(say: Say) -> click.Command:
    """`taquilla load`."""

    @click.command(
        "load",
        cls=Command,
        say=say,
        help=say(
            "El Diluvio: muchas reservas. Con --workers, tantas en vuelo (lazo cerrado: quien compra "
            "espera su respuesta). Con --rate, tantas por segundo pase lo que pase (lazo abierto), y "
            "la latencia cuenta desde que cada una debía salir. "
            "Un 429 no se reintenta: es la respuesta que se busca. Falla (1) si una respuesta "
            "incumple el contrato o el gateway no queda sano.",
            "The flood: many reservations. With --workers, so many in flight (closed loop: who buys "
            "waits for the answer). With --rate, so many a second whatever happens (open loop), and "
            "latency counts from when each was meant to start. "
            "A 429 is not retried: it is the answer to see. Fails (1) if an answer breaks the "
            "contract or the gateway is not healthy afterwards.",
        ),
        examples="  taquilla load --requests 50 --workers 10\n  taquilla load --rate 200 "
        "--duration 30 --event festival-01 --html load.html",
    )
    @_load_options(say)
    @journal_options(say)
    @port_option(say)
    @admin_token_option(say)
    @json_option(say)
    def load(
        port: int,
        token: str | None,
        as_json: bool,
        html: Path | None,
        journal_path: Path | None,
        audits: bool,
        **chosen: Any,
    ) -> None:
        plan, mesh, data = plan_of(say, **chosen), Mesh(port, token), data_of(port)
        knock(mesh, say)
        if html is not None:
            _make(html)
        with journal_of("load", journal_path, data) as journal:
            report = _flood(plan, mesh, journal, say, quiet=as_json)
        if not as_json:
            show_load(report, say)
        verdict = conclude(data, journal, audits=audits, say=say)
        if html is not None:
            from chaos.load.page import as_html  # noqa: PLC0415 - only where it is wanted

            html.write_text(as_html(report, verdict, say), encoding="utf-8")
            if not as_json:
                click.echo(say(f"informe: {html}", f"report: {html}"))
        end(report.as_json(), verdict, as_json=as_json, say=say)
        if not report.ok:
            raise HypothesisFailed(say("el contrato no se cumplió", "the contract was broken"))

    return load


def _make(html: Path) -> None:
    """See that the report can be written before anything is bought.

    Raises:
        click.BadParameter: It cannot.
    """
    try:
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_bytes(b"")
    except OSError as error:
        raise click.BadParameter(str(error), param_hint="--html") from error


def _flood(plan: Plan, mesh: Mesh, journal: "Journal | None", say: Say, *, quiet: bool) -> "Report":
    from chaos.load.crew import CrewFailed  # noqa: PLC0415 - httpx is slow to import
    from chaos.load.run import Flood  # noqa: PLC0415
    from resilience import Runtime  # noqa: PLC0415

    try:
        with showing(say, wanted=not quiet) as show:
            return asyncio.run(Flood(plan, mesh, journal, Runtime.real(), show).run())
    except CrewFailed as error:
        raise Unreachable(
            say(f"un proceso comprador falló: {error}", f"a buying process failed: {error}")
        ) from error


def _load_options(say: Say) -> Decorator:
    return together(
        click.option(
            "--requests",
            type=click.IntRange(1, MAX_REQUESTS),
            help=say(
                f"Cuántas reservas ({_REQUESTS} si no se dice).",
                f"How many reservations (default {_REQUESTS}).",
            ),
        ),
        click.option(
            "--workers",
            type=click.IntRange(1, MAX_WORKERS),
            help=say(
                f"Lazo cerrado: cuántas en vuelo ({_WORKERS} si no se dice).",
                f"Closed loop: how many in flight (default {_WORKERS}).",
            ),
        ),
        click.option(
            "--rate",
            type=click.FloatRange(0, MAX_RATE_PER_S, min_open=True),
            help=say("Lazo abierto: reservas por segundo.", "Open loop: reservations a second."),
        ),
        click.option(
            "--duration",
            type=click.FloatRange(0, MAX_DURATION_S, min_open=True),
            help=say(
                f"Segundos con --rate ({_DURATION_S:g} si no se dice).",
                f"Seconds with --rate (default {_DURATION_S:g}).",
            ),
        ),
        click.option(
            "--arrivals",
            type=click.Choice(["constant", "poisson"]),
            help=say(
                "Con --rate: a intervalos iguales, o independientes unas de otras.",
                "With --rate: evenly spaced, or independent of each other.",
            ),
        ),
        click.option(
            "--seed",
            type=click.IntRange(0),
            help=say("Decide las llegadas de poisson (1).", "Decides poisson's arrivals (1)."),
        ),
        click.option(
            "--processes",
            type=click.IntRange(1, MAX_PROCESSES),
            default=1,
            show_default=True,
            help=say("Procesos que compran.", "Processes that buy."),
        ),
        click.option(
            "--unique-users",
            is_flag=True,
            help=say("Un usuario por reserva.", "One user for each reservation."),
        ),
        click.option(
            "--html",
            type=click.Path(dir_okay=False, writable=True, path_type=Path),
            metavar="FILE",
            help=say("Informe en una página.", "Report on one page."),
        ),
        event_option(say),
    )


def plan_of(
    say: Say,
    requests: int | None = None,
    workers: int | None = None,
    rate: float | None = None,
    duration: float | None = None,
    **same: Any,
) -> Plan:
    """The plan that options ask for.

    Raises:
        click.UsageError: They contradict each other, or ask for too much.
    """
    arrivals, seed = same.pop("arrivals", None), same.pop("seed", None)
    if rate is None:
        for name, given in (("duration", duration), ("arrivals", arrivals), ("seed", seed)):
            if given is not None:
                raise click.UsageError(say(f"--{name} necesita --rate", f"--{name} needs --rate"))
        workers = workers or _WORKERS
        _each_has_work(workers, same["processes"], say)
        return Plan(requests=requests or _REQUESTS, workers=workers, **same)
    if workers is not None or (requests is not None and duration is not None):
        raise click.UsageError(
            say(
                "--rate va con --duration o --requests", "--rate goes with --duration or --requests"
            )
        )
    if seed is not None and arrivals != "poisson":
        raise click.UsageError(
            say("--seed necesita --arrivals poisson", "--seed needs --arrivals poisson")
        )
    count = requests or max(1, round(rate * (duration or _DURATION_S)))
    _is_bounded(count, rate, say)
    return Plan(
        requests=count,
        rate_per_s=rate,
        arrivals=arrivals or "constant",
        seed=1 if seed is None else seed,
        **same,
    )


def _each_has_work(workers: int, processes: int, say: Say) -> None:
    if workers < processes:
        raise click.UsageError(
            say(
                f"--workers {workers} no llega para --processes {processes}",
                f"--workers {workers} is too few for --processes {processes}",
            )
        )


def _is_bounded(count: int, rate: float, say: Say) -> None:
    if count > MAX_REQUESTS:
        raise click.UsageError(
            say(
                f"son {count} reservas; como mucho {MAX_REQUESTS}: menos --rate o menos --duration",
                f"that is {count} reservations; at most {MAX_REQUESTS}: less --rate or --duration",
            )
        )
    if count / rate > MAX_DURATION_S:
        raise click.UsageError(
            say(
                f"--requests {count} a {rate:g}/s dura más de {MAX_DURATION_S:g} s",
                f"--requests {count} at {rate:g}/s takes more than {MAX_DURATION_S:g} s",
            )
        )
