"""`matrix`: buyers buy while everything is killed, frozen and cut off; then the books are audited."""

import asyncio
import re
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Final

import click

from chaos.commands.options import Command, Decorator, HypothesisFailed, emit, json_option, together
from chaos.commands.progress import progress
from chaos.texts import Say

if TYPE_CHECKING:
    from chaos.matrix.run import Report

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}


class _Duration(click.ParamType[float]):
    """`90s`, `10m`, `1h` or bare seconds."""

    name = "DURATION"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value))
        if found is None or not 1 <= float(found[1]) * _UNITS[found[2] or "s"] <= 86_400:
            self.fail(f"{value!r}: 90s, 10m, 1h", param, ctx)
        return float(found[1]) * _UNITS[found[2] or "s"]


def matrix_command(say: Say) -> click.Command:
    """`taquilla matrix`."""

    @click.command(
        "matrix",
        cls=Command,
        say=say,
        help=say(
            "La matriz de caos: arranca mallas propias, compra sin parar y mientras tanto mata, congela, corta, "
            "duplica y llena el disco, cada cosa sola y por parejas. Después espera al reposo y audita. Falla (1) "
            "si algo no cuadra.",
            "The kill matrix: starts meshes of its own, buys without pause and meanwhile kills, freezes, cuts, "
            "doubles and fills the disk, each alone and in pairs. Then it waits for rest and audits. Fails (1) if "
            "anything does not add up.",
        ),
        examples="  taquilla matrix --budget 90s --html matriz.html\n"
        "  taquilla matrix --only crash:reservations --budget 5m --seed 7",
    )
    @_options(say)
    @json_option(say)
    def matrix(as_json: bool, html: Path | None, data: Path | None, **chosen: Any) -> None:
        from chaos.matrix import page  # noqa: PLC0415 - httpx is slow to import
        from chaos.matrix.run import Order, run  # noqa: PLC0415

        folder = data or Path(mkdtemp(prefix="taquilla-matrix-"))
        order = Order(data=folder.resolve(), **chosen)
        try:
            with progress(say("matriz", "matrix"), as_json=as_json) as tell:
                report = asyncio.run(run(order, tell))
        except LookupError:
            raise click.BadParameter(
                say("ningún acto se llama así", "no act has that name"), param_hint="--only"
            ) from None
        if html is not None:
            html.write_text(page.as_html(report, say), encoding="utf-8")
        if as_json:
            emit(page.as_json(report))
        else:
            _show(report, html, say)
        if not report.ok:
            raise HypothesisFailed(say("algo no cuadra", "something does not add up"))

    return matrix


def _options(say: Say) -> Decorator:
    return together(
        click.option(
            "--budget",
            "budget_s",
            type=_Duration(),
            default="90s",
            show_default=True,
            help=say(
                "Tiempo de compras y fallos; arrancar, reposar y auditar van aparte.",
                "Time of buying and breaking; starting, resting and auditing come on top.",
            ),
        ),
        click.option(
            "--seed",
            type=int,
            default=1,
            show_default=True,
            help=say("Semilla del orden y de cada azar.", "Seed of the order and of every draw."),
        ),
        click.option(
            "--only",
            metavar="NAME",
            help=say(
                "Solo los actos que empiezan así: kill, crash:payments, link, freeze, store, world, disk.",
                "Only acts that begin so: kill, crash:payments, link, freeze, store, world, disk.",
            ),
        ),
        click.option(
            "--buyers",
            type=click.IntRange(1, 200),
            default=24,
            show_default=True,
            help=say("Compradores a la vez.", "Buyers at once."),
        ),
        click.option(
            "--data",
            type=click.Path(file_okay=False, path_type=Path),
            metavar="DIR",
            help=say(
                "Carpeta de bases de datos y diarios; una temporal si no se dice.",
                "Folder of databases and journals; a temporary one by default.",
            ),
        ),
        click.option(
            "--html",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help=say("Escribe el informe en una página.", "Writes the report as one page."),
        ),
    )


def _show(report: "Report", html: Path | None, say: Say) -> None:
    figures, kills = report.figures, report.total("kills")
    click.echo(
        say(
            f"{figures.acknowledged} confirmadas a compradores, {figures.unknown} sin desenlace conocido, "
            f"{kills.total()} procesos matados, {report.total('faults').total()} fallos más",
            f"{figures.acknowledged} acknowledged, {figures.unknown} left open, {kills.total()} kills, "
            f"{report.total('faults').total()} other faults",
        )
    )
    zero = {
        say("perdidas", "lost"): figures.lost,
        say("vendidas de más", "oversold"): figures.oversold,
        say("cobradas sin asiento", "charged without seat"): figures.charged_without_seat,
        say("asientos sin cobro", "seat without charge"): figures.seat_without_charge,
        say("rechazadas y confirmadas", "refused yet confirmed"): figures.refused_yet_confirmed,
    }
    for name, count in zero.items():
        click.secho(f"  {'✗' if count else '✓'} {name}: {count}", fg="red" if count else "green")
    for breach, count in report.total("breaches").items():
        click.secho(f"  ✗ {count} x {breach}", fg="red")
    for one in report.stages:
        click.secho(f"  {_stage_line(one, say)}", fg=None if one.ok else "red")
    click.echo(
        say(f"datos y diarios: {report.order.data}", f"data and journals: {report.order.data}")
    )
    if html is not None:
        click.echo(say(f"informe: {html}", f"report: {html}"))


def _stage_line(one: Any, say: Say) -> str:
    name = f"{one.stage.name:<7}"
    if one.skipped is not None:
        return name + say(f"no se hizo: {one.skipped}", f"skipped: {one.skipped}")
    if one.rest_after_s is None:
        return name + say("sin reposo: ", "no rest: ") + str(dict(one.open_in_the_end))
    audit = {None: say("sin auditor", "no auditor"), True: "✓", False: "✗"}[one.audit_ok]
    return name + say(
        f"en reposo a los {one.rest_after_s:.1f} s, auditoría {audit}",
        f"at rest after {one.rest_after_s:.1f} s, audit {audit}",
    )
