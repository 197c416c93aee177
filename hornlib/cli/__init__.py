"""The command line: what a person, or a rule of the workflow, can ask of hornlib."""

import functools
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from hornlib.cli.describe import describe
from hornlib.cli.evidence import figures, gather, mechanism, migrate, report, seal, stability, statistics
from hornlib.cli.jobs import calibrate, data, finalists, select, train, tune
from hornlib.cli.run import answer, run
from hornlib.cli.sweeps import cancel, check, looks, plan, schema, status
from hornlib.cli.weights import export, importance
from hornlib.config.commands import with_configuration
from hornlib.config.copies import edit_note
from hornlib.errors import HornlibError
from hornlib.training.interruption import EXIT_INTERRUPTED, Interrupted

__all__ = ["main"]

# Imports stand in the commands: help and plan come at once, without torch, xarray or matplotlib.
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
config_app = typer.Typer(no_args_is_help=True, help="Check config.yaml, or print its JSON schema.")
app.add_typer(config_app, name="config")

COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Sweeps": (run, answer, describe, plan, looks, status, cancel),
    "Evidence, from run files to the report": (
        *(
            gather,
            figures,
            stability,
            statistics,
            mechanism,
            importance,
            report,
            calibrate,
            export,
            migrate,
            seal,
        ),
    ),
    "Jobs, as the workflow calls them": (data, tune, finalists, select, train),
}
"""Heading in the help -> its commands."""


def _naming_configuration(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command; its error messages name the configuration that it read, also in commands that they advise."""

    @functools.wraps(command)
    def call(**options: Any) -> None:
        try:
            command(**options)
        except HornlibError as error:
            files = options.get("configfile") or ()
            sentences = [
                with_configuration(str(error), files),
                edit_note() if "configfile" in options else "",
            ]
            raise type(error)(". ".join(filter(None, sentences))) from error

    return call


for heading, commands in COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=heading)(_naming_configuration(command))
for subcommand in (check, schema):
    config_app.command()(subcommand)


def main() -> None:
    """Run the command line; a mistake that a person can mend ends in a message, not in a traceback.

    Exit status: 1 for such a mistake, 2 for a misused option, 75 for a job that saved its checkpoint and
    wants to be started again, 130 after Ctrl-C (that, and a closed pipe, are typer's to handle).
    """
    try:
        app()
    except HornlibError as error:
        _fail(str(error), 1)
    except Interrupted as stopped:
        _fail(str(stopped), EXIT_INTERRUPTED)
    except OSError as error:
        _fail(str(error), 1)


def _fail(message: str, status: int) -> None:
    prefix = "error: " if status == 1 else ""
    print(f"{prefix}{message}", file=sys.stderr)
    sys.exit(status)


def _print_version(wanted: bool) -> None:
    if wanted:
        from hornlib.provenance import version

        print(version())
        raise typer.Exit


@app.callback()
def hornlib(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Do networks with dynamics of their own learn faster and cheaper? Plan, train and gather sweeps."""
