"""A structure for tests of the training loop: it masks every weight at random, and rewires it at random."""

from typing import ClassVar, Literal

import torch

from hornlib.parameters.structure import DensePart, StructureParameters
from hornlib.randomness import generator
from hornlib.structures.interface import Change, ChangedLayer, Decision


class RandomRewiringParameters(StructureParameters):
    """Half of the connections of every weight exist, and every few steps other ones."""

    code: ClassVar[str] = "random_rewiring:RandomRewiring"

    name: Literal["random_rewiring"] = "random_rewiring"
    every: int = 5
    """Steps between two changes."""
    look: Literal["none", "for_nothing", "as_step"] = "none"
    """Whether the structure looks at the coming batch, and whether the look replaces the step."""
    cut: str = ""
    """Name of a weight without any connection."""
    masked_seeds: int = 1000
    """Seeds below this one are masked; the others stay dense and never look."""
    first_lanes: int = 1000
    """Number of masked lanes that are rewired."""
    dense_part: DensePart = "nothing"
    """What masked weights have at every step."""

    @property
    def dense(self):
        return self.dense_part


class RandomRewiring:
    """Rewires at random, by seed, weight and step."""

    def __init__(self, parameters):
        self.parameters = parameters

    def is_due(self, moment):
        return moment.step % self.parameters.every == 0

    def decide(self, view):
        names = [weight.name for weight in view.model.weights(view.task)]
        masks = {name: self._drawn(view, name) for name in names}
        flops = [0] * len(view.lanes)
        if view.step == 0:
            lanes = [
                lane for lane, seed in enumerate(view.lanes.seeds) if seed < self.parameters.masked_seeds
            ]
            masks = {name: mask[lanes] for name, mask in masks.items()}
            memory = {f"first/{name}": view.lanes.parameters[name].detach()[lanes].clone() for name in names}
            change = Change(
                lanes, "masked", [[ChangedLayer(0)] for _ in lanes], view.model, {}, {}, dict, masks, memory
            )
            return Decision([change] if lanes else [], flops)
        if not view.masks:
            return Decision([], flops)
        gradients = view.coming_gradients() if self.parameters.look != "none" else {}
        lanes = [lane for lane, row in enumerate(view.lanes.rows) if row < self.parameters.first_lanes]
        grown = {name: masks[name][lanes] & ~view.masks[name][lanes] for name in names}
        # a look as the step: new connections start one small step down the gradient
        values = {
            name: view.lanes.parameters[name].detach()[lanes] - 0.01 * gradients[name][lanes] * grown[name]
            for name in names
            if self.parameters.look == "as_step"
        }
        change = Change(
            lanes,
            "rewired",
            [[ChangedLayer(0, 0.5, float(grown[names[0]][place].sum()))] for place in range(len(lanes))],
            view.model,
            values,
            {},
            lambda tensors: {name: tensors[name] * ~grown[name] for name in names},
            {name: mask[lanes] for name, mask in masks.items()},
            {name: tensor[lanes] for name, tensor in view.memory.items()},
        )
        used_step = self.parameters.look == "as_step"
        return Decision([change] if lanes else [], flops, used_step)

    def _drawn(self, view, name):
        tensor = view.lanes.parameters[name]
        draws = [
            torch.rand(tensor.shape[1:], generator=generator("test mask", seed, name, view.step))
            for seed in view.lanes.seeds
        ]
        return torch.stack(draws).to(tensor.device) < (0.0 if name == self.parameters.cut else 0.5)
