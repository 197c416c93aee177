"""Experiment: is an arm's fast early learning only a larger effective learning rate?"""

import contextlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hornlib.data.loading import Splits, load
from hornlib.grid.cell import Cell, make_cell
from hornlib.mechanism.contenders import Contender, Study, contender_coordinates, label
from hornlib.mechanism.effects import MIN_SEEDS, Effect, paired_ratio, said
from hornlib.mechanism.initialisation import layer_of
from hornlib.mechanism.outcomes import outcome_variables, outcomes
from hornlib.mechanism.record import Entry, axis, effect_variables, finished, variable
from hornlib.mechanism.scale import scale_at_start
from hornlib.training.chunk import Chunk, start_chunk
from hornlib.training.loop import train_chunk

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["best_is_at_edge", "measure", "relative_updates", "steps_at"]

QUESTION = (
    "Is early speed only a larger effective learning rate? If it is, arms differ at one learning rate, and no longer "
    "when each learning rate is divided by the arm's gain (the scale of the features that reach the last layer), nor "
    "when each arm has its own best."
)

NUM_STEPS = 10
"""Number of first training steps over which updates are measured."""

COMPARISONS = ("same_rate", "rescaled_rate", "own_best_rate")
"""How the learning rates of two arms are paired: equal rates; equal products of rate and gain; the fastest of each."""

Curve = tuple[np.ndarray, np.ndarray]
"""One arm: its learning rates, ascending, (rates,), and its steps to the target, (rates, seeds)."""


class _LastStepMeasured(Exception):
    """Ends the training loop after the last step that is measured."""


def relative_updates(cell: Cell, seeds: tuple[int, ...], splits: Splits) -> dict[str, Tensor]:
    """Return |w_t - w_(t-1)| / |w_(t-1)| of every layer over the first steps, each (seeds, steps).

    For plain gradient descent this is learning rate |g| / |w|. Adaptive optimisers make updates of other sizes.

    Args:
        cell: what is trained, with the settings of its sweep.
        seeds: seeds that train side by side.
        splits: data of the cell.
    """
    quick = cell.training.model_copy(update={"evaluation_examples": 1})
    chunk = start_chunk(
        make_cell(cell.data, cell.model, cell.structure, quick), list(seeds), torch.device("cpu")
    )
    total = min(NUM_STEPS, cell.training.total_steps(cell.data.num_train))
    before = _weights(chunk)
    changes_by_layer: dict[str, list[Tensor]] = {layer: [] for layer in before}

    def after_step(chunk: Chunk) -> None:
        nonlocal before
        after = _weights(chunk)
        for layer, weights in after.items():
            change = (weights - before[layer]).norm(dim=1) / before[layer].norm(dim=1)
            changes_by_layer[layer].append(change)
        before = after
        if chunk.step == total:
            raise _LastStepMeasured

    with contextlib.suppress(_LastStepMeasured):
        train_chunk(chunk, splits, after_step)
    return {layer: torch.stack(changes, 1) for layer, changes in changes_by_layer.items()}


def steps_at(curve: Curve, rate: float) -> np.ndarray:
    """Return the steps to the target at a learning rate, (seeds,), by interpolation of logarithms; NaN outside.

    Args:
        curve: learning rates and steps of one arm.
        rate: learning rate, between the smallest and the largest of the curve.
    """
    rates, steps = curve
    if not rates[0] * (1 - 1e-9) <= rate <= rates[-1] * (1 + 1e-9):
        return np.full(steps.shape[1], np.nan)
    return np.exp(
        [np.interp(math.log(rate), np.log(rates), np.log(seed_steps)) for seed_steps in steps.swapaxes(0, 1)]
    )


def compare(subject: Curve, rival: Curve, gain_ratio: float) -> dict[str, Effect]:
    """Return the ratio of steps, subject over rival, paired by seed, for each of the three comparisons.

    Args:
        subject, rival: learning rates and steps of the two arms.
        gain_ratio: gain of the subject over gain of the rival.
    """
    same = [(steps_at(subject, rate), steps_at(rival, rate)) for rate in subject[0]]
    scaled = [(steps_at(subject, rate / gain_ratio), steps_at(rival, rate)) for rate in rival[0]]
    best = [(_best(subject), _best(rival))]
    return {
        name: paired_ratio(*_over_rates(pairs))
        for name, pairs in zip(COMPARISONS, (same, scaled, best), strict=True)
    }


def measure(study: Study) -> "xr.Dataset":
    """Return relative updates of the first steps, and ratios of steps at equal, rescaled and best learning rates."""
    first = _measured_updates(study)
    axes = {**contender_coordinates(study.contenders), **first["axes"]}
    variables: dict[str, Entry] = first["variables"]
    sentence = "Nothing has been trained yet, so learning rates cannot be compared."
    if study.results is not None:
        reached = outcomes(study)
        pairs = list(_pairs(study, reached["steps_to_target"].values, variables["gain"][1]))
        effects = [effect for _, compared in pairs for effect in compared.values()]
        variables |= outcome_variables(reached)
        estimator = "geometric mean over seeds (and shared learning rates) of paired ratios of steps"
        table = effect_variables("ratio", ("pair",), effects, "steps, subject over rival", estimator)
        for name, (_, numbers, attributes) in table.items():
            dims = ("pair", "comparison", "bound")[: 3 if name.endswith("_bound") else 2]
            shaped = numbers.reshape(len(pairs), len(COMPARISONS), *numbers.shape[1:])
            variables[name] = (dims, shaped, attributes)
        axes |= axis("pair", [name for name, _ in pairs], "subject over rival")
        axes |= axis("comparison", list(COMPARISONS), "how learning rates are paired")
        groups = _groups(study)
        curves = _curves(study, reached["steps_to_target"].values, groups)
        arrivals = {name: reached["target_reached"].values[rows] for name, rows in groups.items()}
        sentence = " ".join([_sentence(pairs), *_warnings(curves, arrivals)])
    return finished("effective_rate", QUESTION, study, variables, sentence, **axes)


def _weights(chunk: Chunk) -> dict[str, Tensor]:
    """Return the weights of every layer, (seeds, numbers); NaN where a lane has diverged."""
    tensors: dict[str, list[Tensor]] = {}
    for name, tensor in chunk.lanes.parameters.items():
        tensors.setdefault(layer_of(name), []).append(tensor.detach().flatten(1))
    weights = {}
    for layer, parts in tensors.items():
        lane_weights = torch.cat(parts, 1)
        weights[layer] = lane_weights.new_full((len(chunk.seeds), lane_weights.shape[1]), torch.nan)
        weights[layer][chunk.lanes.rows] = lane_weights
    return weights


def _measured_updates(study: Study) -> dict[str, dict[str, Entry]]:
    all_updates = [
        relative_updates(contender.cell, study.seeds, load(contender.cell.data, "cpu"))
        for contender in study.contenders
    ]
    layers = list(dict.fromkeys(layer for updates in all_updates for layer in updates))
    numbers = np.full((len(all_updates), len(study.seeds), NUM_STEPS, len(layers)), np.nan)
    for row, updates in enumerate(all_updates):
        for layer, change in updates.items():
            numbers[row, : change.shape[0], : change.shape[1], layers.index(layer)] = change.numpy()
    dims = ("contender", "seed", "training_step", "layer")
    gain = [_gains(contender, study.seeds) for contender in study.contenders]
    return {
        "variables": {
            "relative_update": variable(dims, numbers, "|change of the weights| / |weights| in a step"),
            "gain": variable(
                ("contender", "seed"),
                gain,
                "scale of the untrained features that reach the last layer",
            ),
        },
        "axes": {
            **axis("training_step", range(1, NUM_STEPS + 1), "training step"),
            **axis("layer", layers, "layer"),
        },
    }


def _pairs(study: Study, steps: np.ndarray, gain: np.ndarray) -> Iterator[tuple[str, dict[str, Effect]]]:
    """Yield name and ratios of each pair: the first group of contenders of a dataset over every other group of it."""
    groups = _groups(study)
    curves = _curves(study, steps, groups)
    gains = {name: float(np.exp(np.log(gain[rows[0]]).mean())) for name, rows in groups.items()}
    first: dict[str, str] = {}
    for name, rows in groups.items():
        subject = first.setdefault(study.contenders[rows[0]].cell.data.name, name)
        if subject != name:
            yield (
                f"{subject} over {name}",
                compare(curves[subject], curves[name], gains[subject] / gains[name]),
            )


def _groups(study: Study) -> dict[str, list[int]]:
    """Return the indices of contenders that differ in the learning rate only, by their common label."""
    groups: dict[str, list[int]] = {}
    for index, contender in enumerate(study.contenders):
        varies = [name for name in contender.varies if name != "learning_rate"]
        groups.setdefault(label(contender.arm, contender.cell, varies), []).append(index)
    return groups


def _curves(study: Study, steps: np.ndarray, groups: dict[str, list[int]]) -> dict[str, Curve]:
    return {name: _curve(study, steps, rows) for name, rows in groups.items()}


def _curve(study: Study, steps: np.ndarray, rows: list[int]) -> Curve:
    rates = np.array([study.contenders[row].cell.training.learning_rate for row in rows])
    order = rates.argsort()
    return rates[order], steps[np.array(rows)[order]]


def _gains(contender: Contender, seeds: tuple[int, ...]) -> list[float]:
    """Return the scale of the features that reach the last layer, by seed; 1 if the read-out normalises them."""
    if contender.cell.model.readout_norm == "batch":  # type: ignore[attr-defined]
        return [1.0] * len(seeds)
    return [scale_at_start(contender, seed, "none").feature_deviation for seed in seeds]


def _best(curve: Curve) -> np.ndarray:
    """Return the steps of each seed at the learning rate that is fastest for the other seeds, (seeds,)."""
    is_finite = np.isfinite(curve[1])
    logarithms = np.where(is_finite, np.log(np.where(is_finite, curve[1], 1)), 0)
    others = is_finite.sum(1, keepdims=True) - is_finite
    means = (logarithms.sum(1, keepdims=True) - logarithms) / np.maximum(others, 1)
    chosen = np.where(others > 0, means, np.inf).argmin(0)
    return curve[1][chosen, np.arange(curve[1].shape[1])]


def best_is_at_edge(curve: Curve) -> bool:
    """Return whether the smallest or largest learning rate that was tried is the fastest in the mean, or ties with it.

    Where all of them tie, no rate is the best one.
    """
    is_finite = np.isfinite(curve[1])
    logarithms = np.where(is_finite, np.log(np.where(is_finite, curve[1], 1)), 0)
    means = np.where(is_finite.any(1), logarithms.sum(1) / np.maximum(is_finite.sum(1), 1), np.inf)
    is_fastest = means == means.min()
    return bool(np.isfinite(means).any() and (is_fastest[0] or is_fastest[-1]) and not is_fastest.all())


def _warnings(curves: dict[str, Curve], reached: dict[str, np.ndarray]) -> Iterator[str]:
    """Yield warnings that name the contenders without a best learning rate, and those whose best one is at an edge."""
    never = [name for name, runs in reached.items() if np.isfinite(runs).any() and not np.nansum(runs)]
    if never:
        yield (
            f"No learning rate that was tried is enough for {', '.join(never)}: no run reaches the target, and "
            "ratios at the best rates have the budget in place of its steps."
        )
    names = [name for name, curve in curves.items() if name not in never and best_is_at_edge(curve)]
    if names:
        yield (
            f"† Best at the smallest or largest learning rate tried: {', '.join(names)}. Their best rate may lie "
            "beyond, and they may be faster with a wider range."
        )


def _over_rates(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the geometric means of both arms over the learning rates at which both have steps, (seeds,) each."""
    first, second = (np.log(np.stack(part)) for part in zip(*pairs, strict=True))
    both = np.isfinite(first) & np.isfinite(second)
    num = both.sum(0)
    with np.errstate(invalid="ignore"):
        means = [np.where(both, part, 0).sum(0) / num for part in (first, second)]  # NaN where num is 0
    return np.exp(means[0]), np.exp(means[1])


def _sentence(pairs: list[tuple[str, dict[str, Effect]]]) -> str:
    """Return for each pair at which rates a difference is shown. Whether the differences change is not tested."""
    if not pairs:
        return "There is one arm only, so nothing can be compared."
    parts = []
    for name, compared in pairs:
        same, rescaled, best = (compared[comparison] for comparison in COMPARISONS)
        effects = (
            f"{said(same)} averaged over equal learning rates, {said(rescaled)} over rescaled ones, and {said(best)} "
            "at the best ones"
        )
        parts.append(f"{name}: steps {effects}: {_verdict(same, rescaled, best)}")
    return "; ".join(parts) + "."


def _verdict(same: Effect, rescaled: Effect, best: Effect) -> str:
    if same.num < MIN_SEEDS:
        return f"not enough data (n = {same.num}, at least {MIN_SEEDS} are needed)"
    if not same.differs(1):
        return "no difference to be explained is shown"
    if rescaled.num < MIN_SEEDS:
        return "the rates that would make up for the gains were not trained"
    if rescaled.differs(1) and best.differs(1):
        return "a difference stays, so that the effective learning rate does not explain all of it"
    if not rescaled.differs(1) and not best.differs(1):
        return "no difference is shown at equalled rates, so that the effective learning rate may explain it"
    return "a difference is shown by one way of equalling the rates and not by the other"
