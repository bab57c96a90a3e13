"""`chaos list|on|off|reset|run`: the fault switches of a running mesh, and experiments with them."""

from typing import Any

import click

from chaos.commands.experiment import run_command, titles
from chaos.commands.options import (
    Command,
    Group,
    Unreachable,
    emit,
    json_option,
    port_option,
    token_option,
    unreachable,
)
from chaos.faults.scenarios import SCENARIOS
from chaos.mesh import Mesh, MeshUnreachable
from chaos.texts import Say


def chaos_group(say: Say) -> click.Group:
    """`taquilla chaos`."""
    switches = [one for one in SCENARIOS if one.fault is not None]
    lines = "\n".join(f"  {one.name:<19} {say(one.title_es, one.title_en)}" for one in switches)
    group = Group(
        "chaos",
        say=say,
        help=say(
            "Enciende y apaga fallos, y hace experimentos. Un fallo se nombra por su escenario o como "
            "servicio/fallo.",
            "Switches faults on and off, and runs experiments. A fault is named by its scenario or as "
            "service/fault.",
        )
        + f"\n\n\b\n{lines}",
        examples="  taquilla chaos on slow-payments --seconds 20 --for 300\n"
        "  taquilla chaos on inventory/lost_reply --probability 0.2\n"
        "  taquilla chaos off slow-payments\n"
        "  taquilla chaos reset\n"
        "  taquilla chaos run slow-payments",
    )
    for command in (_list_command, _on_command, _off_command, _reset_command, run_command):
        group.add_command(command(say))
    return group


def _list_command(say: Say) -> click.Command:
    @click.command(
        "list",
        cls=Command,
        say=say,
        help=say(
            "Los fallos de cada servicio y su estado.",
            "The faults of each service and their state.",
        ),
    )
    @click.option(
        "--active", is_flag=True, help=say("Solo los encendidos.", "Only those that are on.")
    )
    @click.option(
        "--experiments",
        is_flag=True,
        help=say("En su lugar, los experimentos.", "The experiments instead."),
    )
    @port_option(say)
    @token_option(say)
    @json_option(say)
    def list_faults(
        active: bool, experiments: bool, port: int, token: str | None, as_json: bool
    ) -> None:
        if experiments:
            _list_experiments(say, as_json=as_json)
            return
        mesh = Mesh(port, token)
        found = {service: _ask(mesh, service, "GET", "/chaos", None, say) for service in mesh.ports}
        if as_json:
            emit({service: answer["faults"] for service, answer in found.items()})
            return
        for service, answer in found.items():
            for fault in answer["faults"]:
                if fault["enabled"] or not active:
                    click.echo(_line(service, fault, say))

    return list_faults


def _list_experiments(say: Say, *, as_json: bool) -> None:
    found = titles(say)
    if as_json:
        emit(found)
        return
    for name, title in found.items():
        click.echo(f"{name:<20} {title}")


def _line(service: str, fault: dict[str, Any], say: Say) -> str:
    name = f"{service}/{fault['name']}"
    if not fault["enabled"]:
        summary = say(fault["summary_es"], fault["summary_en"])
        return f"{name:<26} {say('apagado', 'off'):<8} {summary}"
    details = [
        say("ENCENDIDO", "ON"),
        say(f"quedan {fault['left_s']:.0f} s", f"{fault['left_s']:.0f} s left"),
    ]
    if fault["seconds"] is not None:
        details.append(f"seconds={fault['seconds']:g}")
    if fault["probability"] != 1:
        details.append(f"probability={fault['probability']:g}")
    if fault["route"] != "*":
        details.append(f"route={fault['route']}")
    if fault.get("point"):
        details.append(f"point={fault['point']}")
    return click.style(f"{name:<26} {'  '.join(details)}", fg="red", bold=True)


def _on_command(say: Say) -> click.Command:
    @click.command(
        "on",
        cls=Command,
        say=say,
        help=say(
            "Enciende un fallo; se apaga solo al cabo de --for segundos.",
            "Switches a fault on; it goes off by itself after --for seconds.",
        ),
        examples="  taquilla chaos on crash-inventory\n  taquilla chaos on db-flap --probability "
        "0.8 --for 60",
    )
    @click.argument("fault")
    @click.option(
        "--seconds", type=float, help=say("Duración del fallo, s.", "Length of the fault, s.")
    )
    @click.option(
        "--probability",
        type=click.FloatRange(0, 1),
        help=say("Parte de las peticiones que lo sufren.", "Share of requests that suffer it."),
    )
    @click.option(
        "--for",
        "ttl_s",
        type=click.FloatRange(0, 3600, min_open=True),
        default=300,
        show_default=True,
        help=say("Segundos hasta que se apaga solo.", "Seconds until it goes off by itself."),
    )
    @click.option("--route", help=say('Prefijo de ruta; "*" es todo.', 'Path prefix; "*" is all.'))
    @click.option(
        "--point",
        help=say("Dónde muere con crash_at (GET /chaos).", "Where crash_at strikes (GET /chaos)."),
    )
    @port_option(say)
    @token_option(say)
    @json_option(say)
    def on(
        fault: str, port: int, token: str | None, as_json: bool, seconds: float | None, **more: Any
    ) -> None:
        service, name = _resolve(fault, say)
        body = {key: value for key, value in more.items() if value is not None}
        body |= {"enabled": True} if seconds is None else {"seconds": seconds}
        _switch(Mesh(port, token), service, name, body, say, as_json=as_json)

    return on


def _off_command(say: Say) -> click.Command:
    @click.command(
        "off", cls=Command, say=say, help=say("Apaga un fallo.", "Switches a fault off.")
    )
    @click.argument("fault")
    @port_option(say)
    @token_option(say)
    @json_option(say)
    def off(fault: str, port: int, token: str | None, as_json: bool) -> None:
        service, name = _resolve(fault, say)
        _switch(Mesh(port, token), service, name, {"enabled": False}, say, as_json=as_json)

    return off


def _reset_command(say: Say) -> click.Command:
    @click.command(
        "reset",
        cls=Command,
        say=say,
        help=say("Apaga todos los fallos.", "Switches every fault off."),
    )
    @port_option(say)
    @token_option(say)
    @json_option(say)
    def reset(port: int, token: str | None, as_json: bool) -> None:
        mesh = Mesh(port, token)
        done: dict[str, bool] = {}
        for service in mesh.ports:
            try:
                mesh_answer = mesh.call(service, "DELETE", "/chaos", lang=say.lang)
            except MeshUnreachable:  # a dead process has no faults on: the others matter now
                done[service] = False
            else:
                _check(mesh_answer, say)
                done[service] = True
        if not any(done.values()):
            raise unreachable(say, MeshUnreachable(next(iter(done)), port))
        if as_json:
            emit({"reset": done})
            return
        for service, answered in done.items():
            silent = say("no responde", "does not answer")
            click.echo(f"{service:<14} {say('sin fallos', 'no faults') if answered else silent}")

    return reset


def _resolve(fault: str, say: Say) -> tuple[str, str]:
    for one in SCENARIOS:
        if one.name == fault and one.service is not None and one.fault is not None:
            return one.service, one.fault
    service, slash, name = fault.partition("/")
    services = Mesh(0).ports
    if slash and name.replace("_", "").isalnum() and service in services:
        return service, name
    known = ", ".join(one.name for one in SCENARIOS if one.fault is not None)
    raise click.BadParameter(
        say(
            f"{fault!r} no existe. Escenarios: {known}; o servicio/fallo (taquilla chaos list).",
            f"{fault!r} does not exist. Scenarios: {known}; or service/fault (taquilla chaos "
            "list).",
        ),
        param_hint="FAULT",
    )


def _switch(
    mesh: Mesh, service: str, name: str, body: dict[str, Any], say: Say, *, as_json: bool
) -> None:
    answer = _ask(mesh, service, "POST", f"/chaos/{name}", body, say)
    if as_json:
        emit({"service": service, **answer})
    else:
        click.echo(_line(service, answer, say))


def _ask(
    mesh: Mesh, service: str, method: str, path: str, body: object, say: Say
) -> dict[str, Any]:
    try:
        return _check(mesh.call(service, method, path, body, lang=say.lang), say)
    except MeshUnreachable as error:
        raise unreachable(say, error) from error


def _check(answer: tuple[int, Any], say: Say) -> dict[str, Any]:
    status, content = answer
    found = content if isinstance(content, dict) else {}
    if status == 200:
        return found
    if status == 404 and found.get("code") != "fault_not_found":
        raise Unreachable(
            say(
                "Los interruptores no existen: la malla está en modo tienda.",
                "The switches do not exist: the mesh is in shop mode.",
            )
        )
    refusal = f"{status} {found.get('code', '')}: {found.get('detail', '')}"
    raise click.UsageError(refusal)
