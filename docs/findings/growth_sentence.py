"""The sentence on networks that grow which the numbers give, whichever way they fall."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import xarray as xr
from growth_factorial import leading_words
from growth_sweeps import gain_ratio, verdict_of
from sparse_pairs import LEAST, Estimate, labels_of, pair_of

__all__ = ["sentence"]

DATASETS = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
"""Sweep -> its name in the sentence, on both pages."""


def sentence(sweeps: Mapping[str, xr.Dataset], pruning: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """Yield the sentence, and the numbers that are missing for it.

    Args:
        sweeps: name -> contenders of config/growth.yaml.
        pruning: name -> contenders of config/grow_and_prune.yaml.
    """
    present = {words: sweeps[name] for name, words in DATASETS.items() if name in sweeps}
    to_gain = [_costs(ds, words, _to_gain) for words, ds in present.items()]
    to_common = [_costs(ds, words, _to_common_level) for words, ds in present.items()]
    factorial = sweeps.get("digits_factorial")
    leading = (
        "Of when, where and how, .. explains the largest share"
        if factorial is None
        else leading_words(factorial)
    )
    pruned = [_pruned(pruning[name], words) for name, words in DATASETS.items() if name in pruning]
    unknown = ".. times the training FLOPs of the large one, and .. times those of growing at random"
    yield (
        "*A network that grows its neurons by GradMax reaches 90 % of the large network's gain with "
        f"{'; '.join(to_gain) or unknown}. The accuracy that all runs of both reach takes it "
        f"{'; '.join(to_common) or unknown}. On digits: {leading[0].lower()}{leading[1:]}. Pruned after growth it is "
        f"{'; '.join(pruned) or '..'} than a small network that never grew.*"
    )
    yield ""
    missing = [name for name in (*DATASETS, "digits_factorial") if name not in sweeps]
    missing += [f"{name} of grow_and_prune" for name in DATASETS if name not in pruning]
    if missing:
        yield from (f"Without results: {', '.join(missing)}.", "")


def _costs(ds: xr.Dataset, dataset: str, ratio_of: Callable[[xr.Dataset, str], Estimate]) -> str:
    """Return the ratios of training FLOPs to the large network and to Gaussian growth.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
        dataset: its name in the sentence.
        ratio_of: returns the ratio of gradmax and another arm.
    """
    large, random = (ratio_of(ds, rival) for rival in ("large", "gaussian"))
    return (
        f"{_number(large.value)} times the training FLOPs of the large one ({verdict_of(large)}), and "
        f"{_number(random.value)} times those of growing at random ({verdict_of(random)}), on {dataset}"
    )


def _to_gain(ds: xr.Dataset, rival: str) -> Estimate:
    """Return the ratio of training FLOPs to 90 % of the large network's gain."""
    return gain_ratio(ds, "gradmax", rival, "training_flops")


def _to_common_level(ds: xr.Dataset, rival: str) -> Estimate:
    """Return the ratio of training FLOPs to the accuracy that all runs of gradmax and of a rival reach."""
    labels = [labels_of(ds, arm) for arm in ("gradmax", rival)]
    if not all(labels):
        return Estimate(np.nan, np.nan, np.nan, 0)
    return pair_of(ds, labels[0][0], labels[1][0]).ratios["training_flops"]


def _pruned(ds: xr.Dataset, dataset: str) -> str:
    """Return how a grown and pruned network compares with one that never grew, at equal training FLOPs."""
    labels = [labels_of(ds, arm) for arm in ("grow_then_prune", "equal_flops")]
    if not all(labels):
        return f".. ({dataset})"
    pair = pair_of(ds, labels[0][0], labels[1][0])
    difference = pair.difference
    word = "better" if difference.value > 0 else "worse"
    shown = f"n = {difference.number}, 95 % interval {difference.low:+.2f} to {difference.high:+.2f}"
    if difference.number < LEAST:
        shown += f"; no verdict below {LEAST} seeds"
    elif difference.low <= 0 <= difference.high:
        shown += "; a difference is not shown"
    return f"{abs(difference.value):.2f} points {word} ({dataset} at equal training FLOPs, {shown})"


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else ".."
