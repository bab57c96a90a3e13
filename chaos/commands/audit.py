"""`audit`: are the books true? Also how `load` and `race` keep their journal and end with an audit."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from chaos import journal, state
from chaos.audit import BooksMissing, Report, audit, settle
from chaos.commands.options import (
    DEFAULT_DATA,
    Command,
    Decorator,
    HypothesisFailed,
    Unreachable,
    data_option,
    emit,
    json_option,
    port_option,
    together,
)
from chaos.commands.verdict import Show, not_true, show_report, watching
from chaos.texts import Say

SETTLE_S: Final = 30.0
"""Longest time that the distance to the invariants may stand still, seconds."""

_JOURNAL_KIND: Final = click.Path(dir_okay=False, path_type=Path)


def audit_command(say: Say) -> click.Command:
    """`taquilla audit`."""

    @click.command(
        "audit",
        cls=Command,
        say=say,
        help=say(
            "El auditor: lee las cinco bases de datos y los diarios de los compradores, sin usar "
            "código de los servicios, y dice si la promesa se cumplió. Antes espera a que no quede "
            "nada abierto. Falla (1) si algo no cuadra o si deja de acercarse.",
            "The auditor: reads the five databases and the buyers' journals, with no code of the "
            "services, and says whether the promise was kept. First it waits until nothing is "
            "open. Fails (1) if something is wrong or if it stops coming closer.",
        ),
        examples="  taquilla audit\n  taquilla audit --watch\n  taquilla audit --data "
        "var/otra --journal compras.jsonl --json",
    )
    @data_option(say)
    @port_option(say)
    @click.option(
        "--journal",
        "journals",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        multiple=True,
        metavar="FILE",
        help=say(
            "Diario de compradores, repetible; si falta, todos los de DATA/journal.",
            "A journal of buyers, repeatable; all those of DATA/journal when left out.",
        ),
    )
    @_settle_option(say)
    @click.option(
        "--watch",
        is_flag=True,
        help=say(
            "Muestra cómo se encoge la distancia a cada invariante.",
            "Shows the distance to each invariant shrink.",
        ),
    )
    @json_option(say)
    def audit_(
        data: Path | None,
        port: int,
        journals: tuple[Path, ...],
        settle_s: float,
        watch: bool,
        as_json: bool,
    ) -> None:
        place = data_of(port, data) or DEFAULT_DATA
        chosen = journals or tuple(journal.found_in(place))
        with watching(say, watch and not as_json) as show:
            report = wait_and_audit(place, chosen, settle_s, say, show)
        if as_json:
            emit(report.as_json())
        else:
            show_report(report, say)
        if not report.ok:
            raise HypothesisFailed(not_true(report, say))

    return audit_


def data_of(port: int, data: Path | None = None) -> Path | None:
    """The data folder that a person means: the one named, or that of the mesh on `port`; None if nobody knows."""
    if data is not None:
        return data
    found = state.find(port, None, DEFAULT_DATA)
    return None if found is None else Path(found["data"])


def wait_and_audit(
    data: Path, journals: Sequence[Path], settle_s: float, say: Say, show: Show = lambda _look: None
) -> Report:
    """Wait for rest, then judge; `settle_s` is the longest stall.

    Raises:
        Unreachable: There are no databases.
        click.UsageError: A journal cannot be read.
    """
    from resilience import Runtime  # noqa: PLC0415 - slow to import

    def now() -> float:
        return state.wall_clock().timestamp()

    real = Runtime.real()
    try:
        look = asyncio.run(
            settle(data, stall_s=settle_s, now=now, clock=real.clock, sleep=real.sleep, show=show)
        )
        report = audit(data, now=now(), journals=journals)
    except BooksMissing as error:
        raise Unreachable(
            say(f"No hay libros que auditar: {error}", f"There are no books to audit: {error}")
        ) from error
    except journal.NotAJournal as error:
        raise click.UsageError(
            say(f"No es un diario: {error}", f"Not a journal: {error}")
        ) from error
    return replace(report, settled=look.distance == 0, waited_s=look.waited_s)


def _settle_option(say: Say) -> Decorator:
    return click.option(
        "--settle",
        "settle_s",
        type=click.FloatRange(0, 3600),
        default=SETTLE_S,
        show_default=True,
        metavar="S",
        help=say(
            "Segundos que la distancia puede quedarse quieta; 0 juzga ya.",
            "Seconds that the distance may stand still; 0 judges now.",
        ),
    )


def journal_options(say: Say) -> Decorator:
    """`--journal` and `--no-audit`, of whatever buys."""
    return together(
        click.option(
            "--journal",
            "journal_path",
            type=_JOURNAL_KIND,
            metavar="FILE",
            help=say(
                "Dónde escribir el diario (DATA/journal/<hora>.jsonl si no se dice).",
                "Where to write the journal (default DATA/journal/<time>.jsonl).",
            ),
        ),
        click.option(
            "--no-audit",
            "audits",
            flag_value=False,
            default=True,
            help=say("Sin auditoría al final.", "No audit at the end."),
        ),
    )


@contextmanager
def journal_of(by: str, path: Path | None, data: Path | None) -> Iterator[journal.Journal | None]:
    """The journal of a run: at `path`, else in the data folder; None where neither is known."""
    from resilience import Runtime  # noqa: PLC0415 - slow to import

    began_at = state.wall_clock().timestamp()
    where = path if path is not None else None if data is None else journal.new_path(data, began_at)
    if where is None:
        yield None
        return
    opening = journal.Journal.open(where, clock=Runtime.real().clock, began_at=began_at, by=by)
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(opening)
        except OSError as error:
            raise click.BadParameter(str(error), param_hint="--journal") from error
        yield opened


def conclude(
    data: Path | None, written: journal.Journal | None, *, audits: bool, say: Say
) -> Report | None:
    """The audit at the end of a run that kept a journal; None where there is nothing to audit or nobody wants to."""
    if not audits or data is None or written is None:
        return None
    return wait_and_audit(data, [written.path], SETTLE_S, say)
