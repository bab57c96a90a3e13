"""`chaos run`: an experiment on a running mesh, told while it happens, with an audit at its end."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Final

import click

from chaos.commands.audit import SETTLE_S, data_of, wait_and_audit
from chaos.commands.options import (
    Command,
    HypothesisFailed,
    emit,
    json_option,
    port_option,
    token_option,
    unreachable,
)
from chaos.commands.verdict import not_true, show_report
from chaos.experiment.files import EXPERIMENTS, NoSuchExperiment, find, names, read
from chaos.experiment.journal import Journal, Run, held
from chaos.experiment.model import Activity, BadExperiment, Experiment
from chaos.experiment.tolerance import document
from chaos.mesh import Mesh, MeshUnreachable
from chaos.texts import Say

_ALL: Final = "all"
_SHOWN: Final = 160


def run_command(say: Say) -> click.Command:
    """`taquilla chaos run`."""

    @click.command(
        "run",
        cls=Command,
        say=say,
        help=say(
            "Un experimento: comprueba el estado estable, rompe lo que dice el fichero, lo comprueba otra vez, "
            "lo deja todo como estaba pase lo que pase y audita. NAME es uno de los nuestros (taquilla chaos list "
            "--experiments), «all» o un fichero propio en el formato de Chaos Toolkit. Falla (1) si el estado "
            "estable no se cumple o los libros no cuadran.",
            "An experiment: checks the steady state, breaks what the file says, checks again, puts everything back "
            "whatever happens, and audits. NAME is one of ours (taquilla chaos list --experiments), “all”, or a "
            "file of your own in the Chaos Toolkit's format. Fails (1) if the steady state does not hold or the "
            "books are not true.",
        ),
        examples="  taquilla chaos run crash-inventory\n  taquilla chaos run all --json\n"
        "  taquilla chaos run experimentos/mio.yaml",
    )
    @click.argument("name")
    @port_option(say)
    @token_option(say)
    @json_option(say)
    def run(name: str, port: int, token: str | None, as_json: bool) -> None:
        mesh = Mesh(port, token)
        chosen = _chosen(name, _environment(mesh), say)
        try:
            mesh.call("gateway", "GET", "/healthz")
        except MeshUnreachable as error:
            raise unreachable(say, error) from error
        journals: dict[str, Journal] = {}
        for one, experiment in chosen.items():
            journals[one] = _conclude(
                _live(experiment, say, as_json=as_json), port, say, as_json=as_json
            )
            if journals[one]["status"] == "interrupted":
                break
        if as_json:
            emit(journals if name == _ALL else journals[name])
        _end(journals, say)

    return run


def titles(say: Say) -> dict[str, str]:
    """Our experiments, one line each."""
    found = {name: read(EXPERIMENTS / f"{name}.yaml", {}) for name in names()}
    return {name: spoken(experiment.title, say) for name, experiment in found.items()}


def spoken(text: str, say: Say) -> str:
    """The half of a text `español · English` that the person reads; all of it if it is not made so."""
    es, middle, en = text.partition(" · ")
    return say(es, en) if middle else text


def _environment(mesh: Mesh) -> Mapping[str, str]:
    own = {"TAQUILLA_URL": mesh.url("gateway"), "CHAOS_TOKEN": mesh.token or ""}
    return {**os.environ, **own}  # noqa: TID251 - what the file's configuration may ask for


def _chosen(name: str, environment: Mapping[str, str], say: Say) -> dict[str, Experiment]:
    """What to run: all of it is read and checked before any of it begins."""
    wanted = names() if name == _ALL else [name]
    try:
        return {one: read(find(one), environment) for one in wanted}
    except NoSuchExperiment as error:
        near = ", ".join(error.near or names())
        raise click.BadParameter(
            say(
                f"no hay ningún experimento ni fichero {name!r}. Hay: {near}",
                f"there is no experiment and no file {name!r}. There are: {near}",
            ),
            param_hint="NAME",
        ) from error
    except BadExperiment as error:
        raise click.UsageError(
            say(
                f"Este experimento no se entiende, y nada se ha tocado: {error}",
                f"This experiment is not understood, and nothing was touched: {error}",
            )
        ) from error


def _live(experiment: Experiment, say: Say, *, as_json: bool) -> Journal:
    from chaos.experiment.run import run  # noqa: PLC0415 - httpx is slow to import
    from resilience import Runtime  # noqa: PLC0415

    async def main() -> Journal:
        task = asyncio.current_task()
        if sys.platform != "win32" and task is not None:  # Ctrl-C does the same by itself
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        show = _Silent() if as_json else _Told(say)
        return await run(experiment, show, Runtime.real())

    if not as_json:
        click.secho(spoken(experiment.title, say), bold=True)
        click.echo(spoken(experiment.hypothesis, say))
    return asyncio.run(main())


def _conclude(journal: Journal, port: int, say: Say, *, as_json: bool) -> Journal:
    """The journal with `audit`, the auditor's report: None where its databases are unknown, and when interrupted."""
    data = None if journal["status"] == "interrupted" else data_of(port)
    report = None if data is None else wait_and_audit(data, (), SETTLE_S, say)
    journal["audit"] = None if report is None else report.as_json()
    if as_json:
        return journal
    if report is not None:
        show_report(report, say, brief=True)
        if not report.ok:
            click.secho(not_true(report, say), fg="red")
    colour = "green" if held(journal) else "red"
    click.secho(f"{_sentence(journal, say)}\n", fg=colour, bold=True)
    return journal


def _sentence(journal: Journal, say: Say) -> str:
    before = journal["steady_states"]["before"]
    if held(journal):
        return say(
            "El estado estable se cumple antes y después.",
            "The steady state holds before and after.",
        )
    if journal["status"] == "interrupted":
        return say("Interrumpido; todo quedó apagado.", "Interrupted; everything was rolled back.")
    if not before["steady_state_met"]:
        return say(
            "El estado estable no se cumplía ya antes: no se rompió nada.",
            "The steady state did not hold to begin with: nothing was broken.",
        )
    return say("El estado estable se ha perdido.", "The steady state was lost.")


def _end(journals: Mapping[str, Journal], say: Say) -> None:
    red = [
        name
        for name, journal in journals.items()
        if not held(journal) or (journal["audit"] is not None and not journal["audit"]["ok"])
    ]
    if red:
        names = ", ".join(red)
        raise HypothesisFailed(say(f"no se cumple: {names}", f"does not hold: {names}"))


class _Silent:
    """For programs: the journal says it all."""

    def phase(self, name: str) -> None:
        """Nothing."""

    def done(self, activity: Activity, run: Run) -> None:
        """Nothing."""


class _Told:
    """For people: a heading for each part, a line for each step, with what was expected and what came."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def phase(self, name: str) -> None:
        """A heading."""
        say = self._say
        words = {
            "before": say("Estado estable, antes", "Steady state, before"),
            "method": say("Método", "Method"),
            "after": say("Estado estable, después", "Steady state, after"),
            "rollbacks": say("Vuelta atrás", "Rollback"),
        }
        click.secho(words[name], underline=True)

    def done(self, activity: Activity, run: Run) -> None:
        """A line, and a second one for what was expected and what came."""
        say = self._say
        good = run.get("tolerance_met", run["status"] == "succeeded")
        mark, colour = ("✓", "green") if good else ("✗", "red")
        click.secho(f"  {mark} ", fg=colour, nl=False)
        click.echo(f"{spoken(activity.name, say)}  ({run['duration']:.2f} s)")
        wanted = "" if activity.tolerance is None else activity.tolerance.words
        expected = f"{say('se esperaba', 'expected')} {wanted}; " if wanted else ""
        click.secho(f"      {expected}{say('llegó', 'got')} {_came(run, say)}", dim=good)


def _came(run: Run, say: Say) -> str:
    """An output in a few words: the status, and what the body says of itself."""
    output = run["output"]
    if output is None:
        return f"{say('nada', 'nothing')}: {' '.join(run['exception'])}"
    body = document(output)
    if isinstance(body, dict):
        red = [one["number"] for one in body.get("invariants", ()) if one.get("ok") is False]
        words = [str(body[key]) for key in ("code", "status", "name") if key in body][:1]
        words += [
            f"{key}={json.dumps(body[key])}" for key in ("ok", "rest", "enabled") if key in body
        ]
        return " ".join([str(output["status"]), *words, *red])
    return f"{output['status']} {str(body)[:_SHOWN]}"
