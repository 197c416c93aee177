"""Commands that the rules of the workflow call: data, trials, choices, training, calibration."""

import contextlib
import gc
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hornlib.cli.options import DEFAULT_CONFIG, ConfigFiles
from hornlib.errors import ConfigError

if TYPE_CHECKING:
    from hornlib.training.job import TrainOptions
    from hornlib.tuning.choice import TuningRuns

__all__ = ["calibrate", "data", "finalists", "select", "train", "tune"]

Lanes = Annotated[str, typer.Option(help="Runs trained side by side: auto, or a number.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
KernelOption = Annotated[
    str, typer.Option("--kernel", help="How recurrences are computed: auto, fused or loop.")
]
Checkpoints = Annotated[
    Path | None, typer.Option(help="Folder of checkpoints; default: checkpoints beside the output's folder.")
]
CheckpointMinutes = Annotated[float, typer.Option(help="Wall time between two checkpoints.")]
Log = Annotated[Path | None, typer.Option(help="Write progress there, in plain lines.")]


def data(
    name: Annotated[str, typer.Argument(help="A dataset, e.g. mnist.")],
    root: Annotated[
        Path | None, typer.Option(help="Folder of the files; default: $HORNLIB_DATA, else data.")
    ] = None,
) -> None:
    """Make sure that a dataset's files exist: existing ones are used as they are, others are fetched or computed."""
    from hornlib.data.parameters import default_root
    from hornlib.data.prepare import prepare
    from hornlib.parameters.paths import given_path

    folder = default_root() if root is None else given_path(str(root), "--root")
    print(f"{name} is ready in {prepare(name, folder)}")


def train(
    output: Annotated[Path, typer.Argument(help="The run file: <cell>.seeds-<first>-<last>.nc")],
    cell: Annotated[str, typer.Option(help="The cell's specification as JSON, as `hornlib plan` names it.")],
    lanes: Lanes = "auto",
    threads: Threads = 1,
    device: Device = "auto",
    kernel: KernelOption = "auto",
    checkpoints: Checkpoints = None,
    checkpoint_minutes: CheckpointMinutes = 5.0,
    log: Log = None,
    selected: Annotated[
        Path | None, typer.Option(help="The choice for a tuned cell, as `hornlib select` wrote it.")
    ] = None,
    probes: Annotated[
        str, typer.Option(help="What is recorded inside the networks: off, or settings as JSON; {} is usual.")
    ] = "off",
    log_format: Annotated[
        str,
        typer.Option(
            help="How learning curves are logged beside the checkpoint while runs train: none, csv, or tensorboard."
        ),
    ] = "none",
    keep_weights: Annotated[
        str,
        typer.Option(
            help="Whether the networks after the last step are kept, in the folder `weights` beside that of the output:"
            " off, or last."
        ),
    ] = "off",
) -> None:
    """Train one job, which is one cell with a range of seeds; the same command goes on from its checkpoint."""
    from hornlib.grid.cell import parse_specification
    from hornlib.grid.jobs import parse_run_name
    from hornlib.grid.refusals import refusals

    asked = parse_specification(_parse_json(cell, "--cell"))
    job = parse_run_name(output.name)
    if job is None or job.cell != asked.name:
        raise ConfigError(
            f"{output.name!r} is no run file of this cell; it is called {asked.name}.seeds-<first>-<last>.nc"
        )
    if asked.tuned is not None:
        from hornlib.results.selection_file import read_choice

        if selected is None:
            raise ConfigError("--cell is tuned; name the file of its choice with --selected")
        asked = asked.resolved(read_choice(selected).selection)
    for refusal in refusals(asked):
        raise ConfigError(f"--cell: {refusal}")
    recorded = "off" if probes == "off" else _parse_json(probes, "--probes")
    options = _options(
        output, lanes, threads, device, kernel, checkpoints, checkpoint_minutes, recorded, keep_weights
    )
    options = options._replace(log_format=log_format)
    from hornlib.training.train import train_job

    with _logged(log):
        train_job(asked, job.range, output, options)


def tune(
    output: Annotated[Path, typer.Argument(help="The tuning file: <arm>.nc")],
    arm: Annotated[str, typer.Option(help="Cell, ranges, trials and seeds as JSON.")],
    lanes: Lanes = "auto",
    threads: Threads = 1,
    device: Device = "auto",
    kernel: KernelOption = "auto",
    checkpoints: Checkpoints = None,
    checkpoint_minutes: CheckpointMinutes = 5.0,
    log: Log = None,
) -> None:
    """Train every trial of one arm of a tuned sweep. The same command goes on from its checkpoint."""
    from hornlib.grid.tuned_arms import TunedArm

    asked = TunedArm.parse(_parse_json(arm, "--arm"))
    if output.name != f"{asked.name}.nc":
        raise ConfigError(f"{output.name!r} is no tuning file of this arm; it is called {asked.name}.nc")
    options = _options(output, lanes, threads, device, kernel, checkpoints, checkpoint_minutes)
    from hornlib.tuning.job import tune_arm

    with _logged(log):
        tune_arm(asked, output, options)


def finalists(
    output: Annotated[Path, typer.Argument(help="The finalists' file: <stage>.nc")],
    stage: Annotated[str, typer.Option(help="Arm, objectives, number of finalists and seeds as JSON.")],
    trials: Annotated[Path, typer.Option(help="The tuning file of the arm.")],
    baseline: Annotated[
        Path | None, typer.Option(help="The tuning file of the baseline, for time_to_target.")
    ] = None,
    lanes: Lanes = "auto",
    threads: Threads = 1,
    device: Device = "auto",
    kernel: KernelOption = "auto",
    checkpoints: Checkpoints = None,
    checkpoint_minutes: CheckpointMinutes = 5.0,
    log: Log = None,
) -> None:
    """Train an arm's best trials again with fresh seeds. The same command goes on from its checkpoint."""
    from hornlib.grid.finalists import FinalistStage
    from hornlib.results.tuning_file import read_trials
    from hornlib.tuning.choice import pick_finalists

    asked = FinalistStage.parse(_parse_json(stage, "--stage"))
    if output.name != f"{asked.name}.nc":
        raise ConfigError(f"{output.name!r}: the finalists' file of this arm is called {asked.name}.nc")
    if (asked.baseline == "") != (baseline is None):
        raise ConfigError("--baseline belongs to the objective time_to_target, and only to it")
    picked = pick_finalists(asked, read_trials(trials), None if baseline is None else read_trials(baseline))
    options = _options(output, lanes, threads, device, kernel, checkpoints, checkpoint_minutes)
    from hornlib.tuning.job import train_finalists

    with _logged(log):
        for objective, numbers in picked.items():
            print(f"finalists for {objective}: trials {', '.join(map(str, numbers))}", file=sys.stderr)
        train_finalists(asked, sorted(set().union(*picked.values())), output, options)


def select(
    output: Annotated[Path, typer.Argument(help="The selection file: <cell>.json")],
    cell: Annotated[str, typer.Option(help="The tuned cell's specification as JSON.")],
    trials: Annotated[Path, typer.Option(help="The tuning file of its arm.")],
    baseline: Annotated[
        Path | None, typer.Option(help="The tuning file of the baseline, for time_to_target.")
    ] = None,
    finalists: Annotated[
        Path | None, typer.Option(help="The file of the arm's finalists, if the sweep has a second stage.")
    ] = None,
    baseline_finalists: Annotated[
        Path | None, typer.Option(help="The file of the baseline's finalists, for time_to_target.")
    ] = None,
) -> None:
    """Choose the best trial for a tuned cell, on validation."""
    from hornlib.grid.cell import parse_specification
    from hornlib.results.selection_file import write_choice
    from hornlib.tuning.choice import choose

    asked = parse_specification(_parse_json(cell, "--cell"))
    if asked.tuned is None or output.name != f"{asked.name}.json":
        raise ConfigError(f"{output.name!r}: the selection of this cell is called {asked.name}.json")
    if (asked.tuned.baseline == "") != (baseline is None):
        raise ConfigError("--baseline belongs to the objective time_to_target, and only to it")
    if (asked.tuned.finalists == "") != (finalists is None):
        raise ConfigError("--finalists belongs to a cell with a second stage, and only to it")
    if (asked.tuned.baseline_finalists == "") != (baseline_finalists is None):
        raise ConfigError(
            "--baseline-finalists belongs to time_to_target with a second stage, and only to it"
        )
    choice = choose(
        asked,
        _tuning_runs(trials, finalists),
        None if baseline is None else _tuning_runs(baseline, baseline_finalists),
    )
    write_choice(output, choice)
    values = ", ".join(f"{key} = {value:g}" for key, value in choice.selection.chosen.items())
    edge = f"; at the edge of its range: {', '.join(choice.at_edge)}" if choice.at_edge else ""
    print(f"{output}: trial {choice.selection.trial} for {asked.selected_for}: {values}{edge}")


def _tuning_runs(trials: Path, finalists: Path | None) -> "TuningRuns":
    from hornlib.results.tuning_file import read_trials
    from hornlib.tuning.choice import TuningRuns

    return TuningRuns(read_trials(trials), None if finalists is None else read_trials(finalists))


def _parse_json(text: str, option: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{option}: no JSON: {error}") from None


def _options(
    output: Path,
    lanes: str,
    threads: int,
    device: str,
    kernel: str,
    checkpoints: Path | None,
    checkpoint_minutes: float,
    probes: object = "off",
    keep_weights: str = "off",
) -> "TrainOptions":
    from hornlib.config.settings import parse_settings

    settings = parse_settings(
        lanes=int(lanes) if lanes.isdecimal() else lanes,
        threads=threads,
        device=device,
        kernel=kernel,
        checkpoint_minutes=checkpoint_minutes,
        probes=probes,
        keep_weights=keep_weights,
    )
    gc.disable()  # torch's import leaves nothing to collect, and searching its objects again and again takes 0.3 s
    from hornlib.training.job import TrainOptions

    gc.freeze()
    gc.enable()
    return TrainOptions(
        lanes=settings.lanes,
        threads=settings.threads,
        device=settings.device,
        checkpoints=checkpoints or output.parent.parent / "checkpoints",
        checkpoint_seconds=60 * settings.checkpoint_minutes,
        probes=settings.probes,
        kernel=settings.kernel,
        keep_weights=settings.keep_weights,
    )


@contextlib.contextmanager
def _logged(log: Path | None) -> Iterator[None]:
    """Let standard error go to the log, if one is named."""
    if log is None:
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file, contextlib.redirect_stderr(file):
        yield


def calibrate(configfile: ConfigFiles = None) -> None:
    """Measure step time and peak memory of every distinct shape on this device, alone on the machine."""
    from hornlib.calibration.calibrate import calibrate as calibrate_shapes
    from hornlib.grid import read_grid

    print(calibrate_shapes(read_grid(configfile or [DEFAULT_CONFIG])))
