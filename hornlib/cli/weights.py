"""The command that hands the weights of a finished run to other programs."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["export"]


def export(
    run_file: Annotated[Path, typer.Argument(help="The run file: results/runs/<cell>.seeds-<first>-<last>.nc")],
    seed: Annotated[int, typer.Option(min=0, help="The run.")],
    kind: Annotated[
        str,
        typer.Option("--format", help="state_dict, for torch; or onnx, which needs the extra `hornlib[onnx]`."),
    ] = "state_dict",
    output: Annotated[
        Path | None, typer.Option(help="The file; default: <cell>.seed-<n>.pt or .onnx in this folder.")
    ] = None,
) -> None:
    """Write the network that one run ended with; it needs runs that were trained with `keep_weights: last`."""
    from hornlib.training.exporting import SUFFIXES, export_network, trained_network

    cell, network = trained_network(run_file, seed)
    task = cell.task()
    path = output or Path(f"{cell.name}.seed-{seed}{SUFFIXES.get(kind, '')}")
    export_network(network, task, kind, path)
    shapes = " x ".join(map(str, ("batch", *task.input_shape)))
    print(f"{path}: {type(network).__name__}, inputs {shapes}, outputs batch x {task.num_outputs}")
