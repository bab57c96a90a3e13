"""The command line `taquilla` (also `python -m chaos`).

Spanish unless `--lang en` or TAQUILLA_LANG says otherwise. Exit codes: `commands.options`.
"""

import os
import sys
from collections.abc import Sequence

import click

from chaos.commands.audit import audit_command
from chaos.commands.credentials import credentials_command
from chaos.commands.crowd import race_command
from chaos.commands.faults import chaos_group
from chaos.commands.load import load_command
from chaos.commands.mail import mail_group
from chaos.commands.matrix import matrix_command
from chaos.commands.options import Group
from chaos.commands.simulate import simulate_command
from chaos.commands.stack import kill_command, ps_command, up_command
from chaos.texts import Say


def build(say: Say) -> click.Group:
    """The whole command tree in one language."""
    group = Group(
        "taquilla",
        say=say,
        help=say(
            "Taquilla: cinco servicios que venden asientos y dicen la verdad aunque todo falle.",
            "Taquilla: five services that sell seats and tell the truth while everything fails.",
        ),
        examples="  taquilla up\n"
        "  taquilla chaos on crash-inventory\n"
        "  taquilla load --requests 50 --workers 10\n"
        "  taquilla race --buyers 64 --seats 1\n"
        "  taquilla audit\n"
        "  taquilla simulate --seeds 1000",
    )
    for command in (
        up_command,
        ps_command,
        kill_command,
        chaos_group,
        load_command,
        race_command,
        audit_command,
        mail_group,
        credentials_command,
        matrix_command,
        simulate_command,
    ):
        group.add_command(command(say))
    return group


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process with its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    build(Say(_language(given)))(args=given, prog_name="taquilla")


def _language(arguments: Sequence[str]) -> str:
    # Looked up before parsing: the language decides what the help says.
    for at, word in enumerate(arguments):
        if word.startswith("--lang="):
            return word.removeprefix("--lang=")
        if word == "--lang" and at + 1 < len(arguments):
            return arguments[at + 1]
    return os.environ.get("TAQUILLA_LANG", "es")  # noqa: TID251 - a person's terminal, not a service
