"""The command line: what a person, or a rule of the workflow, can ask of hornlib."""

import sys
from typing import Annotated

import typer

from hornlib.cli.evidence import figures, gather, mechanism, migrate, report, stability, statistics
from hornlib.cli.jobs import calibrate, data, finalists, select, train, tune
from hornlib.cli.run import answer, run
from hornlib.cli.sweeps import cancel, check, looks, plan, schema, status
from hornlib.errors import HornlibError
from hornlib.training.interruption import EXIT_INTERRUPTED, Interrupted

__all__ = ["main"]

# Imports stand in the commands: help and plan come at once, without torch, xarray or matplotlib.
app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
config_app = typer.Typer(no_args_is_help=True, help="Check config.yaml, or print its JSON schema.")
app.add_typer(config_app, name="config")

COMMANDS = (
    *(run, answer, plan, looks, status, cancel),
    *(data, tune, finalists, select, train, calibrate),
    *(gather, figures, stability, statistics, mechanism, report, migrate),
)
"""In the order of the help: looking at sweeps, computing, evidence."""

for command in COMMANDS:
    app.command()(command)
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
