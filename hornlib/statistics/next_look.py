"""After a look: where every claim of a sequential sweep stands, and the commands of its next look."""

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

__all__ = ["commands", "remark", "standings", "with_next_command", "with_remarks"]

DEFAULT_CONFIG = "config.yaml"


def standings(summary: xr.Dataset) -> Iterator[str]:
    """Yield every claim on every dataset with its verdict, and at which look it was or will be judged."""
    for dataset in summary["dataset"].values.tolist():
        for claim in summary["claim"].values.tolist():
            yield (
                f"{claim} on {dataset}: {summary['verdict'].sel(dataset=dataset, claim=claim).item()}, "
                + remark(summary, dataset, claim)
            )


def remark(summary: xr.Dataset, dataset: str, claim: str) -> str:
    """Return at which look a claim was decided on a dataset, or when it is judged again."""
    decided, last, due = (
        float(summary[name].sel(dataset=dataset, claim=claim))
        for name in ("decided_at", "last_look", "next_look")
    )
    if np.isfinite(decided):
        return f"decided at the look at {decided:g} seeds"
    so_far = f"open after the look at {last:g} seeds" if np.isfinite(last) else "not looked at yet"
    if np.isfinite(due):
        return f"{so_far}, next look at {due:g} seeds"
    if np.isfinite(last) and last < summary["look"].max():
        return f"{so_far}, and more seeds would not measure it"
    return f"{so_far}, which was the last" if np.isfinite(last) else so_far


def with_remarks(summary: xr.Dataset) -> xr.Dataset:
    """Return the statistics with the remark of each claim after its sentences.

    Args:
        summary: `verdict_sentence`, `overall_sentence`, and what `remark` reads.
    """
    datasets = summary["dataset"].values.tolist()
    by_dataset, overall = summary["verdict_sentence"].copy(), summary["overall_sentence"].copy()
    for claim in summary["claim"].values.tolist():
        of_remark: dict[str, list[str]] = {}
        for dataset in datasets:
            told = remark(summary, dataset, claim)
            of_remark.setdefault(told, []).append(dataset)
            place = {"dataset": dataset, "claim": claim}
            by_dataset.loc[place] = f"{by_dataset.sel(place).item()} {told[:1].upper()}{told[1:]}."
        places = len(of_remark) > 1
        parts = [f"{', '.join(names)}: {told}" if places else told for told, names in of_remark.items()]
        told = "; ".join(parts)
        overall.loc[{"claim": claim}] = f"{overall.sel(claim=claim).item()} {told[:1].upper()}{told[1:]}."
    return summary.assign(verdict_sentence=by_dataset, overall_sentence=overall)


def with_next_command(
    summary: xr.Dataset, sweep: str, results: Path, files: Sequence[Path] = ()
) -> xr.Dataset:
    """Return the statistics with the open claims, and the commands for their next looks, first among the limits.

    Args:
        summary: from `hornlib.statistics.sequential.summarise_looks`.
        sweep: its name.
        results: results.nc or partial.nc.
        files: of the configuration.
    """
    if "next_look" not in summary or summary["next_look"].isnull().all():
        return summary.assign_attrs(next_command="")
    train, judge = commands(sweep, results.parent, files)
    open_ = [told for told in standings(summary) if "next look" in told]
    limit = (
        f"Claims are open: {'; '.join(open_)}. `{train}` trains the seeds that their next looks need, and `{judge}` "
        "judges them."
    )
    limits = [limit, *json.loads(summary.attrs["limits"])]
    return summary.assign_attrs(next_command=train, judge_command=judge, limits=json.dumps(limits))


def commands(sweep: str, folder: Path, files: Sequence[Path] = ()) -> tuple[str, str]:
    """Return the command that trains what the next look at a sweep needs, and the one that judges it."""
    own = (
        []
        if [str(file) for file in files] in ([], [DEFAULT_CONFIG])
        else [shlex.quote(str(file)) for file in files]
    )
    each = "".join(f" --configfile {file}" for file in own)
    together = f" --configfile {' '.join(own)}" if own else ""
    # xargs and not $(...): without targets snakemake would train every seed of every sweep.
    train = f"hornlib looks --paths --sweep {sweep}{each} | xargs -r snakemake{together} --cores N"
    partial = shlex.quote(str(folder / "partial.nc"))
    judge = f"hornlib gather --partial{each} && hornlib statistics --results {partial}{each} && hornlib report{each}"
    return train, judge
