"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "DEFAULT_CONFIG",
    "ConfigFiles",
    "ExecutorFolder",
    "OneSweep",
    "Output",
    "Results",
    "Where",
]

DEFAULT_CONFIG = Path("config.yaml")

ConfigFiles = Annotated[
    list[Path] | None,
    typer.Option("--configfile", help="A configuration; may be repeated. Default: config.yaml"),
]

Where = Annotated[
    list[str] | None, typer.Option(help="key=value, as `hornlib plan` takes it; may be repeated.")
]
OneSweep = Annotated[str | None, typer.Option(help="Only this sweep.")]
ExecutorFolder = Annotated[
    Path, typer.Option(help="Folder of the executor's records (--submitit-folder of the profile).")
]

Results = Annotated[
    Path | None, typer.Option(help="results.nc or partial.nc; default: results.nc of the configuration.")
]
Output = Annotated[Path | None, typer.Option(help="The file; default: its place in the results folder.")]
