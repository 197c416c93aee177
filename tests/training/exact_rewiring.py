"""A structure for tests of compressed networks: the same random connections, as masks or stored alone."""

from typing import ClassVar, Literal

import torch

from hornlib.models.compressed import compressed, move, positions_of, relaid, rewired
from hornlib.parameters.structure import StructureParameters
from hornlib.randomness import generator
from hornlib.structures.interface import Change, ChangedLayer, Decision


class ExactRewiringParameters(StructureParameters):
    """A third of the connections of every weight exist, and at one step half of them go elsewhere."""

    code: ClassVar[str] = "exact_rewiring:ExactRewiring"

    name: Literal["exact_rewiring"] = "exact_rewiring"
    storage: Literal["masked", "compressed"] = "masked"
    rewire_at: int = 10
    """Step of the rewiring."""


class ExactRewiring:
    """Draws positions by seed, weight and step."""

    def __init__(self, parameters):
        self.parameters = parameters

    def is_due(self, moment):
        return moment.step in (0, self.parameters.rewire_at)

    def decide(self, view):
        compresses = self.parameters.storage == "compressed"
        dense_model, _ = view.model.masked_form(view.task)
        shapes = {weight.name: weight.shape for weight in dense_model.weights(view.task)}
        if view.step == 0:
            masks = {
                name: torch.stack([self._first(name, shape, seed) for seed in view.lanes.seeds])
                for name, shape in shapes.items()
            }
            if not compresses:
                return self._decision(view, "masked", view.model, {}, {}, dict, masks)
            counts = {name: int(mask[0].sum()) for name, mask in masks.items()}
            tensors = compressed(view.lanes.parameters, masks)
            return self._decision(
                view,
                "masked",
                view.model.with_connections(counts, view.task),
                *tensors,
                lambda moments: compressed(moments, masks).parameters,
            )
        before = view.masks or positions_of(view.lanes.buffers)
        positions = {
            name: torch.stack(
                [
                    self._rewired(name, before[name][lane], shape, seed)
                    for lane, seed in enumerate(view.lanes.seeds)
                ]
            )
            for name, shape in shapes.items()
        }
        if compresses:
            moves = {name: self._move(places, positions[name]) for name, places in before.items()}
            return self._decision(
                view,
                "rewired",
                view.model,
                relaid(view.lanes.parameters, moves),
                rewired(view.lanes.buffers, moves),
                lambda moments: relaid(moments, moves),
            )
        masks = {
            name: torch.zeros_like(mask).flatten(1).scatter_(1, positions[name], True).view_as(mask)
            for name, mask in view.masks.items()
        }
        grown = {name: masks[name] & ~view.masks[name] for name in masks}
        return self._decision(
            view,
            "rewired",
            view.model,
            {},
            {},
            lambda moments: {name: moments[name] * ~grown[name] for name in masks},
            masks,
        )

    def _decision(self, view, kind, model, parameters, buffers, inherit, masks=None):
        lanes = range(len(view.lanes))
        layers = [[ChangedLayer(0)] for _ in lanes]
        change = Change(lanes, kind, layers, model, parameters, buffers, inherit, masks or {})
        return Decision([change], [0] * len(view.lanes))

    def _move(self, before, after):
        dropped = torch.stack([~torch.isin(*lane) for lane in zip(before, after, strict=True)])
        grown = [new[~torch.isin(new, old)] for old, new in zip(before, after, strict=True)]
        return move(before, dropped, torch.cat(grown))

    def _first(self, name, shape, seed):
        mask = torch.zeros(shape, dtype=torch.bool).flatten()
        mask[torch.randperm(len(mask), generator=generator("first", seed, name))[: len(mask) // 3]] = True
        return mask.view(shape)

    def _rewired(self, name, before, shape, seed):
        """Return ascending positions: a random half of those before, and as many others."""
        size = shape[0] * shape[1]
        exists = before.flatten() if before.dtype == torch.bool else torch.zeros(size, dtype=torch.bool)
        if before.dtype != torch.bool:
            exists[before] = True
        count = int(exists.sum())
        ranks = torch.rand(size, generator=generator("rewired", seed, name))
        kept = (ranks - 2.0 * exists).argsort()[: count // 2]
        grown = (ranks + 2.0 * exists).argsort()[: count - count // 2]
        return torch.cat([kept, grown]).sort().values
