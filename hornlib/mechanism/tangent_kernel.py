"""Experiment: does the tangent kernel at initialisation predict which arm learns early, by its size or its shape?"""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from hornlib.data.loading import Split, load
from hornlib.grid.cell import Cell
from hornlib.mechanism.contenders import Study, contender_coordinates
from hornlib.mechanism.effects import said
from hornlib.mechanism.initialisation import first_batch, hold_statistics_, untrained
from hornlib.mechanism.record import Entry, axis, finished, variable
from hornlib.mechanism.relation import relation

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["KernelSummary", "measure", "summary", "tangent_kernel"]

QUESTION = (
    "Does the tangent kernel of the untrained network explain early speed? If it does, the arms' order follows the "
    "time that kernel gradient flow needs, by the kernel's size or by its shape (size taken out)."
)

NUM_INPUTS = 128
REMAINING = 0.1
"""Share of the squared residual at which kernel gradient flow counts as finished."""

LATEST = 1e30
"""Replaces an infinite predicted time, which then has the last rank."""

PREDICTIONS = ("flow_time", "shape_time")


class KernelSummary(NamedTuple):
    """Numbers that describe a kernel.

    Attributes:
        eigenvalues: descending, (inputs,).
        effective_rank: exp of the entropy of the shares of the eigenvalues, from 1 to the number of inputs.
        condition: largest over smallest eigenvalue.
        alignment: centred kernel-target alignment, from 0 to 1.
        flow_time: time at which gradient flow on the squared loss, r' = -K r / n with the centred labels as first r,
            has reduced |r|^2 to a tenth.
        shape_time: the same for K divided by its mean eigenvalue. An optimiser that rescales gradients removes the
            size of K and leaves this.
    """

    eigenvalues: np.ndarray
    effective_rank: float
    condition: float
    alignment: float
    flow_time: float
    shape_time: float


def tangent_kernel(network: nn.Module, inputs: Tensor) -> Tensor:
    """Return the trace form (1/K) sum_k <d f_k(x_i)/d w, d f_k(x_j)/d w>, (inputs, inputs).

    Batch norm uses fixed statistics, those of this batch, so that f is a function of one input at a time. The
    derivative of the statistics by the weights is left out; with it, the Jacobian would need one pass for each input.

    Args:
        network: its floating-point type is that of the kernel; float64 keeps small eigenvalues. It is left in
            evaluation mode.
        inputs: (inputs, ...), of the same type.

    Reference:
        Jacot, Gabriel and Hongler, Neural tangent kernel, NeurIPS 2018, section 4, for a network of finite width.
    """
    hold_statistics_(network, inputs)
    weights_by_input = {
        name: tensor.detach().expand(len(inputs), *tensor.shape).requires_grad_()
        for name, tensor in network.named_parameters()
        if tensor.requires_grad
    }

    def outputs(weights: dict[str, Tensor], one: Tensor) -> Tensor:
        logits: Tensor = torch.func.functional_call(network, weights, (one.unsqueeze(0),))
        return logits.squeeze(0)

    # every input has a copy of the weights, so that one backward pass gives the gradients for all inputs
    by_output = torch.vmap(outputs)(weights_by_input, inputs).unbind(1)
    kernel = inputs.new_zeros(len(inputs), len(inputs))
    for logit in by_output:
        rows = torch.autograd.grad(logit.sum(), list(weights_by_input.values()), retain_graph=True)
        jacobian = torch.cat([row.flatten(1) for row in rows], 1)
        kernel.addmm_(jacobian, jacobian.mT, alpha=1 / len(by_output))
    return kernel


def summary(kernel: np.ndarray, targets: np.ndarray) -> KernelSummary:
    """Return the numbers that describe a kernel.

    Args:
        kernel: symmetric and positive semi-definite, (inputs, inputs).
        targets: one-hot classes, or regressed numbers, (inputs, outputs).

    Reference:
        Effective rank: Roy and Vetterli, EUSIPCO 2007. Alignment: Cortes, Mohri and Rostamizadeh, JMLR 13, 2012.
    """
    num = len(kernel)
    values, vectors = np.linalg.eigh(kernel)
    values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1]
    shares = values[values > 0] / values.sum()
    labels = targets - targets.mean(0)
    energy = ((vectors.T @ labels) ** 2).sum(1)
    centred = kernel - kernel.mean(0) - kernel.mean(1, keepdims=True) + kernel.mean()
    wanted = labels @ labels.T
    size = np.linalg.norm(centred) * np.linalg.norm(wanted)
    flow = _decay_time(values / num, energy)
    return KernelSummary(
        eigenvalues=values,
        effective_rank=math.exp(-(shares * np.log(shares)).sum()),
        condition=float(values[0] / values[-1]) if values[-1] > 0 else math.inf,
        alignment=float((centred * wanted).sum() / size) if size > 0 else 0.0,
        flow_time=flow,
        shape_time=flow * float(values.mean()),
    )


def measure(study: Study) -> "xr.Dataset":
    """Return the kernels of all contenders, and the correlation of their predicted times with steps to the target."""
    summaries = [
        [_summary_of(contender.cell, seed) for seed in study.seeds] for contender in study.contenders
    ]
    dims = ("contender", "seed")
    names = {
        "effective_rank": "effective rank of the tangent kernel",
        "condition": "largest over smallest eigenvalue",
        "alignment": "centred alignment of kernel and labels",
        "flow_time": "time of kernel gradient flow to a tenth of the squared residual",
        "shape_time": "the same with the kernel's mean eigenvalue at 1",
    }
    variables: dict[str, Entry] = {
        name: variable(dims, [[getattr(kernel, name) for kernel in row] for row in summaries], long_name)
        for name, long_name in names.items()
    }
    spectra = np.full((len(summaries), len(study.seeds), NUM_INPUTS), np.nan)
    for row, kernels in enumerate(summaries):
        for column, kernel in enumerate(kernels):
            spectra[row, column, : len(kernel.eigenvalues)] = kernel.eigenvalues
    variables["eigenvalue"] = variable((*dims, "order"), spectra, "eigenvalues, descending")
    axes = {
        **contender_coordinates(study.contenders),
        **axis("order", range(1, NUM_INPUTS + 1), "order of the eigenvalue"),
        **axis("prediction", list(PREDICTIONS), "predicted time"),
    }
    sentence = _range_sentence(study, variables["alignment"][1])
    if study.results is not None:
        related, relation_sentence = _relation(study, variables)
        variables |= related
        sentence = f"{sentence} {relation_sentence}"
    return finished("tangent_kernel", QUESTION, study, variables, sentence, **axes)


def _summary_of(cell: Cell, seed: int) -> KernelSummary:
    train = load(cell.data, "cpu").train
    batch = first_batch(cell, seed, train, num_inputs=min(NUM_INPUTS, len(train.targets)))
    network = untrained(cell, seed).double()
    kernel = tangent_kernel(network, batch.inputs.double())
    return summary(kernel.numpy(), _target_rows(cell, batch))


def _target_rows(cell: Cell, batch: Split) -> np.ndarray:
    if cell.data.loss == "cross_entropy":
        return np.eye(cell.task().num_outputs)[batch.targets.numpy()]
    return batch.targets.double().reshape(len(batch.targets), -1).numpy()


def _decay_time(rates: np.ndarray, energy: np.ndarray) -> float:
    """Return t with sum_i energy_i exp(-2 rate_i t) = a tenth of the total; infinite if there is no such t."""
    from scipy.optimize import brentq

    def excess(logarithm: float) -> float:
        decayed = energy * np.exp(-2 * rates * math.exp(logarithm))
        return float(decayed.sum() / energy.sum() - REMAINING)

    moving = rates[rates > 0]
    if not len(moving):
        return math.inf
    low, high = math.log(1e-6 / moving.max()), math.log(1e3 / moving.min())
    if excess(high) > 0:
        return math.inf
    return math.exp(brentq(excess, low, high, xtol=1e-10))


def _relation(study: Study, variables: dict[str, Entry]) -> tuple[dict[str, Entry], str]:
    times = {name: np.minimum(variables[name][1], LATEST) for name in PREDICTIONS}
    related, (size, shape) = relation(study, times, "prediction", "predicted time")
    parts = f"{said(size, 'contenders')} for the whole kernel, {said(shape, 'contenders')} for its shape"
    if size.low > 0 or shape.low > 0:
        verdict = "longer predicted times go with slower learning, as the kernel would have it"
    elif size.high < 0 or shape.high < 0:
        verdict = "longer predicted times go with faster learning, against the kernel as the cause"
    else:
        verdict = "no relation is distinguished, so the kernel is neither shown nor ruled out"
    return related, f"Rank correlation of predicted time with steps to the target: {parts}; {verdict}."


def _range_sentence(study: Study, alignment: np.ndarray) -> str:
    centres = alignment.mean(1)
    high, low = int(centres.argmax()), int(centres.argmin())
    return (
        f"Alignment of the tangent kernel with the labels lies between {centres[low]:.3g} "
        f"({study.contenders[low].label}) and {centres[high]:.3g} ({study.contenders[high].label}), "
        f"n = {len(study.seeds)} seeds."
    )
