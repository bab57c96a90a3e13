"""`credentials`: the tokens by which the services of a shop know each other."""

from datetime import timedelta
from pathlib import Path

import click

from chaos import credentials, topology
from chaos.commands.options import Command, emit, json_option
from chaos.state import wall_clock
from chaos.texts import Say

_OVERLAP_S = 600.0


def credentials_command(say: Say) -> click.Command:
    """`taquilla credentials`."""

    @click.command(
        "credentials",
        cls=Command,
        say=say,
        help=say(
            "Crea en DIR las credenciales de los cinco servicios para el modo tienda: una carpeta por servicio, que "
            "solo ese servicio debe ver. Con --rotate las cambia sin parar nada: los tokens viejos valen --overlap "
            "segundos más.",
            "Makes in DIR the credentials of the five services for shop mode: one folder per service, which that "
            "service alone should see. With --rotate it changes them while everything runs: old tokens stay valid for "
            "--overlap more seconds.",
        ),
        examples="  taquilla credentials secretos\n  taquilla credentials secretos --rotate --days 90",
    )
    @click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
    @click.option(
        "--rotate", is_flag=True, help=say("Tokens nuevos para todos.", "New tokens for everybody.")
    )
    @click.option(
        "--overlap",
        "overlap_s",
        type=click.FloatRange(2, 86_400),
        default=_OVERLAP_S,
        show_default=True,
        help=say("Segundos que valen los viejos.", "Seconds that old ones stay valid."),
    )
    @click.option(
        "--days",
        type=click.IntRange(1, 3650),
        default=None,
        help=say(
            "Días hasta que caducan los nuevos; sin ella, nunca.",
            "Days until the new ones expire; never without it.",
        ),
    )
    @json_option(say)
    def command(
        folder: Path, rotate: bool, overlap_s: float, days: int | None, as_json: bool
    ) -> None:
        services = tuple(topology.read((topology.COMPOSE,), {}).services)
        now = wall_clock()
        not_after = None if days is None else now + timedelta(days=days)
        try:
            if rotate:
                made = credentials.rotate(
                    folder, services, now, overlap_s=overlap_s, not_after=not_after
                )
            else:
                made = credentials.make(folder, services, not_after=not_after)
        except (credentials.CredentialsThere, credentials.CredentialsMissing) as error:
            raise _explain(error, say) from error
        if as_json:
            until = None if not_after is None else not_after.isoformat()
            emit({"files": [str(path) for path in made], "not_after": until})
            return
        for path in made:
            click.echo(path)

    return command


def _explain(
    error: credentials.CredentialsThere | credentials.CredentialsMissing, say: Say
) -> click.ClickException:
    if isinstance(error, credentials.CredentialsThere):
        return click.UsageError(
            say(
                f"Ya hay credenciales en {error.folder}; --rotate las cambia.",
                f"There are credentials in {error.folder} already; --rotate changes them.",
            )
        )
    return click.UsageError(
        say(
            f"Falta {error.path}: créalas primero, sin --rotate.",
            f"{error.path} is missing: make them first, without --rotate.",
        )
    )
