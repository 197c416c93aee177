"""Experiment: do arms learn early at different speeds because their logits and gradients start at different sizes?"""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from hornlib.data.loading import load
from hornlib.mechanism.contenders import Contender, Study, contender_coordinates
from hornlib.mechanism.effects import Effect, paired_ratio, said
from hornlib.mechanism.initialisation import features, first_batch, layer_of, loss_of, untrained
from hornlib.mechanism.record import Entry, axis, finished, variable
from hornlib.mechanism.relation import relation

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Scale", "measure", "scale_at_start"]

QUESTION = (
    "Is early speed a matter of scale? If it is, the arms' order in steps to the target follows the size of their "
    "logits or gradients at the first step, and the normalised read-out evens both out."
)

NORMS = ("none", "batch")
"""Read-outs: raw and normalised."""

QUANTITIES = ("logit_deviation", "gradient_norm")


class Scale(NamedTuple):
    """Sizes in one network at its first step.

    Attributes:
        logit_deviation: standard deviation of the logits over examples; root mean square over outputs.
        feature_deviation: the same for the inputs of the read-out, before its normalisation.
        gradient_norm: Euclidean norm of the gradient of the loss.
        by_layer: layer -> norm of the gradient by its weights.
    """

    logit_deviation: float
    feature_deviation: float
    gradient_norm: float
    by_layer: dict[str, float]


def scale_at_start(contender: Contender, seed: int, readout_norm: str) -> Scale:
    """Measure an untrained network on the first batch of its seed, in training mode.

    Args:
        contender: gives the cell.
        seed: draws weights and batch.
        readout_norm: normalisation before the read-out, none or batch.
    """
    cell = contender.cell
    batch = first_batch(cell, seed, load(cell.data, "cpu").train)
    model = cell.model.model_copy(update={"readout_norm": readout_norm})
    network = untrained(cell, seed, model).train()
    logits = network(batch.inputs)
    trained = {name: tensor for name, tensor in network.named_parameters() if tensor.requires_grad}
    gradients = torch.autograd.grad(loss_of(cell, logits, batch.targets), list(trained.values()))
    squares: dict[str, float] = {}
    for name, gradient in zip(trained, gradients, strict=True):
        squares[layer_of(name)] = squares.get(layer_of(name), 0.0) + gradient.square().sum().item()
    with torch.no_grad():
        seen = features(network, batch.inputs)
    by_layer = {layer: math.sqrt(square) for layer, square in squares.items()}
    return Scale(_deviation(logits), _deviation(seen), math.sqrt(sum(squares.values())), by_layer)


def measure(study: Study) -> "xr.Dataset":
    """Return logit and gradient sizes of every contender, seed and read-out, and their relation to early speed."""
    scale_of = {
        (contender.label, norm, seed): scale_at_start(contender, seed, norm)
        for contender in study.contenders
        for norm in NORMS
        for seed in study.seeds
    }
    layers = list(dict.fromkeys(layer for scale in scale_of.values() for layer in scale.by_layer))
    shape = (len(study.contenders), len(NORMS), len(study.seeds))
    scales = list(scale_of.values())
    numbers = {
        name: np.reshape([getattr(scale, name) for scale in scales], shape)
        for name in (*QUANTITIES, "feature_deviation")
    }
    by_layer = np.reshape(
        [[scale.by_layer.get(layer, math.nan) for layer in layers] for scale in scales], (*shape, -1)
    )
    dims = ("contender", "readout_norm", "seed")
    variables = {
        "logit_deviation": variable(dims, numbers["logit_deviation"], "standard deviation of the logits"),
        "gradient_norm": variable(dims, numbers["gradient_norm"], "norm of the loss's gradient"),
        "feature_deviation": variable(
            dims, numbers["feature_deviation"], "standard deviation of the features before the read-out"
        ),
        "layer_gradient_norm": variable((*dims, "layer"), by_layer, "norm of the gradient, by layer"),
    }
    sentences = [_spread_sentence(study, numbers["logit_deviation"])]
    if study.results is not None:
        related, sentence = _relation(study, numbers)
        variables |= related
        sentences.append(sentence)
    axes = {
        **contender_coordinates(study.contenders),
        **axis("readout_norm", list(NORMS), "normalisation before the read-out"),
        "own_readout_norm": variable("contender", _own_norms(study), "the cell's own read-out"),
        **axis("layer", layers, "layer"),
        **axis("quantity", list(QUANTITIES), "size at the first step"),
    }
    return finished("scale", QUESTION, study, variables, " ".join(sentences), **axes)


def _deviation(outputs: torch.Tensor) -> float:
    return outputs.detach().var(0, correction=0).mean().sqrt().item()


def _own_norms(study: Study) -> list[str]:
    return [contender.cell.model.readout_norm for contender in study.contenders]  # type: ignore[attr-defined]


def _relation(study: Study, numbers: dict[str, np.ndarray]) -> tuple[dict[str, Entry], str]:
    """Correlate sizes with steps to the target, each contender with the read-out that it was trained with."""
    norms = [NORMS.index(norm) for norm in _own_norms(study)]
    sizes = {name: numbers[name][np.arange(len(norms)), norms] for name in QUANTITIES}
    variables, effects = relation(study, sizes, "quantity", "size at the first step")
    parts = [
        f"{name.replace('_', ' ')} {said(effect, 'contenders')}"
        for name, effect in zip(QUANTITIES, effects, strict=True)
    ]
    return variables, f"Rank correlation with steps to the target: {'; '.join(parts)}; {_verdict(effects)}."


def _verdict(effects: list[Effect]) -> str:
    if all(np.isnan(effect.low) for effect in effects):
        return "too few contenders to say anything"
    if any(effect.high < 0 for effect in effects):
        return "larger starts go with faster learning, as scale would have it"
    if any(effect.low > 0 for effect in effects):
        return "larger starts go with slower learning, against scale as the cause"
    return "no relation is distinguished, so scale is neither shown nor ruled out"


def _spread_sentence(study: Study, deviations: np.ndarray) -> str:
    """Return the ratio of the two most different contenders for each read-out. The same numbers choose the two."""
    parts = []
    for norm, values in zip(("raw", "normalised"), deviations.swapaxes(0, 1), strict=True):
        centres = np.log(values).mean(1)
        high, low = int(centres.argmax()), int(centres.argmin())
        ratio = paired_ratio(values[high], values[low])
        names = f"{study.contenders[high].label} over {study.contenders[low].label}"
        parts.append(f"{said(ratio)} with the {norm} read-out ({names})")
    return (
        f"Logits at the first step differ between the furthest two contenders by a factor of {' and '.join(parts)}; "
        "the two were chosen by these numbers, so that the factor is too large on average."
    )
