"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from hornlib.config.commands import CONFIG_VARIABLE, DEFAULT_CONFIG, named_files

__all__ = [
    "DEFAULT_CONFIG",
    "DEFAULT_EXECUTOR_FOLDER",
    "ConfigFiles",
    "ExecutorFolder",
    "Limit",
    "OneSweep",
    "Output",
    "Results",
    "Where",
    "complete_sweep",
]


def complete_sweep(incomplete: str) -> list[str]:
    """Return the sweeps of the configuration that begin so, for the completion of a shell."""
    from hornlib.config.reading import read_document
    from hornlib.errors import HornlibError

    try:
        sweeps = read_document(named_files())["sweeps"]
        return [name for name in sweeps if name.startswith(incomplete)]
    except (HornlibError, KeyError, TypeError):
        return []


ConfigFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--configfile", envvar=CONFIG_VARIABLE, help="A configuration; may be repeated. Default: config.yaml"
    ),
]

Limit = Annotated[
    int | None, typer.Option(min=1, help="A pilot: so many cells, taken in turn from each arm.")
]

Where = Annotated[
    list[str] | None, typer.Option(help="key=value, as `hornlib plan` takes it; may be repeated.")
]
OneSweep = Annotated[str | None, typer.Option(help="Only this sweep.", autocompletion=complete_sweep)]
DEFAULT_EXECUTOR_FOLDER = Path(".snakemake/submitit")
ExecutorFolder = Annotated[
    Path, typer.Option(help="Folder of the executor's records (--submitit-folder of the profile).")
]

Results = Annotated[
    Path | None, typer.Option(help="results.nc or partial.nc; default: results.nc of the configuration.")
]
Output = Annotated[Path | None, typer.Option(help="The file; default: its place in the results folder.")]
