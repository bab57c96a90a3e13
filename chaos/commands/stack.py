"""`up`, `ps`, `kill`: the mesh as processes of this machine."""

import asyncio
import contextlib
import os
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from chaos import state
from chaos.commands.options import (
    DEFAULT_DATA,
    Command,
    HypothesisFailed,
    Unreachable,
    data_option,
    emit,
    json_option,
    port_option,
)
from chaos.ports import Tls, answers_ok
from chaos.stack import NotReady, PortTaken, Stack
from chaos.texts import Say
from chaos.topology import TopologyError

_COLOURS: Final = (36, 33, 32, 35, 34, 31)
_SIGNALS: Final = ("KILL", "TERM", "INT", "STOP", "CONT")


def up_command(say: Say) -> click.Command:
    """`taquilla up`."""

    @click.command(
        "up",
        cls=Command,
        say=say,
        help=say(
            "Arranca los cinco servicios y los mantiene vivos hasta Ctrl-C. Los cinco puertos "
            "son B … B+4; "
            "lo que se cae vuelve solo.",
            "Starts the five services and keeps them alive until Ctrl-C. The five ports are B … "
            "B+4; "
            "whatever crashes comes back by itself.",
        ),
        examples="  taquilla up\n  taquilla up --port 21000 --data var/otra\n  taquilla up "
        "--shop --quiet",
    )
    @port_option(say)
    @data_option(say, DEFAULT_DATA)
    @click.option(
        "--shop",
        is_flag=True,
        help=say(
            "Modo tienda: sin fallos ni rutas de laboratorio.",
            "Shop mode: no faults, no lab routes.",
        ),
    )
    @click.option(
        "--quiet",
        is_flag=True,
        help=say("Registros en DATA/logs en vez de aquí.", "Logs go to DATA/logs instead of here."),
    )
    @json_option(say)
    def up(port: int, data: Path, shop: bool, quiet: bool, as_json: bool) -> None:
        tell = _silent if as_json or quiet else _printer()
        stack = Stack(
            base_port=port,
            data=data,
            shop=shop,
            quiet=quiet or as_json,
            environment=None if shop or quiet or as_json else _coloured(),
            tell=tell,
            say=say,
        )
        try:
            asyncio.run(_serve(stack, say, as_json))
        except (PortTaken, NotReady, TopologyError, state.DataDirTaken) as error:
            raise _explain(error, say) from error

    return up


async def _serve(stack: Stack, say: Say, as_json: bool) -> None:
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    assert me is not None
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            try:
                loop.add_signal_handler(getattr(signal, name), me.cancel)
            except NotImplementedError:  # Windows
                signal.signal(
                    getattr(signal, name), lambda *_: loop.call_soon_threadsafe(me.cancel)
                )
    with contextlib.suppress(asyncio.CancelledError):  # a person's wish, not a failure
        async with stack:
            _announce(stack, say, as_json)
            await stack.ended()


def _announce(stack: Stack, say: Say, as_json: bool) -> None:
    url = stack.url(stack.services[0])
    if as_json:
        urls = {name: stack.url(name) for name in stack.services}
        emit({"ready_after_s": round(stack.ready_after_s, 2), "url": url, "services": urls})
        return
    ready = say(
        f"listo en {stack.ready_after_s:.1f} s -> {url}",
        f"ready in {stack.ready_after_s:.1f} s -> {url}",
    )
    click.secho(ready, fg="green", bold=True)
    ports = " · ".join(f"{name} {stack.url(name).rpartition(':')[2]}" for name in stack.services)
    at = "" if stack.base_port == 5000 else f" --port {stack.base_port}"
    click.echo(
        say(
            f"escuchan {ports}; mira {url} y {url}/docs (API); prueba `python3 dev.py run load{at}` en "
            f"otra terminal; datos en {stack.data}; Ctrl-C para terminar",
            f"listening: {ports}; look at {url} and {url}/docs (API); try `python3 dev.py run load{at}` in "
            f"another terminal; data in {stack.data}; Ctrl-C to end",
        )
    )


def _coloured() -> dict[str, str] | None:
    """Logs in colour on a terminal, which the services cannot see, unless the person has said how they want them."""
    if sys.stdout.isatty() and not os.environ.get("LOG_FORMAT"):  # noqa: TID251 - what the children inherit
        return {"LOG_FORMAT": "colour"}
    return None


def _silent(_name: str, _line: str) -> None:
    return


def _printer() -> Any:
    colours: dict[str, int] = {}

    def tell(name: str, line: str) -> None:
        colour = colours.setdefault(name, _COLOURS[len(colours) % len(_COLOURS)])
        # click drops the colour by itself where the output is not a terminal.
        click.echo(f"\x1b[{colour}m{name:>13} |\x1b[0m {line}")

    return tell


def _explain(error: Exception, say: Say) -> click.ClickException:
    match error:
        case PortTaken(port=port, holder=holder):
            who = f" ({holder})" if holder else ""
            return click.UsageError(
                say(
                    f"El puerto {port} está en uso{who}. Elija otro: taquilla up --port 21000 "
                    "--data var/otra",
                    f"Port {port} is in use{who}. Choose another: taquilla up --port 21000 --data "
                    "var/other",
                )
            )
        case state.DataDirTaken(data=data, pid=pid):
            return click.UsageError(
                say(
                    f"La carpeta {data} ya la usa otro runner (pid {pid}). Use --data con otra "
                    "carpeta.",
                    f"The folder {data} is in use by another runner (pid {pid}). Use --data with "
                    "another.",
                )
            )
        case NotReady(waiting_for=late, tails=tails):
            words = [say(f"No arrancó: {', '.join(late)}", f"Did not start: {', '.join(late)}")]
            # Started again and again, a process says the same as often.
            said = {name: dict.fromkeys(lines) for name, lines in tails.items()}
            words += [f"  {name} | {line}" for name, lines in said.items() for line in lines]
            return Unreachable("\n".join(words))
    return click.UsageError(str(error))


def ps_command(say: Say) -> click.Command:
    """`taquilla ps`."""

    @click.command(
        "ps",
        cls=Command,
        say=say,
        help=say(
            "Qué procesos corren y si responden.", "Which processes run and whether they answer."
        ),
        examples="  taquilla ps\n  taquilla ps --port 21000 --json",
    )
    @port_option(say)
    @data_option(say)
    @json_option(say)
    def ps(port: int, data: Path | None, as_json: bool) -> None:
        record = _record(port, data, say)
        states = asyncio.run(_states(record))
        services = record["services"]
        if as_json:
            emit(
                {
                    **record,
                    "services": {
                        name: {**services[name], "state": states[name]} for name in services
                    },
                }
            )
            return
        up_s = (state.wall_clock() - datetime.fromisoformat(record["started_at"])).total_seconds()
        click.echo(
            say(
                f"runner pid {record['runner_pid']}   desde hace {up_s:.0f} s   datos "
                f"{record['data']}",
                f"runner pid {record['runner_pid']}   up for {up_s:.0f} s   data {record['data']}",
            )
        )
        words = {
            "ready": say("listo", "ready"),
            "alive": say("vivo, no listo", "alive, not ready"),
            "silent": say("no responde", "no answer"),
        }
        for name, one in services.items():
            click.echo(
                f"{name:<14} {one['port']:>5}  pid {one['pid'] or '-':<8} {words[states[name]]:<17}"
                + say(f"reinicios {one['restarts']}", f"restarts {one['restarts']}")
            )

    return ps


def kill_command(say: Say) -> click.Command:
    """`taquilla kill`."""

    @click.command(
        "kill",
        cls=Command,
        say=say,
        help=say(
            "Mata de verdad un proceso (kill -9). El runner lo vuelve a arrancar. STOP lo "
            "congela, CONT lo "
            "descongela.",
            "Really kills a process (kill -9). The runner brings it back. STOP freezes it, CONT "
            "thaws it.",
        ),
        examples="  taquilla kill inventory\n  taquilla kill payments --signal STOP",
    )
    @click.argument("service")
    @click.option(
        "--signal",
        "name",
        type=click.Choice(_SIGNALS),
        default="KILL",
        show_default=True,
        help=say("Señal que se envía.", "Signal to send."),
    )
    @port_option(say)
    @data_option(say)
    @json_option(say)
    def kill(service: str, name: str, port: int, data: Path | None, as_json: bool) -> None:
        record = _record(port, data, say)
        if service not in record["services"]:
            known = ", ".join(record["services"])
            raise click.BadParameter(
                say(f"servicios: {known}", f"services: {known}"), param_hint="SERVICE"
            )
        pid = record["services"][service]["pid"]
        try:
            os.kill(pid or 0 or _no_process(service, say), getattr(signal, f"SIG{name}"))
        except ProcessLookupError:
            raise _gone(service, say) from None
        if as_json:
            emit({"service": service, "pid": pid, "signal": f"SIG{name}"})
            return
        click.echo(f"{service} (pid {pid}) <- SIG{name}")

    return kill


def _no_process(service: str, say: Say) -> int:
    raise _gone(service, say)


def _gone(service: str, say: Say) -> HypothesisFailed:
    return HypothesisFailed(
        say(
            f"{service} no tiene proceso en este momento",
            f"{service} has no process at this moment",
        )
    )


def _record(port: int, data: Path | None, say: Say) -> dict[str, Any]:
    record = state.find(port, data, DEFAULT_DATA)
    if record is None:
        raise Unreachable(
            say(
                "No hay ninguna malla arrancada con taquilla up ahí (--port, --data).",
                "No mesh started by taquilla up is there (--port, --data).",
            )
        )
    return record


async def _states(record: dict[str, Any]) -> dict[str, str]:
    async def one(name: str, service: dict[str, Any]) -> str:
        port, folder = service["port"], service.get("tls_dir")
        tls = None if folder is None else Tls(Path(folder), name)
        if await answers_ok(port, "/readyz", tls=tls):
            return "ready"
        return "alive" if await answers_ok(port, "/healthz", tls=tls) else "silent"

    services = record["services"]
    found = await asyncio.gather(*(one(name, service) for name, service in services.items()))
    return dict(zip(services, found, strict=True))
