"""How fast: headline ratios, the fraction of seeds that reached the target, learning curves on four axes."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.report.blocks import Block, Chart, Fold, Heading, Missing, PageTable, Paragraph, Section
from hornlib.report.charts.forest import forest_chart
from hornlib.report.charts.lines import Line, lines_chart, thinned
from hornlib.report.comparisons import Comparison, comparisons, headline, intervals_words, strongest, subjects
from hornlib.report.evidence import ReportEvidence, SweepEvidence
from hornlib.report.learning_curves import READING, curve_charts
from hornlib.report.sections.by_sweep import by_sweep, no_results, no_statistics
from hornlib.report.series import datasets, drawn, named_swatches, series_of, swatches
from hornlib.report.tables import Estimate, Row, p_value, table
from hornlib.report.wording import AXES, COSTS, counted_range, sentence, slug

__all__ = ["pairs_blocks", "speed"]

MOST_PAIRS = 20
"""Ratios in a forest plot; the table has all."""


def speed(evidence: ReportEvidence) -> Section:
    """Return the section on learning speed."""
    return by_sweep(
        evidence, "speed", "Speed", _blocks, "Ratios of examples to the target, and learning curves."
    )


def _blocks(sweep: SweepEvidence) -> list[Block]:
    blocks: list[Block] = []
    if sweep.results is None:
        blocks.append(no_results(sweep))
    else:
        blocks += _curves(sweep.results, sweep.name)
    if sweep.statistics is None:
        return [*blocks, no_statistics(sweep)]
    blocks += _fractions(sweep)
    axes = _axes(sweep.settings)
    for axis in axes:
        blocks += pairs_blocks(sweep, axis, is_explained=axis != axes[0])
    return [*blocks, *([] if "training_loss" in axes else _control(sweep))]


def _curves(ds: xr.Dataset, sweep: str) -> list[Block]:
    charts = curve_charts(ds, sweep)
    if not charts:
        return []
    blocks: list[Block] = [
        Heading("Learning curves", slug("curves", sweep)),
        Paragraph(READING, "note"),
        *charts,
    ]
    if not any(chart.name.endswith("seconds") for chart in charts):
        blocks.append(
            Missing("No learning curve against seconds: no cell is calibrated.", "hornlib calibrate")
        )
    return blocks


def _axes(settings: StatisticsSettings) -> list[str]:
    """Return the axes of this section: samples, and the axes of claims that the section on efficiency does not have."""
    named = (axis for claim in settings.asked().values() for axis in claim.axes)
    return [axis for axis in dict.fromkeys(("samples", *named)) if axis not in ("training_flops", "seconds")]


def _control(sweep: SweepEvidence) -> list[Block]:
    """Return the table of ratios to the training loss, which involves no statistic of batch norm; or nothing."""
    blocks = pairs_blocks(sweep, "training_loss", is_explained=True)
    return [block for block in blocks if isinstance(block, Fold)]


def pairs_blocks(sweep: SweepEvidence, axis: str, is_explained: bool = False) -> list[Block]:
    """Return the forest plot and the table of the subjects' ratios on an axis, or why there are none.

    Args:
        sweep: it has statistics.
        axis: axis of cost.
        is_explained: whether an earlier table explains the kinds of ratios.
    """
    assert sweep.statistics is not None
    ds = headline(sweep.statistics, sweep.settings)
    settings = sweep.settings
    pairs = comparisons(ds, axis, subjects(sweep.statistics, sweep.subject, settings))
    if not any(np.isfinite(pair.arrived) or np.isfinite(pair.ratio) for pair in pairs):
        return [
            Missing(
                f"No ratio of {COSTS[axis]} to target {settings.target:g} is known in the sweep {sweep.name}.",
                "hornlib calibrate" if axis == "seconds" else "",
                "The section “Estimators and limits” says why.",
            )
        ]
    name = slug(sweep.name, "ratios", axis)
    shown = strongest(pairs, MOST_PAIRS)
    charts = [_forest(shown, len(pairs), name, axis, settings, is_explained)] if shown else []
    ratios = _pairs_table(pairs, f"{name}-table", axis, settings, is_explained)
    return [*charts, Fold(f"Table of the ratios of {COSTS[axis]}", f"{name}-fold", [ratios])]


def _forest(
    shown: Sequence[Comparison],
    num_pairs: int,
    name: str,
    axis: str,
    settings: StatisticsSettings,
    is_explained: bool,
) -> Chart:
    caption = f"n = {counted_range([pair.num_pairs for pair in shown])} seeds a pair."
    if not is_explained:
        caption = (
            f"Paired ratios of {COSTS[axis]} to target {settings.target:g}, with {intervals_words(settings)}. Left of "
            f"1 the first of a pair needs less. {caption}"
        )
    if len(shown) < num_pairs:
        caption += f" {len(shown)} of {num_pairs} pairs are drawn; the table of {COSTS[axis]} has all."
    return Chart(
        name,
        f"Ratios of {COSTS[axis]}",
        caption,
        "Forest plot. " + "; ".join(f"{pair.label}: {pair.words}" for pair in shown[:8]) + ".",
        forest_chart(shown, f"ratio of {COSTS[axis]}"),
        spread="wide",
    )


def _pairs_table(
    pairs: Sequence[Comparison], name: str, axis: str, settings: StatisticsSettings, is_explained: bool
) -> PageTable:
    """Return the table of all pairs, the smallest ratios first, with sensitivity checks in the last columns."""
    two_part = any(pair.two_part for pair in pairs)
    columns = [
        *(
            "contender",
            "rival",
            "dataset",
            "ratio",
            "needs less",
            "p",
            "p, Holm",
            "n",
            "arrived",
            "rival arrived",
        ),
        *(["difference of shares"] if two_part else []),
        *("ratio if arrived", "ratio of means", "ratio of expected cost"),
    ]
    ordered = sorted(pairs, key=lambda pair: pair.ratio if pair.has_ratio else np.inf)
    caption = sentence(f"{COSTS[axis]} to target {settings.target:g}")
    if not is_explained:
        caption = (
            f"{caption} Ratio: geometric mean over paired runs, where a run that misses the target costs the budget of "
            f"the pair; {intervals_words(settings)}. Three more ratios check how much that choice matters: of the "
            "pairs that both arrived; of arithmetic means, with an interval for this pair alone; of the cost of all "
            "runs per run that arrived."
        )
    if two_part:
        caption += (
            " Where some runs diverged, difference of shares and ratio if arrived replace the interval."
        )
    counts = counted_range([pair.num_pairs for pair in pairs])
    return table(
        name, f"{caption} n = {counts} seeds a pair.", columns, [_row(pair, two_part) for pair in ordered]
    )


def _row(pair: Comparison, two_part: bool) -> Row:
    unknown = float("nan")
    contender, rival = (label.replace(f" on {pair.dataset}", "", 1) for label in (pair.contender, pair.rival))
    return [
        *(contender, rival, pair.dataset),
        Estimate(pair.ratio, pair.low, pair.high) if pair.has_ratio else unknown,
        pair.word,
        *(p_value(pair.p), p_value(pair.p_holm)),
        *(pair.num_pairs, pair.arrived, pair.rival_arrived),
        *([Estimate(*pair.difference)] if two_part else []),
        Estimate(*pair.ratio_if_arrived),
        Estimate(*pair.ratio_of_means) if pair.has_ratio else unknown,
        pair.ratio_of_expected_cost,
    ]


def _fractions(sweep: SweepEvidence) -> list[Block]:
    """Return one chart a dataset of the fraction of seeds that reached the target, over samples."""
    assert sweep.statistics is not None
    ds = headline(sweep.statistics, sweep.settings)
    if "fraction_reached" not in ds:
        return []
    names, labels = series_of(ds), ds["contender"].values.astype(str)
    legend = swatches(names)
    blocks: list[Block] = []
    is_explained = False
    for dataset in datasets(ds):
        chosen = drawn(ds, dataset)
        lines = {str(names[index]): _fraction(ds, index, dataset, labels[index]) for index in chosen}
        lines = {series: line for series, line in lines.items() if len(line.x)}
        if not lines:
            blocks.append(Paragraph(f"{dataset}: the fraction that reached the target is not known."))
            continue
        cells = named_swatches(legend, {series: line.series for series, line in lines.items()})
        caption = f"n = {counted_range(ds['num_seeds'].values[chosen])} seeds a cell."
        if not is_explained:
            caption = (
                f"{sentence(ds['fraction_reached'].attrs.get('estimator', 'Kaplan-Meier'))} Of each arm the "
                f"cell with the smallest restricted mean; band: {_interval(ds, 'fraction_bound')}. {caption}"
            )
            is_explained = True
        ends = "; ".join(f"{line.series}: {line.y[-1]:.0%}" for line in lines.values())
        blocks.append(
            Chart(
                slug(sweep.name, dataset, "reached"),
                f"Fraction of seeds that reached the target, {dataset}",
                caption,
                f"Fraction of seeds that reached the target on {dataset} against training examples. {ends}.",
                lines_chart(
                    list(lines.values()),
                    cells,
                    (AXES["samples"], "fraction of seeds"),
                    stepped=True,
                    share=True,
                ),
                cells,
            )
        )
    return blocks


def _fraction(ds: xr.Dataset, index: int, dataset: str, label: str) -> Line:
    x = ds["time_point"].sel(axis="samples", dataset=dataset).values
    x = np.where(x > 0, x, np.nan)  # the axis is logarithmic, and nothing is reached before the first example
    y = ds["fraction_reached"].isel(contender=index).sel(axis="samples").values
    low, high = np.full((2, len(y)), np.nan)
    if "fraction_bound" in ds:
        bounds = ds["fraction_bound"].isel(contender=index).sel(axis="samples")
        low, high = (bounds.sel(bound=end).values for end in ("low", "high"))
    return thinned(Line(label, x, y, low, high))


def _interval(ds: xr.Dataset, name: str) -> str:
    return str(ds[name].attrs.get("interval", "two-sided")).rstrip(".") if name in ds else "none"
