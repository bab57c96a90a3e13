"""What every command shares: language, the mesh it means, JSON, exit codes, help in words.

Exit codes: 0 fine, 1 a hypothesis failed, 2 wrong usage, 3 nothing answers.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from chaos.mesh import MeshUnreachable
from chaos.ports import LOOPBACK
from chaos.texts import Say

DEFAULT_PORT: Final = 5000
DEFAULT_DATA: Final = Path("var")
_WORDS: Final = {"Options": "Opciones", "Commands": "Órdenes", "Usage: ": "Uso: "}

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class HypothesisFailed(click.ClickException):
    """The command ran and what it checks does not hold."""

    exit_code = 1


class Unreachable(click.ClickException):
    """Nothing answers where the mesh should be."""

    exit_code = 3


class _SpanishFormatter(click.HelpFormatter):
    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, args, prefix or _WORDS["Usage: "])

    def write_heading(self, heading: str) -> None:
        super().write_heading(_WORDS.get(heading, heading))


class _SpanishContext(click.Context):
    formatter_class = _SpanishFormatter


class Command(click.Command):
    """A command whose help speaks the person's language.

    Args:
        say: That language.
        examples: Lines to copy, shown under the help.
    """

    def __init__(self, name: str | None, *, say: Say, examples: str = "", **kwargs: Any) -> None:
        super().__init__(name, epilog=_examples(say, examples), **kwargs)
        _localize(self, say)


class Group(click.Group):
    """A group of commands, likewise; lists them in the order they were added.

    Args:
        say: The person's language.
        examples: Lines to copy, shown under the help.
    """

    def __init__(self, name: str | None, *, say: Say, examples: str = "", **kwargs: Any) -> None:
        super().__init__(name, epilog=_examples(say, examples), **kwargs)
        _localize(self, say)

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Names, in order of use rather than of the alphabet."""
        return list(self.commands)


def _examples(say: Say, lines: str) -> str | None:
    return f"\b\n{say('Ejemplos:', 'Examples:')}\n{lines}" if lines else None


def _localize(command: click.Command, say: Say) -> None:
    if say.lang == "es":
        command.context_class = _SpanishContext
    command.add_help_option = False
    command.params += [
        click.Option(
            ["--lang"],
            type=click.Choice(["es", "en"]),
            envvar="TAQUILLA_LANG",
            expose_value=False,
            help=say("Idioma (o TAQUILLA_LANG).", "Language (or TAQUILLA_LANG)."),
        ),
        click.Option(
            ["--help"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_help,
            help=say("Muestra esta ayuda.", "Shows this help."),
        ),
    ]


def _show_help(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(ctx.get_help())
        ctx.exit()


def together(*decorators: Decorator) -> Decorator:
    """Several options as one decorator, in the order in which help shows them."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def event_option(say: Say) -> Decorator:
    """`--event`: what the crowd wants to see."""
    text = say("Evento.", "Event.")
    return click.option(
        "--event", "event_id", default="concert-01", show_default=True, metavar="ID", help=text
    )


def port_option(say: Say) -> Decorator:
    """`--port`: the mesh, by its first port."""
    text = say("Primer puerto de la malla (o BASE_PORT).", "First port of the mesh (or BASE_PORT).")
    return click.option(
        "--port",
        type=click.IntRange(1, 65_000),
        default=DEFAULT_PORT,
        envvar="BASE_PORT",
        show_default=True,
        metavar="B",
        help=text,
    )


def data_option(say: Say, default: Path | None = None) -> Decorator:
    """`--data`: the data folder."""
    text = say("Carpeta de las bases de datos.", "Folder of the databases.")
    kind = click.Path(file_okay=False, path_type=Path)
    return click.option(
        "--data", type=kind, default=default, show_default=True, metavar="DIR", help=text
    )


def token_option(say: Say) -> Decorator:
    """`--token`: for switches that demand one."""
    text = say(
        "Clave de los interruptores (o CHAOS_TOKEN).", "Token of the switches (or CHAOS_TOKEN)."
    )
    return click.option("--token", envvar="CHAOS_TOKEN", metavar="TOKEN", help=text)


def admin_token_option(say: Say) -> Decorator:
    """`--token`: for what is the operator's; a shop demands it."""
    text = say(
        "Clave de quien opera la tienda (o ADMIN_TOKEN).", "The operator's token (or ADMIN_TOKEN)."
    )
    return click.option("--token", envvar="ADMIN_TOKEN", metavar="TOKEN", help=text)


def json_option(say: Say) -> Decorator:
    """`--json`: one JSON document instead of words."""
    text = say("Un documento JSON en vez de texto.", "One JSON document instead of words.")
    return click.option("--json", "as_json", is_flag=True, help=text)


def emit(document: object) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def unreachable(say: Say, error: MeshUnreachable) -> Unreachable:
    """The words for a mesh that does not answer."""
    where = f"{LOOPBACK}:{error.port}"
    return Unreachable(
        say(
            f"{error.service} no responde en {where}. ¿Está arrancada la malla? (taquilla up, "
            "--port)",
            f"{error.service} does not answer on {where}. Is the mesh up? (taquilla up, --port)",
        )
    )
