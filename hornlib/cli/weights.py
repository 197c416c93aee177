"""Commands that read the weights of finished runs: one hands them to other programs, one measures their importance."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornlib.cli.marks import keep_mark
from hornlib.cli.options import DEFAULT_CONFIG, ConfigFiles, Output
from hornlib.errors import ConfigError

if TYPE_CHECKING:
    from hornlib.parameters.importance import ImportanceSettings

__all__ = ["export", "importance"]


def export(
    run_file: Annotated[
        Path, typer.Argument(help="The run file: results/runs/<cell>.seeds-<first>-<last>.nc")
    ],
    seed: Annotated[int, typer.Option(min=0, help="The run.")],
    kind: Annotated[
        str,
        typer.Option(
            "--format", help="state_dict, for torch; or onnx, which needs the extra `hornlib[onnx]`."
        ),
    ] = "state_dict",
    output: Annotated[
        Path | None, typer.Option(help="The file; default: <cell>.seed-<n>.pt or .onnx in this folder.")
    ] = None,
) -> None:
    """Write the network that one run ended with; it needs runs that were trained with `keep_weights: last`.

    A state_dict of wann or neat holds the genome; `hornlib.evolution.network.evolved_network` builds the network.
    """
    from hornlib.training.exporting import SUFFIXES, export_network, trained_network

    cell, network = trained_network(run_file, seed)
    task = cell.task()
    path = output or Path(f"{cell.name}.seed-{seed}{SUFFIXES.get(kind, '')}")
    export_network(network, task, kind, path)
    shapes = " x ".join(map(str, ("batch", *task.input_shape)))
    print(f"{path}: {type(network).__name__}, inputs {shapes}, outputs batch x {task.num_outputs}")


def importance(
    run_file: Annotated[
        Path | None,
        typer.Argument(help="Of one job: results/runs/<cell>.seeds-<first>-<last>.nc; default: every job."),
    ] = None,
    configfile: ConfigFiles = None,
    settings: Annotated[
        str | None,
        typer.Option(
            help="Of one job: how exactly it is measured, as JSON; default: as the configuration says."
        ),
    ] = None,
    output: Output = None,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="Leave out jobs that are not trained, into importance_partial.nc."),
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Measure what single connections of trained networks are worth, beside proxies; nothing is trained.

    It needs runs that were trained with `keep_weights: last`. Without a run file, every job of the configuration is
    measured whose file is missing or outdated, and all are gathered into importance.nc.
    """
    import torch

    from hornlib.grid import read_grid
    from hornlib.grid.digests import importance_digest
    from hornlib.importance.stage import measure_grid, measure_job
    from hornlib.training.devices import keep_freed_memory

    torch.set_num_threads(threads)
    keep_freed_memory()
    if run_file is not None:
        print(measure_job(run_file, _importance_settings(settings, configfile), output))
        return
    if settings is not None or output is not None:
        raise ConfigError("--settings and --output belong to one job; name its run file")
    grid = read_grid(configfile or [DEFAULT_CONFIG])
    measured = measure_grid(grid, partial)
    keep_mark(Path(grid.settings.results), "importance", importance_digest(grid), measured.files)
    print(measured.gathered)


def _importance_settings(settings: str | None, configfile: list[Path] | None) -> "ImportanceSettings":
    """Return the settings of the option, else those of the configuration."""
    from hornlib.config.reading import read_config
    from hornlib.config.settings import parse_settings

    if settings is None:
        given = read_config(configfile or [DEFAULT_CONFIG]).settings.importance
        if given is None:
            raise ConfigError(
                "importance: off in the configuration; write `importance: {}`, or give --settings"
            )
        return given
    try:
        values = json.loads(settings)
    except json.JSONDecodeError as error:
        raise ConfigError(f"--settings: no JSON: {error}") from None
    parsed = parse_settings(keep_weights="last", importance=values).importance
    if parsed is None:
        raise ConfigError("--settings: off; leave the command out")
    return parsed
