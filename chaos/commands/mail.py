"""`mail list|resend`: what became of the messages to buyers, and the dead letters among them."""

from typing import Any
from urllib.parse import quote, urlencode

import click

from chaos.commands.options import (
    Command,
    Decorator,
    Group,
    HypothesisFailed,
    Unreachable,
    admin_token_option,
    emit,
    json_option,
    port_option,
    together,
    unreachable,
)
from chaos.mesh import Mesh, MeshUnreachable
from chaos.texts import Say

_SERVICE = "notifications"


def mail_group(say: Say) -> click.Group:
    """`taquilla mail`; without a further word it lists."""

    @click.group(
        "mail",
        cls=Group,
        say=say,
        invoke_without_command=True,
        help=say(
            "El correo a los compradores: qué salió y qué no. Un aviso muerto (dirección rechazada) se puede reenviar.",
            "The mail to buyers: what is out and what is not. A dead letter (address refused) can be sent again.",
        ),
        examples="  taquilla mail\n"
        "  taquilla mail list --dead\n"
        "  taquilla mail resend r4f0c9a6e.confirmed --to ana@example.com",
    )
    @_list_options(say)
    @port_option(say)
    @admin_token_option(say)
    @json_option(say)
    def mail(port: int, token: str | None, as_json: bool, **chosen: Any) -> None:
        ctx = click.get_current_context()
        if ctx.invoked_subcommand is None:
            _list(Mesh(port, token), say, as_json=as_json, **chosen)
            return
        # What was said before the word holds for it too.
        common = {"port": port, "token": token, "as_json": as_json}
        ctx.default_map = {"list": {**common, **chosen}, "resend": common}

    mail.add_command(_list_command(say))
    mail.add_command(_resend_command(say))
    return mail


def _list_options(say: Say) -> Decorator:
    return together(
        click.option("--dead", is_flag=True, help=say("Solo los muertos.", "Dead letters only.")),
        click.option(
            "--limit",
            type=click.IntRange(1, 200),
            default=20,
            show_default=True,
            help=say("Cuántos, los últimos primero.", "How many, newest first."),
        ),
    )


def _list_command(say: Say) -> click.Command:
    @click.command(
        "list",
        cls=Command,
        say=say,
        help=say("Los últimos avisos y su estado.", "The newest messages and their state."),
    )
    @_list_options(say)
    @port_option(say)
    @admin_token_option(say)
    @json_option(say)
    def list_messages(port: int, token: str | None, as_json: bool, **chosen: Any) -> None:
        _list(Mesh(port, token), say, as_json=as_json, **chosen)

    return list_messages


def _list(mesh: Mesh, say: Say, *, as_json: bool, dead: bool, limit: int) -> None:
    wanted = {"limit": limit, **({"state": "dead"} if dead else {})}
    answer = _ask(mesh, "GET", f"/messages?{urlencode(wanted)}", None, say)
    if as_json:
        emit(answer)
        return
    for message in answer["messages"]:
        click.echo(_line(message, say))
    if not answer["messages"]:
        click.echo(
            say("ningún aviso muerto", "no dead letters") if dead else say("ningún aviso", "none")
        )


def _line(message: dict[str, Any], say: Say) -> str:
    words = {
        "accepted": (say("pendiente", "waiting"), "yellow"),
        "inflight": (say("enviando", "sending"), "yellow"),
        "delivered": (say("entregado", "delivered"), "green"),
        "dead": (say("MUERTO", "DEAD"), "red"),
    }
    word, colour = words[message["state"]]
    again = message["redelivered"]
    more = [
        say(f"intentos {message['attempts']}", f"attempts {message['attempts']}"),
        *([say(f"quizá repetido {again}", f"perhaps repeated {again}")] if again else []),
        *([str(message["error"])] if message["error"] else []),
    ]
    state = click.style(f"{word:<10}", fg=colour)
    return f"{state} {message['notification_id']:<44} {message['to']:<28} {'  '.join(more)}"


def _resend_command(say: Say) -> click.Command:
    @click.command(
        "resend",
        cls=Command,
        say=say,
        help=say(
            "Reenvía un aviso muerto, a otra dirección con --to. Falla (1) si vuelve a ser rechazado. "
            "Un aviso que no está muerto no se toca.",
            "Sends a dead letter again, to another address with --to. Fails (1) if it is refused again. "
            "A message that is not dead is left alone.",
        ),
        examples="  taquilla mail resend r4f0c9a6e.confirmed --to ana@example.com",
    )
    @click.argument("notification_id", metavar="ID")
    @click.option(
        "--to", metavar="ADDR", help=say("La dirección corregida.", "The corrected address.")
    )
    @port_option(say)
    @admin_token_option(say)
    @json_option(say)
    def resend(
        notification_id: str, to: str | None, port: int, token: str | None, as_json: bool
    ) -> None:
        path = f"/messages/{quote(notification_id, safe='')}/resend"
        answer = _ask(Mesh(port, token), "POST", path, {} if to is None else {"to": to}, say)
        if as_json:
            emit(answer)
        else:
            if not answer["resent"]:
                click.echo(
                    say("No estaba muerto: no se tocó.", "It was not dead: it was left alone.")
                )
            click.echo(_line(answer["message"], say))
        if answer["message"]["state"] == "dead":
            raise HypothesisFailed(say("volvió a ser rechazado", "it was refused again"))

    return resend


def _ask(mesh: Mesh, method: str, path: str, body: object, say: Say) -> dict[str, Any]:
    try:
        status, content = mesh.call(_SERVICE, method, path, body, lang=say.lang)
    except MeshUnreachable as error:
        raise unreachable(say, error) from error
    found = content if isinstance(content, dict) else {}
    if status == 200:
        return found
    if status == 404:
        raise click.BadParameter(
            say("no existe ese aviso", "there is no such message"), param_hint="ID"
        )
    refusal = f"{_SERVICE}: {status} {found.get('code', '')}: {found.get('detail', '')}"
    raise click.UsageError(refusal) if status < 500 else Unreachable(refusal)
