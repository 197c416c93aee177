"""The influence of parameters as tables: shares of variance, main effects and interactions with their intervals.

python docs/findings/influence.py results/influence/statistics.nc influence mnist --out docs/findings/influence.md
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr
from tables import alpha_of, write_below_mark

from hornlib.statistics.influence_outcomes import OUTCOMES as LIMITED
from hornlib.statistics.write import open_statistics

LAG = (
    "**These numbers were measured with running batch norm statistics, which lag behind the weights and favour some "
    "networks early in training. They carry that lag: see [running_average.md](running_average.md).**"
)

OUTCOMES = {
    "log_time": ("Samples to the target", True),
    "log_training_flops": ("Training FLOPs to the target", True),
    "final_metric": ("Final test accuracy", False),
}
"""Outcome -> its words, and whether an effect is the logarithm of a ratio."""


def in_short(ds: xr.Dataset) -> Iterator[str]:
    """Yield what is shown of every outcome, and what is not; a null is told with its intervals and not as a fact."""
    for dataset, outcome, own in outcomes_of(ds):
        words, is_ratio = OUTCOMES[outcome]
        yield f"- **{words}, {dataset}.** {' '.join([leader(own, alpha_of(ds)), *misses(own)])}"
        shown, not_shown = [], []
        for parameter in _measured(own):
            levels = own["parameter_level"].values[own["level_axis"].values == parameter]
            numbers = "; ".join(f"{level} {_effect(own, level, is_ratio)}" for level in levels)
            (shown if any(_is_clear(own, level) for level in levels) else not_shown).append(
                (parameter, numbers)
            )
        for parameter, numbers in shown:
            yield f"  - {parameter}: an interval excludes 'no effect' ({numbers})."
        for parameter, numbers in not_shown:
            yield f"  - {parameter}: an effect is not shown ({numbers})."
    number = int(ds["main_effect"].notnull().sum())
    yield (
        f"\nIntervals on {' and '.join(ds['dataset'].values)} are of one effect at a time: of the {number} around main "
        f"effects, about {0.05 * number:.0f} would exclude 'no effect' by chance.\n"
    )


def leader(own: xr.Dataset, alpha: float) -> str:
    """Return which parameter matters most, or that none is told apart, by the rule of the statistics."""
    raw, corrected = float(own["difference_p"]), float(own["difference_p_holm"])
    differ = "the cells differ" if corrected <= alpha else "a difference among the cells is not shown"
    test = f"{differ} (F test of any difference, p = {raw:.3g}, after Holm's correction {corrected:.3g})"
    name = str(own["leading_parameter"].item())
    if name:
        return f"{name} matters most: {_share(own, name)}; {test}."
    parameters = _measured(own)
    if not parameters:
        return f"Nothing rises above the noise; {test}."
    largest = max(parameters, key=lambda parameter: float(own["total_share"].sel(axis_name=parameter)))
    return f"No parameter is told apart: {largest} has the largest share, {_share(own, largest)}; {test}."


def _share(own: xr.Dataset, parameter: str) -> str:
    total, sure = (
        100 * float(own[name].sel(axis_name=parameter)) for name in ("total_share", "largest_in_draws")
    )
    return (
        f"{total:.0f} %{_share_interval(own, parameter)} of the variance between cells that is left once the seeds' "
        f"noise is subtracted, and the largest in {sure:.0f} % of the bootstrap's draws"
    )


def _share_interval(own: xr.Dataset, parameter: str) -> str:
    """Return the interval of a share; nothing where too few draws have a variance between cells to share out."""
    low, high = 100 * own["total_share_bound"].sel(axis_name=parameter).values
    return f" [{low:.0f}, {high:.0f}]" if np.isfinite(low) else ""


def _measured(own: xr.Dataset) -> list[str]:
    """Return the parameters that have a share."""
    return [
        str(name) for name in own["axis_name"].values if np.isfinite(own["total_share"].sel(axis_name=name))
    ]


def shares(own: xr.Dataset) -> Iterator[str]:
    """Yield the decomposition of the variance between cells, once the seeds' noise is subtracted."""
    yield "| parameter | share alone | share with its interactions [middle 95 % of the draws] | largest in draws |"
    yield "|---|---:|---:|---:|"
    for name in _measured(own):
        alone, total, largest = (
            100 * float(own[variable].sel(axis_name=name))
            for variable in ("first_order_share", "total_share", "largest_in_draws")
        )
        yield f"| {name} | {alone:.0f} % | {total:.0f} %{_share_interval(own, name)} | {largest:.0f} % |"
    noise = 100 * float(own["noise_share"])
    yield (
        f"\nShares are of the variance between cells, once the seeds' noise is subtracted. Of a single run's variance "
        f"{noise:.0f} % is its seed's.\n"
    )


def effects(own: xr.Dataset, is_ratio: bool) -> Iterator[str]:
    """Yield the main effects of one outcome, and the interactions whose interval excludes 'no effect'."""
    about = "factor on the outcome" if is_ratio else "points"
    yield f"| level | {about} [95 % interval, one at a time] |"
    yield "|---|---:|"
    for level in own["parameter_level"].values:
        yield f"| {level} | {_effect(own, level, is_ratio)} |"
    pairs = [
        pair for pair in own["level_pair"].values if np.isfinite(own["interaction"].sel(level_pair=pair))
    ]
    clear = [
        f"{pair}: {_with_interval(own, 'interaction', {'level_pair': pair}, is_ratio)}"
        for pair in pairs
        if _excludes_zero(own["interaction_bound"].sel(level_pair=pair).values)
    ]
    yield (
        f"\nInteractions whose interval excludes 'no effect', of {len(pairs)} (about {0.05 * len(pairs):.0f} would by "
        f"chance): {'; '.join(clear) or 'none'}.\n"
    )


def misses(own: xr.Dataset) -> Iterator[str]:
    """Yield how many runs reach the target where some do not."""
    share = float(own["arrived_share"])
    if share < 1:
        yield (
            f"{100 * share:.0f} % of the runs reach the target within the budget that all cells share; the others "
            "count with this budget, which draws effects towards none."
        )


def edges(ds: xr.Dataset, dataset: str, outcome: str) -> Iterator[str]:
    """Yield a warning where cells are best at the smallest or largest learning rate that was tried."""
    for limit in limits_of(ds):
        if limit.startswith(f"{dataset}, {LIMITED[outcome]}: ") and "smallest or largest" in limit:
            sentence = limit.partition(": ")[2].partition(": widen it")[0]
            beyond = "their best learning rate may lie beyond, and they may do better with a wider range"
            yield f"**† {sentence}**: {beyond}."


def limits_of(ds: xr.Dataset) -> list[str]:
    """Return the sentences on what cannot be concluded."""
    limits: list[str] = json.loads(str(ds.attrs.get("limits", "[]")))
    return limits


def outcomes_of(ds: xr.Dataset) -> Iterator[tuple[str, str, xr.Dataset]]:
    """Yield (dataset, outcome, statistics) of everything that was measured."""
    for dataset in ds["dataset"].values:
        for outcome in OUTCOMES:
            if outcome in ds["outcome"].values:
                own = ds.sel(dataset=dataset, outcome=outcome)
                if own["main_effect"].notnull().any():
                    yield str(dataset), outcome, own


def _effect(own: xr.Dataset, level: str, is_ratio: bool) -> str:
    return _with_interval(own, "main_effect", {"parameter_level": level}, is_ratio)


def _is_clear(own: xr.Dataset, level: str) -> bool:
    return _excludes_zero(own["main_effect_bound"].sel(parameter_level=level).values)


def _excludes_zero(interval: np.ndarray) -> bool:
    low, high = interval
    return bool(np.isfinite(low) and (low > 0 or high < 0))


def _with_interval(own: xr.Dataset, name: str, place: dict[str, str], is_ratio: bool) -> str:
    middle = float(own[name].sel(place))
    low, high = own[f"{name}_bound"].sel(place).values
    if is_ratio:
        return f"{np.exp(middle):.2f} [{np.exp(low):.2f}, {np.exp(high):.2f}]"
    return f"{100 * middle:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"


def sections(ds: xr.Dataset) -> Iterator[str]:
    """Yield the tables of every outcome."""
    for dataset, outcome, own in outcomes_of(ds):
        words, is_ratio = OUTCOMES[outcome]
        cells, seeds = int(own["factorial_cells"]), int(own["factorial_seeds"])
        yield from (
            f"## {words}, {dataset}",
            f"{cells} cells at their own best learning rate, n = {seeds} seeds each.",
            *misses(own),
            *edges(ds, dataset, outcome),
            "",
            *shares(own),
            *effects(own, is_ratio),
        )


def main() -> None:
    """Read the statistics and write the page below the mark; what stands above it is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("statistics", type=Path)
    parser.add_argument("sweeps", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    sweeps = [open_statistics(arguments.statistics, sweep) for sweep in arguments.sweeps]
    if any(name not in ds for ds in sweeps for name in ("difference_p", "arrived_share")):
        parser.error(f"{arguments.statistics} is of an older version: `hornlib statistics` writes it anew")
    lags = any("lag behind" in limit for ds in sweeps for limit in limits_of(ds))
    lines = [*([LAG, ""] if lags else []), "## In short"]
    lines += [line for ds in sweeps for line in in_short(ds)]
    lines += [line for ds in sweeps for line in sections(ds)]
    write_below_mark(arguments.out, "Influence of parameters", "docs/findings/influence.py", lines)


if __name__ == "__main__":
    main()
