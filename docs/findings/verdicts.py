"""The statistics of sweeps as Markdown and CSV: verdicts, ratios of the subjects to rivals, what each arm reaches.

cd docs/findings && python verdicts.py ../../results/horn/statistics.nc horn --out horn.md --csv horn.csv
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from tables import alpha_of, write_below_mark

from hornlib.statistics.write import open_statistics

SELECTIONS = {"": "default", "time_to_target": "tuned for speed", "final_metric": "tuned for accuracy"}
AXES = {
    "samples": "samples",
    "training_loss": "samples, judged by the training loss instead of validation accuracy,",
    "training_flops": "training FLOPs",
    "seconds": "seconds",
}
"""Axes of cost -> how tables call them. The second is a control: it involves no batch norm statistics."""
FRONTS = {"parameters": "parameters", "forward_flops": "forward FLOPs", "training_flops": "training FLOPs"}
"""Costs -> how tables call them. The front has the arms to which none is better at no more of the cost."""
RATIO_COLUMNS = [
    *(
        "subject",
        "dataset",
        "values",
        "rival",
        "axis",
        "ratio",
        "low",
        "high",
        "p",
        "p_holm",
        "pairs",
        "arrived",
    ),
    *("rival_arrived", "budget", "two_part", "ratio_if_arrived", "ratio_of_means", "ratio_of_expected_cost"),
    "conclusion",
]


def ratios(ds: xr.Dataset) -> pd.DataFrame:
    """Return the ratios of the claims' subjects to every rival at the headline's target, one row a rival and axis."""
    subject = ds.sel(target=float(ds.attrs["target"]))
    rows = []
    for contender in np.flatnonzero(np.isin(ds["arm"].values, _subjects(ds))):
        own = subject.isel(contender=contender)
        for rival in range(ds.sizes["rival"]):
            found = own.isel(rival=rival)
            for axis in ds["axis"].values:
                ratio = float(found["ratio"].sel(axis=axis))
                if not np.isfinite(ratio):
                    continue
                low, high = found["ratio_bound"].sel(axis=axis).values
                rows.append(
                    {
                        "subject": str(own["arm"].item()),
                        "dataset": str(own["contender_dataset"].item()),
                        "values": SELECTIONS.get(str(own["selected_for"].item()), ""),
                        "rival": str(ds["rival"].values[rival]),
                        "axis": str(axis),
                        "ratio": ratio,
                        "low": float(low),
                        "high": float(high),
                        "p": float(found["p_value"].sel(axis=axis)),
                        "p_holm": float(found["p_holm"].sel(axis=axis)),
                        "pairs": int(found["num_pairs"]),
                        "arrived": float(found["arrived"].sel(axis=axis)),
                        "rival_arrived": float(found["rival_arrived"].sel(axis=axis)),
                        "budget": float(found["pair_budget"].sel(axis=axis)),
                        "two_part": int(found["two_part"].sel(axis=axis)),
                        "ratio_if_arrived": float(found["ratio_if_arrived"].sel(axis=axis)),
                        "ratio_of_means": float(found["ratio_of_means"].sel(axis=axis)),
                        "ratio_of_expected_cost": float(found["ratio_of_expected_cost"].sel(axis=axis)),
                        "conclusion": str(found["conclusion"].sel(axis=axis).item()),
                    }
                )
    # The columns are named because no ratio is finite where all runs diverge.
    return pd.DataFrame(rows, columns=RATIO_COLUMNS)


def ends(ds: xr.Dataset) -> pd.DataFrame:
    """Return the final test metric of the claims' subjects less that of every rival, one row a rival."""
    rows = []
    for contender in np.flatnonzero(np.isin(ds["arm"].values, _subjects(ds))):
        own = ds.isel(contender=contender)
        for rival in ds["rival"].values:
            found = own.sel(rival=rival)
            difference = float(found["final_difference"])
            if not np.isfinite(difference):
                continue
            low, high = found["final_difference_bound"].values
            rows.append(
                {
                    "subject": str(own["arm"].item()),
                    "dataset": str(own["contender_dataset"].item()),
                    "values": SELECTIONS.get(str(own["selected_for"].item()), ""),
                    "rival": str(rival),
                    "difference": difference,
                    "low": float(low),
                    "high": float(high),
                    "pairs": int(found["num_pairs"]),
                    "not_worse": str(found["non_inferior"].item()),
                }
            )
    columns = ["subject", "dataset", "values", "rival", "difference", "low", "high", "pairs", "not_worse"]
    return pd.DataFrame(rows, columns=columns)


def _subjects(ds: xr.Dataset) -> list[str]:
    """Return the arms that the claims are about."""
    return [ds.attrs["subject"], *(ds["claim_subject"].values.tolist() if "claim_subject" in ds else [])]


def arms(ds: xr.Dataset) -> pd.DataFrame:
    """Return what every contender reaches and costs, one row a contender."""
    at = ds.sel(target=float(ds.attrs["target"]))
    columns = {
        "dataset": ds["contender_dataset"].values,
        "values": [SELECTIONS.get(name, "") for name in ds["selected_for"].values.astype(str)],
        "arm": ds["arm"].values,
        "n": ds["num_seeds"].values,
        "diverged": ds["num_diverged"].values,
        "samples": at["restricted_mean"].sel(axis="samples").values,
        "samples_low": at["restricted_mean_bound"].sel(axis="samples").values[:, 0],
        "samples_high": at["restricted_mean_bound"].sel(axis="samples").values[:, 1],
        "reached": at["reached_rate"].values,
        "accuracy": ds["final_metric_mean"].values,
        "accuracy_low": ds["final_metric_bound"].values[:, 0],
        "accuracy_high": ds["final_metric_bound"].values[:, 1],
        "parameters": ds["cost_parameters"].values,
        "forward_flops": ds["cost_forward_flops"].values,
        "training_flops": ds["cost_training_flops"].values,
        "seconds": ds["cost_seconds"].values,
        "peak_memory": ds["cost_peak_memory"].values,
        "learning_rate": ds["learning_rate"].values,
    }
    columns["on_front"] = [
        ", ".join(words for cost, words in FRONTS.items() if ds[f"pareto_{cost}"].values[place])
        for place in range(ds.sizes["contender"])
    ]
    if "at_edge" in ds:
        columns["at_edge"] = ds["at_edge"].values.astype(str)
    for name in ("tuning_trials", "tuned_parameters", "tuning_finalists"):
        if name in ds:
            columns[name] = ds[name].values
    columns |= {
        name: ds[name].values for name in ("num_cycles", "damping_ratio", "leak_rate") if name in ds.coords
    }
    has_runs = np.isfinite(ds["final_metric_mean"].values) | (ds["num_diverged"].values > 0)
    return pd.DataFrame(columns)[has_runs]


def how_to_read(several: bool, alpha: float) -> str:
    """Return what the numbers in the tables of ratios mean.

    Args:
        several: whether a sweep has several datasets.
        alpha: level of tests and intervals.
    """
    interval = f"{percent(1 - alpha)} interval" + (
        ", simultaneous over the datasets of a sweep" if several else ""
    )
    test = "after Holm's correction over these datasets" if several else f"at the level of {percent(alpha)}"
    return (
        f"Ratios below are paired geometric ratios of costs [{interval}]; above 1 the subject needs more. * differs "
        f"from 1 {test}, each subject and rival alone: a claim asks for all of its rivals at once. Where some runs of "
        "an arm diverged there is no interval. (8, 10) are the runs of both arms that arrived, where some did not."
    )


def percent(share: float) -> str:
    """Write a share in per cent."""
    return f"{100 * share:.4g} %"


def markdown(ds: xr.Dataset) -> Iterator[str]:
    """Yield the lines of the tables."""
    yield from (*(f"> {line}\n>" for line in str(ds.attrs["answer"]).splitlines()), "")
    yield from _by_dataset(ds)
    compared, reached = ratios(ds), arms(ds)
    level = f"{100 * float(ds.attrs['target']):g} %"
    for axis, words in AXES.items():
        own = compared[compared["axis"] == axis]
        if own.empty:
            continue
        rivals = list(dict.fromkeys(own["rival"]))
        subjects = list(dict.fromkeys(own["subject"]))
        yield from (
            f"### {words[0].upper() + words[1:]} to the {level} level: {' and '.join(subjects)} over each rival",
            "",
            "| subject | dataset | values | " + " | ".join(f"`{rival}`" for rival in rivals) + " |",
            "|---|---|---|" + "---:|" * len(rivals),
        )
        for (subject, dataset, values), rows in own.groupby(["subject", "dataset", "values"], sort=False):
            cells = [_ratio(rows[rows["rival"] == rival]) for rival in rivals]
            yield f"| {subject} | {dataset} | {values} | " + " | ".join(cells) + " |"
        yield ""
    yield from _ends(ds)
    yield from (
        "### Every arm",
        f"Samples to the {level} level (restricted mean, up to the arm's own budget), and final test accuracy, both "
        f"with {percent(1 - alpha_of(ds))} intervals. Trials per tuned parameter: an arm with fewer is tuned less "
        "thoroughly. † names the parameters whose chosen value is the smallest or largest tried: the best value may lie"
        " beyond, and the arm may do better with a wider range. On the front of a cost are the arms of a dataset, "
        "tuned or not, for which no other is better on average at no more of it.",
        "",
        "| dataset | values | arm | n | learning rate | samples | accuracy, % | parameters | training GFLOP | "
        "trials per tuned parameter | at the edge | on the front of |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---|---|---|",
    )
    for row in reached.to_dict("records"):
        yield (
            f"| {row['dataset']} | {row['values']} | `{row['arm']}` | {row['n']:.0f} | {row['learning_rate']:.2g} | "
            f"{_samples(row)} | "
            f"{100 * row['accuracy']:.2f} [{100 * row['accuracy_low']:.2f}, {100 * row['accuracy_high']:.2f}] | "
            f"{row['parameters']:,.0f} | {row['training_flops'] / 1e9:,.1f} | {_trials(row)} | {_edges(row)} | "
            f"{row['on_front']} |"
        )
    yield from ("", "### What limits these statements", "")
    yield from (f"- {limit}" for limit in json.loads(str(ds.attrs.get("limits", "[]"))))


def _ends(ds: xr.Dataset) -> Iterator[str]:
    """Yield the tables of final accuracy less that of each rival, with the answer of the test of non-inferiority."""
    compared, margin = ends(ds), float(json.loads(str(ds.attrs["settings"]))["margin"])
    if compared.empty:
        return
    rivals = list(dict.fromkeys(compared["rival"]))
    yield from (
        f"### Final test accuracy: {' and '.join(dict.fromkeys(compared['subject']))} less each rival",
        f"Points, paired by seed [{percent(1 - alpha_of(ds))} interval]. ≥: a loss of at most {100 * margin:g} "
        f"point{'' if margin == 0.01 else 's'} is shown, <: a larger one is; neither: both remain possible. These are "
        f"one-sided t tests at the same level, so that they rest on the narrower {percent(1 - 2 * alpha_of(ds))} "
        "interval. Each comparison alone.",
        "",
        "| subject | dataset | values | " + " | ".join(f"`{rival}`" for rival in rivals) + " |",
        "|---|---|---|" + "---:|" * len(rivals),
    )
    for (subject, dataset, values), rows in compared.groupby(["subject", "dataset", "values"], sort=False):
        found = {row["rival"]: _end(row) for row in rows.to_dict("records")}
        yield f"| {subject} | {dataset} | {values} | {' | '.join(found.get(rival, '') for rival in rivals)} |"
    yield ""


def _end(row: dict[str, Any]) -> str:
    sign = {"yes": " ≥", "no": " <"}.get(row["not_worse"], "")
    interval = f" [{100 * row['low']:.2f}, {100 * row['high']:.2f}]" if np.isfinite(row["low"]) else ""
    return f"{100 * row['difference']:.2f}{interval}{sign}"


def _by_dataset(ds: xr.Dataset) -> Iterator[str]:
    """Yield a table of the verdict on every claim on every dataset, with the sentence that says what it rests on."""
    if ds.sizes["dataset"] < 2:
        return
    yield from ("| dataset | claim | verdict | evidence |", "|---|---|---|---|")
    measured = set(arms(ds)["dataset"])
    for dataset in ds["dataset"].values:
        for claim in ds["claim"].values if dataset in measured else []:
            at = ds.sel(dataset=dataset, claim=claim)
            yield f"| {dataset} | {claim} | {at['verdict'].item()} | {at['verdict_sentence'].item()} |"
    yield ""


def _samples(row: dict[str, float]) -> str:
    """Write the mean samples to the target; that no run arrived, where there is none."""
    if not np.isfinite(row["samples"]):
        return "not reached"
    interval = (
        f" [{row['samples_low']:,.0f}, {row['samples_high']:,.0f}]" if np.isfinite(row["samples_low"]) else ""
    )
    return f"{row['samples']:,.0f}{interval}"


def _trials(row: dict[str, float]) -> str:
    """Write the trials of an arm per tuned parameter, and its finalists; nothing where nothing is tuned."""
    trials, parameters = row.get("tuning_trials", np.nan), row.get("tuned_parameters", np.nan)
    if not np.isfinite(trials) or not parameters:
        return ""
    finalists = row["tuning_finalists"]
    more = f", {finalists:.0f} finalists" if finalists else ""
    return f"{trials / parameters:.3g} ({trials:.0f} / {parameters:.0f}{more})"


def _edges(row: dict[str, str]) -> str:
    """Write the parameters whose chosen value stands at an edge of those tried."""
    edges = row.get("at_edge", "").split()
    return f"† {', '.join(edges)}" if edges else ""


def _ratio(rows: pd.DataFrame) -> str:
    if rows.empty:
        return ""
    row = rows.iloc[0]
    if row["conclusion"] == "too few arrivals":
        return f"too few arrivals ({row['arrived']:.0f}, {row['rival_arrived']:.0f})"
    missed = min(row["arrived"], row["rival_arrived"]) < row["pairs"]
    arrivals = f" ({row['arrived']:.0f}, {row['rival_arrived']:.0f})" if missed else ""
    interval = f" [{row['low']:.2f}, {row['high']:.2f}]" if np.isfinite(row["low"]) else ""
    clear = "*" if row["conclusion"] in ("yes", "no") else ""
    return f"{row['ratio']:.2f}{interval}{clear}{arrivals}"


def draw(path: Path, sweeps: dict[str, xr.Dataset]) -> None:
    """Draw ratios in samples and in training FLOPs to every rival: a row for each sweep, a panel for each subject.

    Without any ratio nothing is drawn, and an earlier figure is removed.
    """
    compared = {name: _shown(ratios(ds)) for name, ds in sweeps.items()}
    compared = {name: table for name, table in compared.items() if not table.empty}
    if not compared:
        path.unlink(missing_ok=True)
        return
    panels = {name: _panels(table) for name, table in compared.items()}
    heights = [0.42 * table["rival"].nunique() + 1.3 for table in compared.values()]
    figure, axes = plt.subplots(
        len(compared),
        max(map(len, panels.values())),
        figsize=(9.5, sum(heights)),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for row, (name, table) in zip(axes, compared.items(), strict=True):
        rivals = list(dict.fromkeys(table["rival"]))
        for panel in row[len(panels[name]) :]:
            panel.remove()
        for panel, (subject, dataset) in zip(row, panels[name], strict=False):
            own = table[(table["subject"] == subject) & (table["dataset"] == dataset)]
            _draw_panel(panel, own, rivals)
            title = (
                dataset.replace("_", "-") if len(compared) == 1 else f"{name.replace('_', ' ')}, {dataset}"
            )
            values = own["values"].iloc[0]
            title += f", {values}" if values not in ("tuned for speed", "") else ""
            panel.set(title=title, xscale="log", xlabel=f"{subject} : rival")
            ticks = [0.05, 0.1, 0.25, 0.5, 1, 2, 4]
            panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
            panel.set_xticks([], minor=True)
            panel.set_yticks(range(len(rivals)), [rival.replace("_", " ") for rival in rivals])
            panel.set_ylim(len(rivals) - 0.5, -0.5)
    axes[0][0].legend(fontsize=7, frameon=False)
    plt.rcParams["svg.hashsalt"] = "hornlib"
    figure.savefig(path, metadata={"Date": None})


def _shown(compared: pd.DataFrame) -> pd.DataFrame:
    """Return the ratios of a figure: of enough arrivals, and of values tuned for speed where a dataset has such."""
    is_cost = compared["axis"].isin(["samples", "training_flops"])
    costs = compared[is_cost & (compared["conclusion"] != "too few arrivals")]
    order = ["tuned for speed", "default", "tuned for accuracy", ""]
    first = costs["values"].map(order.index).groupby(costs["dataset"]).transform("min")
    return costs[costs["values"] == first.map(order.__getitem__)]


def _panels(compared: pd.DataFrame) -> list[tuple[str, str]]:
    return list(dict.fromkeys(zip(compared["subject"], compared["dataset"], strict=True)))


def _draw_panel(panel: plt.Axes, compared: pd.DataFrame, rivals: list[str]) -> None:
    """Draw the ratios of one subject on one dataset with their intervals."""
    for axis, colour, marker, shift in (
        ("samples", "#0072b2", "o", -0.13),
        ("training_flops", "#d55e00", "s", 0.13),
    ):
        own = compared[compared["axis"] == axis]
        places = np.array([rivals.index(rival) for rival in own["rival"]]) + shift
        spans = np.abs(own[["low", "high"]].to_numpy().T - own["ratio"].to_numpy())
        spans = np.nan_to_num(spans)  # a ratio without an interval is a point
        panel.errorbar(
            own["ratio"],
            places,
            xerr=spans,
            fmt=marker,
            color=colour,
            markersize=4,
            label=axis.replace("_flops", " FLOPs"),
        )
    panel.axvline(1, color="#888888", linewidth=0.8, linestyle="--")


def main() -> None:
    """Read the statistics and write the files; what stands above the mark in the Markdown is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("statistics", type=Path)
    parser.add_argument("sweeps", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--csv", type=Path, required=True)
    arguments = parser.parse_args()
    sweeps = {name: open_statistics(arguments.statistics, name) for name in arguments.sweeps}
    tables = [
        table.assign(sweep=name, table=kind)
        for name, ds in sweeps.items()
        for kind, table in (("ratio", ratios(ds)), ("end", ends(ds)), ("arm", arms(ds)))
    ]
    pd.concat(tables).to_csv(arguments.csv, index=False, float_format="%.6g")
    draw(arguments.out.with_suffix(".svg"), sweeps)
    title = "The sweep" if len(sweeps) == 1 else "The sweeps"
    levels = set(map(alpha_of, sweeps.values()))
    if len(levels) > 1:
        parser.error("the intervals of these sweeps have different levels: write a page for each")
    several = any(arms(ds)["dataset"].nunique() > 1 for ds in sweeps.values())
    lines = [how_to_read(several, levels.pop()), ""]
    for name, ds in sweeps.items():
        of_sweep = f" of the sweep `{name}`" if len(sweeps) > 1 else ""
        lines += [f"## The verdicts{of_sweep}", "", *markdown(ds), ""]
    named = f"{title} {', '.join(f'`{name}`' for name in sweeps)}"
    write_below_mark(arguments.out, named, "docs/findings/verdicts.py", lines)


if __name__ == "__main__":
    main()
