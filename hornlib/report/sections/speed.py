"""How fast: headline ratios, the fraction of seeds that reached the target, learning curves on four axes."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.report.blocks import Block, Chart, Missing, Paragraph, Section, Table
from hornlib.report.charts.forest import forest_chart
from hornlib.report.charts.lines import Line, lines_chart, thinned
from hornlib.report.comparisons import Comparison, comparisons, headline, intervals_words, strongest, subjects
from hornlib.report.curve_charts import curve_charts
from hornlib.report.evidence import Evidence, SweepEvidence
from hornlib.report.sections.by_sweep import by_sweep, no_results, no_statistics
from hornlib.report.series import datasets, drawn, series_of, swatches
from hornlib.report.tables import Estimate, Row, p_value, table
from hornlib.report.wording import AXES, COSTS, counted_range, sentence, slug

__all__ = ["pairs_blocks", "speed"]

MOST_PAIRS = 20
"""Ratios in a forest plot; the table below has all."""


def speed(evidence: Evidence) -> Section:
    """Return the section on learning speed."""
    return by_sweep(evidence, "speed", "Speed", _blocks)


def _blocks(sweep: SweepEvidence) -> list[Block]:
    blocks: list[Block] = []
    if sweep.statistics is None:
        blocks.append(no_statistics(sweep))
    else:
        axes = _axes(sweep.settings)
        for axis in axes:
            blocks += pairs_blocks(sweep, axis)
        blocks += [] if "training_loss" in axes else _control(sweep)
        blocks += _fractions(sweep)
    if sweep.results is None:
        return [*blocks, no_results(sweep)]
    return [*blocks, *curve_charts(sweep.results, sweep.name)]


def _axes(settings: StatisticsSettings) -> list[str]:
    """Return the axes of this section: samples, and what claims name beyond the costs of the section on efficiency."""
    named = (axis for claim in settings.asked().values() for axis in claim.axes)
    return [axis for axis in dict.fromkeys(("samples", *named)) if axis not in ("training_flops", "seconds")]


def _control(sweep: SweepEvidence) -> list[Block]:
    """Return the table of ratios to the training loss, which involves no statistic of batch norm; or nothing."""
    return [block for block in pairs_blocks(sweep, "training_loss") if isinstance(block, Table)]


def pairs_blocks(sweep: SweepEvidence, axis: str) -> list[Block]:
    """Return the forest plot and the table of the subjects' ratios on an axis, or why there are none."""
    assert sweep.statistics is not None
    ds = headline(sweep.statistics, sweep.settings)
    settings = sweep.settings
    pairs = comparisons(ds, axis, subjects(sweep.statistics, sweep.subject, settings))
    if not any(np.isfinite(pair.arrived) or np.isfinite(pair.ratio) for pair in pairs):
        return [
            Missing(
                f"No ratio of {COSTS[axis]} to target {settings.target:g} is known in the sweep {sweep.name}; "
                "see the limits below for why.",
                "hornlib calibrate" if axis == "seconds" else "",
            )
        ]
    name = slug(sweep.name, "ratios", axis)
    shown = strongest(pairs, MOST_PAIRS)
    charts = [_forest(shown, len(pairs), name, axis, settings)] if shown else []
    return [*charts, _pairs_table(pairs, f"{name}-table", axis, settings)]


def _forest(
    shown: Sequence[Comparison], number: int, name: str, axis: str, settings: StatisticsSettings
) -> Chart:
    caption = (
        f"Paired ratios of {COSTS[axis]} to target {settings.target:g}, with {intervals_words(settings)}. Left of 1 "
        f"the first of a pair needs less. n = {counted_range([pair.num_pairs for pair in shown])} seeds a pair."
    )
    if len(shown) < number:
        caption += f" {len(shown)} of {number} pairs are drawn; the table has all."
    return Chart(
        name,
        f"Ratios of {COSTS[axis]}",
        caption,
        "Forest plot. " + "; ".join(f"{pair.label}: {pair.told}" for pair in shown[:8]) + ".",
        forest_chart(shown, f"ratio of {COSTS[axis]}"),
        spread="wide",
    )


def _pairs_table(pairs: Sequence[Comparison], name: str, axis: str, settings: StatisticsSettings) -> Block:
    """Return the table of all pairs, the smallest ratios first, with sensitivity checks at its end."""
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
    caption = (
        f"{COSTS[axis].capitalize()} to target {settings.target:g}: geometric ratio of paired runs, where a miss costs "
        f"the budget of the pair, with {intervals_words(settings)}. Other kinds of ratio as a check: of pairs that "
        "arrived; of arithmetic means, its interval for this pair alone; of the cost of all runs per arrival."
    )
    if two_part:
        caption += (
            " Where some runs diverged, difference of shares and ratio if arrived replace the interval."
        )
    return table(name, caption, columns, [_row(pair, two_part) for pair in ordered])


def _row(pair: Comparison, two_part: bool) -> Row:
    unknown = float("nan")
    own, rival = (label.replace(f" on {pair.dataset}", "", 1) for label in (pair.contender, pair.rival))
    return [
        *(own, rival, pair.dataset),
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
    names = series_of(ds)
    legend = swatches(names)
    blocks: list[Block] = []
    for dataset in datasets(ds):
        chosen = drawn(ds, dataset)
        lines = [_fraction(ds, index, dataset, str(names[index])) for index in chosen]
        lines = [line for line in map(thinned, lines) if len(line.x)]
        if not lines:
            blocks.append(Paragraph(f"{dataset}: the fraction that reached the target is not known."))
            continue
        counts = counted_range(ds["num_seeds"].values[chosen])
        ends = "; ".join(f"{line.series}: {line.y[-1]:.0%}" for line in lines)
        blocks.append(
            Chart(
                slug(sweep.name, dataset, "reached"),
                f"Fraction that reached target {sweep.settings.target:g}, {dataset}",
                f"{sentence(ds['fraction_reached'].attrs.get('estimator', 'Kaplan-Meier'))} Of each arm the "
                f"cell with the smallest restricted mean; band: {_interval(ds, 'fraction_bound')}; n = {counts} "
                "seeds a cell.",
                f"Fraction of seeds that reached the target on {dataset} against training examples. {ends}.",
                lines_chart(lines, legend, (AXES["samples"], "fraction of seeds"), stepped=True, share=True),
                [swatch for swatch in legend if any(swatch.label == line.series for line in lines)],
            )
        )
    return blocks


def _fraction(ds: xr.Dataset, index: int, dataset: str, series: str) -> Line:
    x = ds["time_point"].sel(axis="samples", dataset=dataset).values
    x = np.where(x > 0, x, np.nan)  # the axis is logarithmic, and before the first example nothing is reached
    y = ds["fraction_reached"].isel(contender=index).sel(axis="samples").values
    low, high = np.full((2, len(y)), np.nan)
    if "fraction_bound" in ds:
        bounds = ds["fraction_bound"].isel(contender=index).sel(axis="samples")
        low, high = (bounds.sel(bound=end).values for end in ("low", "high"))
    return Line(series, x, y, low, high)


def _interval(ds: xr.Dataset, name: str = "ratio_bound") -> str:
    return str(ds[name].attrs.get("interval", "two-sided")).rstrip(".") if name in ds else "none"
