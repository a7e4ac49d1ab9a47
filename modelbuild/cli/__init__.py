"""The command line. Results go to stdout, everything on the way there to stderr; exit codes are `errors.ExitCode`.

A command's module is imported when the command is run (or helped with), and imports the engine when it does something:
``convert`` must not wait for what ``build`` needs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from modelbuild import __version__
from modelbuild.errors import BuildError, ExitCode

_COMMANDS = {
    "build": "building",
    "plan": "planning",
    "explain": "planning",
    "status": "planning",
    "list": "listing",
    "check": "listing",
    "init": "listing",
    "schema": "listing",
    "convert": "converting",
    "mo": "converting",
    "inspect": "inspecting",
    "why": "planning",
    "report": "building",
    "fetch": "building",
    "affected": "affected",
    "lock": "releasing",
    "pack": "releasing",
    "verify": "releasing",
    "clean": "cleaning",
    "cache": "caching",
    "graph": "graphing",
}
"""Which module of this package has which command, as ``<name>_command``; in the order of the help."""


class Commands(click.Group):
    """Commands that are imported late."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{_COMMANDS[cmd_name]}"), f"{cmd_name}_command")
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="modelbuild")
def modelbuild() -> None:
    """Make for models: OpenVINO IR from trained models, built incrementally.

    A SELECTOR is MODEL, MODEL@TARGET, MODEL@TARGET:PRECISION or tag:NAME; each part may be a pattern such as 'ppocr_*'.
    """


def run(arguments: Sequence[str]) -> int:
    """What the command ``modelbuild`` does with its arguments; gives the exit code."""
    try:
        code = modelbuild.main(list(arguments), prog_name="modelbuild", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return ExitCode.MANIFEST
    except (click.Abort, KeyboardInterrupt):
        print("modelbuild: interrupted; what was finished is kept", file=sys.stderr)  # noqa: T201
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except BuildError as error:
        from modelbuild.telling import failure

        print(f"modelbuild: {failure(error)}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return code if isinstance(code, int) else ExitCode.OK
