"""The text of results/README.md: which files a sweep leaves, and every variable of results.nc."""

from collections.abc import Mapping

from hornlib.results.declaration import Variable
from hornlib.results.variables import RESULTS_SECTIONS, SWEEP_COORDINATES

__all__ = ["readme"]

FILES = {
    "`runs/<cell>.seeds-<a>-<b>.nc`": "one run file a job: learning curves of its seeds, the full specification, "
    "versions, host, CPU, route of the recurrence",
    "`results.nc`": "all runs in one dataset with the dimensions (cell, seed, step); the tables below list its "
    "variables",
    "`partial.nc`": "the same for an unfinished sweep; a missing run has the status `missing`",
    "`tuning/<arm>.nc`, `selected/<cell>.json`": "of sweeps that tune: the curves of all trials of an arm, and the "
    "choice for each cell",
    "`calibration/<device>.nc`": "step time and peak memory of every distinct shape; `<digest>.measured` beside it "
    "marks that all shapes of a configuration are measured, `<digest>.failed` that the last attempt failed",
    "`dynamics/<cell>.seeds-<a>-<b>.nc`": "what probes measured inside the networks at some moments of training",
    "`weights/<cell>.seeds-<a>-<b>.weights`": "with `keep_weights: last`, the networks that the runs ended with; "
    "`hornlib export` and `hornlib.training.kept_weights.read_weights` read them",
    "`importance/<cell>.seeds-<a>-<b>.nc`": "with `importance:`, what single connections of the networks of a job are "
    "worth: exact changes of the loss, and what proxies read",
    "`importance.nc`": "its statistics over all cells; `hornlib.results.importance_file.open_importance` reads it; "
    "`importance_partial.nc` is that of `hornlib importance --partial`",
    "`statistics.nc`": "one group a sweep: ratios, intervals, tests, verdicts and their sentences",
    "`stability.nc`": "predictions for every oscillator, outcomes of its runs, maps, orders of the integrators; "
    "`hornlib stability --figures <folder>` draws the maps",
    "`mechanism/<experiment>.nc`": "experiments that could refute an explanation, of configurations with their sweeps",
    "`report.html`": "the answer and the evidence on one page",
    "`figures/report/<name>.svg`, `.png`": "every chart of the report; learning curves end in `-curves-<axis>`",
    "`figures/mechanism-<experiment>.svg`, `.png`": "the charts of the experiments",
    "`logs/<rule>/<job>.log`, `logs/<rule>.log`": "one log a job; a job that is trained has a second name in "
    "`logs/<rule>/history/`, which keeps what earlier attempts wrote",
    "`checkpoints/`": "checkpoints of jobs in training, which are removed after the run file is written; with "
    "`log_format: csv` or `tensorboard`, learning curves while they are made, `<cell>.seed-<seed>.csv` or "
    "`tensorboard/<cell>.seed-<seed>/`, which stay",
    "`configurations/<digest>.yaml`": "configurations with values of the command line; `hornlib run --set` writes them",
    "`configurations/started/<digest>.yaml`": "copies of the configurations that the last calls started with; an edit "
    "during a sweep does not reach its last stages",
    "`digests/<stage>-<digest>`": "empty marks: the stage was made with this configuration",
    "`.lease`": "who uses the folder: one workflow at a time",
    "`.submitit`": "where the records of submitted jobs are; no other sweep starts beside them",
    "`data/<dataset>.ready`": "markers: the files of the dataset exist",
}

HEAD = """# What appears here
Sweeps write everything in this folder, and version control ignores it. A folder set by `results:` in the configuration
looks the same. `python -m hornlib.results.readme` prints this page from `hornlib/results/variables.py`.

| path | content |
|---|---|
{files}

Every netCDF file ends with the SHA-256 of the bytes before it. hornlib verifies it before it opens the file, and
refuses a file without it, such as one that an earlier hornlib or another program wrote. `hornlib seal FILE` reads such
a file to its end and appends the SHA-256.

## Variables of results.nc
`hornlib.open_results("results/results.nc", sweep="...")` reads one sweep into memory, with its arms in the coordinate
`arm` and readable names of its cells in `label`. `xarray.open_dataset` reads everything as it is stored. On a file
system without file locks, set `HDF5_USE_FILE_LOCKING=FALSE` before `xarray.open_dataset`; `open_results` needs nothing.

Every parameter of a cell is a coordinate on `cell` too, under its name in the configuration; the `name` of a section is
`dataset`, `model` or `structure`. Numbers are NaN and words are "" where a cell has no such parameter. `hornlib
describe` explains them. `final_<curve>`, over (cell, seed), is the last value of each learning curve. Optional
variables exist where some run has them.

The variables `seconds` and `tuning_seconds` come from the jobs' own clocks: they depend on other work of the machine.
Compare times by `step_time` x `step`, or by `calibrated_seconds` where a structure may change the network's shape. A
fused kernel is several times faster than a loop: `kernel` says which of them computed the recurrence of a run, and
`step_time_kernel` which of them was timed.
"""


def readme() -> str:
    """Return the text of results/README.md."""
    files = "\n".join(f"| {path} | {content} |" for path, content in FILES.items())
    tables = [HEAD.format(files=files)]
    for heading, variables in RESULTS_SECTIONS.items():
        if heading == "Last values":
            continue
        if heading == "Coordinates of cells":
            per_sweep = {f"{prefix}<sweep>": variable for prefix, variable in SWEEP_COORDINATES.items()}
            variables = {**variables, **per_sweep}
        tables.append(f"### {heading}\n{_table(variables)}")
    return "\n".join(tables)


def _table(variables: Mapping[str, Variable]) -> str:
    rows = ["| variable | dimensions | units | meaning | computed in |", "|---|---|---|---|---|"]
    for name, variable in variables.items():
        meaning = f"{variable.long_name}{' (optional)' if variable.optional else ''}"
        source = f"`{variable.source}`" if variable.source else ""
        rows.append(f"| `{name}` | {', '.join(variable.dims)} | {variable.units} | {meaning} | {source} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(readme(), end="")
