"""How fast: headline ratios, the fraction of seeds that reached the target, learning curves on four axes."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from hornlib.report.blocks import Block, Chart, Missing, Paragraph, Section
from hornlib.report.charts.forest import forest_chart
from hornlib.report.charts.lines import Line, lines_chart, thinned
from hornlib.report.comparisons import HEADLINE_AXIS, Comparison, comparisons, headline, strongest
from hornlib.report.curve_charts import curve_charts
from hornlib.report.evidence import Evidence, SweepEvidence
from hornlib.report.sections.by_sweep import by_sweep, no_results, no_statistics
from hornlib.report.series import datasets, drawn, series_of, swatches
from hornlib.report.tables import Row, table
from hornlib.report.wording import AXES, counted_range, sentence, slug

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
        blocks += pairs_blocks(sweep, "samples", "speed")
        blocks += _fractions(sweep)
    if sweep.results is None:
        return [*blocks, no_results(sweep)]
    return [*blocks, *curve_charts(sweep.results, sweep.name)]


def pairs_blocks(sweep: SweepEvidence, axis: str, part: str) -> list[Block]:
    """Return the forest plot and the table of the subject's ratios on an axis, or why there are none."""
    assert sweep.statistics is not None
    ds = headline(sweep.statistics, sweep.settings)
    found = [pair for pair in comparisons(ds, axis) if pair.arm == sweep.subject]
    target = sweep.settings.target
    if not found:
        return [
            Missing(
                f"No ratio of {AXES[axis]} to target {target:g} is known in the sweep {sweep.name}; "
                "see the limits below for why.",
                "hornlib calibrate" if axis == "seconds" else "",
            )
        ]
    shown = strongest(found, MOST_PAIRS)
    how = str(ds["ratio"].attrs.get("estimator", "paired ratio of restricted means"))
    caption = (
        f"{sentence(how)} Target {target:g}, in {AXES[axis]}. Left of 1 the first of a pair is faster. "
        f"Interval: {_interval(ds)}. n = {counted_range([pair.num_pairs for pair in found])} seeds a pair."
    )
    if len(shown) < len(found):
        caption += f" The {len(shown)} pairs furthest from 1 of {len(found)} are drawn; the table has all."
    name = slug(sweep.name, "ratios", axis)
    chart = Chart(
        name,
        f"Ratios of restricted means, {AXES[axis]}",
        caption,
        "Forest plot. " + "; ".join(f"{pair.label}: {pair.told}" for pair in shown[:8]) + ".",
        forest_chart(shown, f"ratio of restricted mean {AXES[axis]}"),
        spread="wide",
    )
    return [chart, _pairs_table(found, f"{name}-table", axis, target)]


def _pairs_table(found: Sequence[Comparison], name: str, axis: str, target: float) -> Block:
    known = {
        "contender": "contender",
        "rival": "rival",
        "dataset": "dataset",
        "ratio": "ratio",
        "low": "low",
        "high": "high",
        "p": "p",
        **({"p_holm": "p, Holm"} if axis == HEADLINE_AXIS else {}),
        "num_pairs": "n",
    }
    rows: list[Row] = [
        [getattr(pair, name) for name in known] for pair in sorted(found, key=lambda pair: pair.ratio)
    ]
    return table(
        name,
        f"Ratios to target {target:g} in {AXES[axis]}, with tests where there are any.",
        list(known.values()),
        rows,
    )


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
