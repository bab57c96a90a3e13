"""`simulate`: broken worlds by the thousand, on virtual time, each repeatable by its number."""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from chaos.commands.options import Command, Decorator, HypothesisFailed, emit, json_option, together
from chaos.commands.progress import progress
from chaos.state import wall_clock
from chaos.texts import Say

if TYPE_CHECKING:
    from chaos.simulate.run import Result
    from chaos.simulate.sweep import Sweep

_SHOWN: Final = 10
"""Failing seeds, and things never seen, that are listed."""

_RESERVATION: Final = re.compile(r"\br[0-9a-f]{32}\b")

_ENOUGH: Final = 2_000
"""Seeds from which on it is worth saying what never happened."""


def simulate_command(say: Say) -> click.Command:
    """`taquilla simulate`."""

    @click.command(
        "simulate",
        cls=Command,
        say=say,
        help=say(
            "Simula la malla entera en un proceso, en tiempo virtual: cada semilla es un mundo con sus averías, "
            "siempre el mismo. Al final de cada uno, el auditor. Con --seed repite uno; con --trace lo cuenta; con "
            "--shrink busca el más pequeño que falla igual. Falla (1) si algo no cuadra.",
            "Simulates the whole mesh in one process, on virtual time: each seed is a world with its faults, always "
            "the same. At the end of each, the auditor. --seed repeats one; --trace tells it; --shrink looks for the "
            "smallest that fails alike. Fails (1) if anything does not add up.",
        ),
        examples="  taquilla simulate --seeds 1000\n"
        "  taquilla simulate --seeds 100000 --from 1 --jobs 2\n"
        "  taquilla simulate --seed 4711 --trace\n"
        "  taquilla simulate --seed 4711 --shrink --svg historia.svg",
    )
    @_options(say)
    @json_option(say)
    def simulate(  # noqa: PLR0913 - the options
        *,
        as_json: bool,
        seeds: int,
        first: int,
        jobs: int | None,
        seed: int | None,
        about: str | None,
        svg: Path | None,
        **chosen: bool,
    ) -> None:
        alone = chosen["trace"] or chosen["shrink"] or svg is not None or about is not None
        if seed is None and alone:
            raise click.UsageError(
                say(
                    "--trace, --shrink, --about y --svg son de una --seed",
                    "--trace, --shrink, --about and --svg belong to one --seed",
                )
            )
        if seed is None:
            _many(
                first,
                seeds,
                jobs or os.cpu_count() or 1,
                wal=chosen["wal"],
                as_json=as_json,
                say=say,
            )
        else:
            _one(seed, about, svg, chosen, as_json=as_json, say=say)

    return simulate


def _options(say: Say) -> Decorator:
    return together(
        click.option(
            "--seeds",
            type=click.IntRange(1),
            default=300,
            show_default=True,
            help=say("Cuántas semillas.", "How many seeds."),
        ),
        click.option(
            "--from",
            "first",
            type=click.IntRange(0),
            default=1,
            show_default=True,
            help=say(
                "La primera: para continuar donde se dejó.",
                "The first: to go on where it was left.",
            ),
        ),
        click.option(
            "--jobs",
            type=click.IntRange(1, 256),
            help=say(
                "Procesos; uno por núcleo si no se dice.", "Processes; one per core by default."
            ),
        ),
        click.option(
            "--wal",
            is_flag=True,
            help=say(
                "Bases de datos en ficheros WAL en vez de en memoria.",
                "Databases as WAL files instead of in memory.",
            ),
        ),
        click.option("--seed", type=click.IntRange(0), help=say("Solo esta.", "Only this one.")),
        click.option(
            "--trace", is_flag=True, help=say("Cuenta lo que pasó.", "Tells what happened.")
        ),
        click.option(
            "--shrink",
            is_flag=True,
            help=say(
                "Busca el mundo más pequeño que falla igual.",
                "Looks for the smallest world that fails alike.",
            ),
        ),
        click.option(
            "--about",
            metavar="ID",
            help=say(
                "Solo lo que toca a esta reserva; por defecto, con un fallo, la que falla.",
                "Only what concerns this reservation; by default, after a failure, the one that fails.",
            ),
        ),
        click.option(
            "--svg",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help=say("Dibuja la secuencia.", "Draws the sequence."),
        ),
    )


def _many(first: int, seeds: int, jobs: int, *, wal: bool, as_json: bool, say: Say) -> None:
    from chaos.simulate.sweep import sweep  # noqa: PLC0415 - the services are slow to import

    began_s = wall_clock().timestamp()

    def line(total: "Sweep") -> str:
        per_min = total.seeds / max(wall_clock().timestamp() - began_s, 0.001) * 60
        sagas, failing = total.tally.sums["sagas"], len(total.failures)
        worlds = f"{total.seeds}/{seeds}, {per_min:.0f}"
        return say(
            f"{worlds} mundos/min, {sagas} sagas, {failing} fallan",
            f"{worlds} worlds/min, {sagas} sagas, {failing} failing",
        )

    with progress(say("mundos", "worlds"), as_json=as_json) as tell:
        total = sweep(
            first,
            seeds,
            jobs=jobs,
            wal=wal,
            show=lambda total: tell(total.seeds / seeds, line(total)),
        )
    took_s = wall_clock().timestamp() - began_s
    if as_json:
        emit({"first": first, "took_s": round(took_s, 1), **_as_json(total)})
    else:
        _show(total, took_s, say)
    if not total.ok:
        raise HypothesisFailed(
            say(f"{len(total.failures)} semillas fallan", f"{len(total.failures)} seeds fail")
        )


def _as_json(total: "Sweep") -> dict[str, Any]:
    return {
        "seeds": total.seeds,
        "ok": total.ok,
        "failures": [{"seed": one.seed, "violations": one.violations} for one in total.failures],
        "never": total.never(),
        **total.tally.as_json(),
    }


def _show(total: "Sweep", took_s: float, say: Say) -> None:
    sums, minutes = total.tally.sums, took_s / 60
    last = total.first + total.seeds - 1
    click.echo(
        say(
            f"semillas {total.first} a {last}: {sums['sagas']} sagas, {sums['requests']} peticiones, "
            f"{sums['virtual_s'] / 3600:.1f} h virtuales en {took_s:.0f} s "
            f"({total.seeds / minutes:.0f} mundos/min, {sums['sagas'] / minutes:.0f} sagas/min)",
            f"seeds {total.first} to {last}: {sums['sagas']} sagas, {sums['requests']} requests, "
            f"{sums['virtual_s'] / 3600:.1f} virtual h in {took_s:.0f} s "
            f"({total.seeds / minutes:.0f} worlds/min, {sums['sagas'] / minutes:.0f} sagas/min)",
        )
    )
    faults = ", ".join(f"{name} {n}" for name, n in sorted(total.tally.faults.items()))
    click.echo(say(f"averías que hicieron efecto: {faults}", f"faults that took effect: {faults}"))
    if total.seeds >= _ENOUGH:
        _show_never(total.never(), say)
    for one in total.failures[:_SHOWN]:
        click.secho(f"✗ {one.seed}", fg="red", bold=True)
        for violation in one.violations[:_SHOWN]:
            click.secho(f"    {violation}", fg="red")
        click.echo(f"    taquilla simulate --seed {one.seed} --shrink")
    if total.ok:
        click.secho(
            say("✓ todo cuadra en todos", "✓ everything adds up in all of them"), fg="green"
        )


def _show_never(never: list[str], say: Say) -> None:
    if not never:
        click.echo(say("nada quedó sin ver", "nothing was never seen"))
        return
    click.echo(say(f"no se vio nunca ({len(never)}):", f"never seen ({len(never)}):"))
    for name in never:
        click.echo(f"    {name}")


def _one(
    seed: int,
    about: str | None,
    svg: Path | None,
    chosen: dict[str, bool],
    *,
    as_json: bool,
    say: Say,
) -> None:
    from chaos.simulate.run import run_seed  # noqa: PLC0415 - the services are slow to import
    from chaos.simulate.sweep import quiet  # noqa: PLC0415
    from chaos.simulate.trace import Trace  # noqa: PLC0415

    with quiet():
        result = run_seed(seed, trace=Trace(keep=True), wal=chosen["wal"])
        if chosen["shrink"] and not result.ok:
            result = _shrunk(seed, wal=chosen["wal"], as_json=as_json, say=say)
    if as_json:
        emit(_result_as_json(result))
    else:
        _tell(
            result,
            about,
            timeline=chosen["trace"] or chosen["shrink"] or about is not None,
            say=say,
        )
    if svg is not None:
        _draw(result, about, svg, say)
    if not result.ok:
        raise HypothesisFailed(say("algo no cuadra", "something does not add up"))


def _shrunk(seed: int, *, wal: bool, as_json: bool, say: Say) -> "Result":
    from chaos.simulate.shrink import LIMIT, shrink  # noqa: PLC0415

    def show(runs: int, left: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{runs}/{LIMIT}: {left}   ", nl=False, err=True)

    found = shrink(seed, wal=wal, show=show)
    assert found is not None
    if not as_json:
        before, after = found.before, found.after
        click.echo(
            say(
                f"\n{found.runs} mundos probados: de {len(before.struck)} averías, actos y compradores a "
                f"{len(after.struck)}; de {before.tally.sums['requests']} peticiones a {after.tally.sums['requests']}",
                f"\n{found.runs} worlds tried: from {len(before.struck)} faults, acts and buyers to "
                f"{len(after.struck)}; from {before.tally.sums['requests']} requests to "
                f"{after.tally.sums['requests']}",
            )
        )
    return found.after


def _result_as_json(result: "Result") -> dict[str, Any]:
    assert result.trace is not None
    return {
        "seed": result.scenario.seed,
        "ok": result.ok,
        "violations": result.violations,
        "digest": result.trace.digest(),
        "muted": sorted(result.muted),
        "struck": result.struck,
        **result.tally.as_json(),
    }


def _tell(result: "Result", about: str | None, *, timeline: bool, say: Say) -> None:
    from chaos.simulate.timeline import lines  # noqa: PLC0415

    assert result.trace is not None
    if timeline:
        click.echo(f"{result.scenario}\n")
        for line in lines(_chosen(result, about), say, colour=sys.stdout.isatty()):
            click.echo(line)
    for violation in result.violations:
        click.secho(f"✗ {violation}", fg="red")
    if result.ok:
        click.secho(say("✓ todo cuadra", "✓ everything adds up"), fg="green")


def _draw(result: "Result", about: str | None, svg: Path, say: Say) -> None:
    from chaos.simulate.picture import as_svg  # noqa: PLC0415

    title = say(f"Semilla {result.scenario.seed}", f"Seed {result.scenario.seed}")
    svg.write_text(
        as_svg(_chosen(result, about), say, title=title, verdict=result.violations),
        encoding="utf-8",
    )
    click.echo(say(f"dibujo: {svg}", f"picture: {svg}"))


def _chosen(result: "Result", about: str | None) -> Any:
    """The events to tell: all, or those of one reservation; after shrinking, those of one that fails."""
    from chaos.simulate.timeline import about as concerning  # noqa: PLC0415

    assert result.trace is not None
    events = result.trace.events
    named = _RESERVATION.search(" ".join(result.violations))
    subject = about or (named[0] if named and result.muted else None)
    return events if subject is None else concerning(events, subject)
