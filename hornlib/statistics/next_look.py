"""The next look at a sequential sweep: which claims are still open, and the commands that train and judge it."""

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from hornlib.config.commands import CONFIG_VARIABLE, configuration_options, joined

__all__ = ["commands", "remark", "standings", "with_next_command", "with_remarks"]


def standings(summary: xr.Dataset) -> Iterator[str]:
    """Yield one line for every claim on every dataset: its verdict, and the look at which it was or will be judged.

    Args:
        summary: `verdict` (dataset, claim), and the variables that `remark` reads.
    """
    for dataset in summary["dataset"].values.tolist():
        for claim in summary["claim"].values.tolist():
            yield (
                f"{claim} on {dataset}: {summary['verdict'].sel(dataset=dataset, claim=claim).item()}, "
                + remark(summary, dataset, claim)
            )


def remark(summary: xr.Dataset, dataset: str, claim: str) -> str:
    """Return the look that decided a claim on a dataset, or the look at which it will be judged again, in words.

    Args:
        summary: `decided_at`, `last_look` and `next_look` (dataset, claim), numbers of seeds, from
            `hornlib.statistics.sequential.summarise_looks`.
        dataset: label of the dataset.
        claim: name of the claim.
    """
    decided, last, due = (
        float(summary[name].sel(dataset=dataset, claim=claim))
        for name in ("decided_at", "last_look", "next_look")
    )
    if np.isfinite(decided):
        return f"decided at the look at {decided:g} seeds"
    so_far = f"open after the look at {last:g} seeds" if np.isfinite(last) else "not judged yet"
    if np.isfinite(due):
        return f"{so_far}, next look at {due:g} seeds"
    if np.isfinite(last) and last < summary["look"].max():
        return f"{so_far}, and more seeds cannot measure it"
    return f"{so_far}, which was the last" if np.isfinite(last) else so_far


def with_remarks(summary: xr.Dataset) -> xr.Dataset:
    """Return the statistics in which every sentence of a claim ends with its remark.

    Args:
        summary: `verdict_sentence` (dataset, claim), `overall_sentence` (claim), and the variables that `remark` reads.
    """
    datasets = summary["dataset"].values.tolist()
    by_dataset, overall = summary["verdict_sentence"].copy(), summary["overall_sentence"].copy()
    for claim in summary["claim"].values.tolist():
        datasets_of_remark: dict[str, list[str]] = {}
        for dataset in datasets:
            words = remark(summary, dataset, claim)
            datasets_of_remark.setdefault(words, []).append(dataset)
            place = {"dataset": dataset, "claim": claim}
            by_dataset.loc[place] = f"{by_dataset.sel(place).item()} {_sentence(words)}"
        names_datasets = len(datasets_of_remark) > 1
        parts = [
            f"{', '.join(names)}: {words}" if names_datasets else words
            for words, names in datasets_of_remark.items()
        ]
        overall.loc[{"claim": claim}] = f"{overall.sel(claim=claim).item()} {_sentence('; '.join(parts))}"
    return summary.assign(verdict_sentence=by_dataset, overall_sentence=overall)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def with_next_command(
    summary: xr.Dataset, sweep: str, results: Path, files: Sequence[Path] = ()
) -> xr.Dataset:
    """Return the statistics in which the first limit names the open claims and the commands of their next looks.

    Args:
        summary: from `hornlib.statistics.sequential.summarise_looks`; it reads `next_look` (dataset, claim) and the
            attribute `limits`.
        sweep: name of the sweep.
        results: path of results.nc or partial.nc.
        files: configuration files.
    """
    if "next_look" not in summary or summary["next_look"].isnull().all():
        return summary.assign_attrs(next_command="")
    train, judge = commands(sweep, results.parent, files)
    open_claims = [line for line in standings(summary) if "next look" in line]
    limit = (
        f"Claims are open: {'; '.join(open_claims)}. `{train}` trains the seeds that their next looks need. "
        f"`{judge}` judges these looks."
    )
    limits = [limit, *json.loads(summary.attrs["limits"])]
    return summary.assign_attrs(next_command=train, judge_command=judge, limits=json.dumps(limits))


def commands(sweep: str, folder: Path, files: Sequence[Path] = ()) -> tuple[str, str]:
    """Return the command that trains the runs of a sweep's next look, and the command that judges this look.

    Args:
        sweep: name of the sweep.
        folder: the results folder.
        files: configuration files.
    """
    options = configuration_options(files)
    variable = f"{CONFIG_VARIABLE}={shlex.quote(joined(files))} " if options else ""
    # Not $(...): if it printed no targets, Snakemake would train every seed of every sweep.
    train = f"hornlib looks --paths --sweep {sweep}{options} | {variable}xargs -r snakemake --cores N"
    partial = shlex.quote(str(folder / "partial.nc"))
    steps = ("hornlib gather --partial", f"hornlib statistics --results {partial}", "hornlib report")
    judge = " && ".join(f"{step}{options}" for step in steps)
    return train, judge
