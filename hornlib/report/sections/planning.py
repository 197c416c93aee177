"""Planning on the page: seeds needed by claim and by comparison, and the looks at a sequential sweep."""

import numpy as np
import xarray as xr

from hornlib.report.blocks import Block, Heading, Paragraph
from hornlib.report.evidence import SweepEvidence
from hornlib.report.tables import Number, Row, table
from hornlib.report.wording import bounded, number, sentence, slug

__all__ = ["looks", "seeds_needed"]

POWER = 0.8
"""Power that the table of comparisons shows; the statistics have others, too."""


def seeds_needed(sweep: SweepEvidence) -> list[Block]:
    """Return the tables of how many seeds the claims and their comparisons need."""
    ds = sweep.statistics
    if ds is None or "seeds_needed" not in ds:
        return []
    blocks = [*_by_claim(ds, sweep.name), *_by_comparison(ds, sweep)]
    unknown = "How many seeds would settle the question is not known: no deviation was measured."
    return blocks or [Paragraph(unknown)]


def looks(sweep: SweepEvidence) -> list[Block]:
    """Return the look at which each claim was decided, and the commands of the next look; nothing without looks."""
    ds = sweep.statistics
    if ds is None or "look_verdict" not in ds:
        return []
    planned = [int(look) for look in ds["look"].values]
    columns = ["dataset", "claim", *(f"at {look} seeds" for look in planned), "decided at", "next look"]
    rows: list[Row] = [
        [
            str(dataset),
            str(claim),
            *(str(word) or "–" for word in ds["look_verdict"].sel(dataset=dataset, claim=claim).values),
            *(
                _seeds(float(ds[name].sel(dataset=dataset, claim=claim)))
                for name in ("decided_at", "next_look")
            ),
        ]
        for dataset in ds["dataset"].values
        for claim in ds["claim"].values
    ]
    caption = (
        f"Verdicts at each look. A look uses the first seeds alone, at level {ds.attrs['look_level']:.3g}; all looks "
        f"together err as often as one test at {ds.attrs['overall_alpha']:g}. A claim that was decided is not judged "
        "again."
    )
    blocks: list[Block] = [
        Heading("Looks", slug("looks", sweep.name)),
        table(slug("looks", sweep.name, "table"), caption, columns, rows),
    ]
    if train := str(ds.attrs.get("next_command", "")):
        blocks.append(
            Paragraph(
                f"The seeds that the next look needs are trained by: {train}. They are judged by: "
                f"{ds.attrs['judge_command']}."
            )
        )
    return blocks


def _seeds(value: float) -> str:
    return f"{value:g} seeds" if np.isfinite(value) else "–"


def _by_claim(ds: xr.Dataset, name: str) -> list[Block]:
    if "claim_seeds_needed" not in ds:
        return []
    rows: list[Row] = []
    for dataset in ds["dataset"].values:
        for claim in ds["claim"].values:
            at_claim = ds.sel(dataset=dataset, claim=claim)
            if not np.isfinite(at_claim["claim_seeds_needed"]).any():
                continue
            needed = [
                _bounded(at_claim.sel(effect=effect, power=power), "claim_seeds_needed")
                for effect in ds["effect"].values
                for power in ds["power"].values
            ]
            num_pairs, ratio = float(at_claim["claim_num_pairs"]), float(at_claim["claim_detectable_ratio"])
            rows.append([str(dataset), str(claim), num_pairs, ratio, *needed])
    if not rows:
        return []
    effects = [
        f"for {effect:g}x, power {power:g}" for effect in ds["effect"].values for power in ds["power"].values
    ]
    columns = ["dataset", "claim", "seeds", "ratio shown with power 0.8", *effects]
    caption = (
        "What would change the answer: seeds needed to show each claim on one dataset if the true ratio to all of its "
        f"rivals is so much, and the ratio that the existing seeds would have shown. {_how(ds, 'claim_seeds_needed')}"
    )
    return [table(slug(name, "seeds-needed"), caption, columns, rows)]


def _by_comparison(ds: xr.Dataset, sweep: SweepEvidence) -> list[Block]:
    """Return the seeds that each comparison of a claim's subject needs, the largest deviations first."""
    subjects = set(ds["claim_subject"].values.tolist()) if "claim_subject" in ds.coords else {sweep.subject}
    ds = ds.isel(contender=np.flatnonzero(np.isin(ds["arm"].values, list(subjects)))).sel(power=POWER)
    pair, comparison = ("contender", "rival"), ("contender", "rival", "axis")
    contenders, axes = ds["contender"].values.astype(str), ds["axis"].values.astype(str)
    rivals, num_pairs = (ds[name].transpose(*pair).values for name in ("rival_contender", "num_pairs"))
    spread, shown = (ds[name].transpose(*comparison).values for name in ("log_ratio_sd", "detectable_ratio"))
    needed = ds["seeds_needed"].transpose(*comparison, "effect").values
    bound = ds["seeds_needed_bound"].transpose(*comparison, "effect", "bound").values
    places = sorted(map(tuple, np.argwhere(np.isfinite(spread)).tolist()), key=lambda place: -spread[place])
    rows: list[Row] = [
        [
            str(contenders[place[0]]),
            str(rivals[place[:2]]),
            str(axes[place[2]]),
            float(num_pairs[place[:2]]),
            float(spread[place]),
            float(shown[place]),
            *(_estimate(*values) for values in zip(needed[place], *bound[place].T, strict=True)),
        ]
        for place in places
    ]
    if not rows:
        return []
    effects = [f"for {effect:g}x" for effect in ds["effect"].values]
    columns = [
        *("contender", "rival", "axis", "seeds", "sd of log ratio", "ratio shown with power 0.8"),
        *effects,
    ]
    caption = f"Seeds that each comparison needs alone, with power {POWER:g}. {_how(ds, 'seeds_needed')}"
    return [table(slug(sweep.name, "seeds-by-comparison"), caption, columns, rows)]


def _bounded(ds: xr.Dataset, name: str) -> Number:
    return _estimate(float(ds[name]), *ds[f"{name}_bound"].values)


def _estimate(value: float, low: float, high: float) -> Number:
    shown = bounded(float(value), float(low), float(high)) if np.isfinite(value) else number(float(value))
    return Number(float(value), shown)


def _how(ds: xr.Dataset, name: str) -> str:
    """Return how a number of seeds was estimated; an interval that the table of claims describes is left out."""
    interval = str(ds[f"{name}_bound"].attrs.get("interval", ""))
    if name != "claim_seeds_needed" and "claim_seeds_needed_bound" in ds:
        interval = "" if interval == ds["claim_seeds_needed_bound"].attrs.get("interval") else interval
    parts = [str(ds[name].attrs.get("estimator", "")), f"Interval {interval}" if interval else ""]
    return " ".join(sentence(words) for words in parts if words)
