"""Results of finished chunks, and their rows joined."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from hornlib.training.recording import Numbers

__all__ = ["ChunkRows", "stacked"]


class ChunkRows(NamedTuple):
    """Results of a finished chunk.

    Attributes:
        curves: name -> (rows, evaluations).
        diverged_at: (rows,), first step at which the loss diverged; NaN where it did not.
        lanes: number of runs that trained together.
        probes: variable -> measurements of the probes, (rows, probes, ...).
        profiles: name -> (rows, evaluations, layers), NaN beyond the depth of a network.
        events: changes that a structure made, each the fields of an `EventRecord`.
        weights: the networks of the runs that completed, see `hornlib.training.kept_weights.run_states`; empty where
            weights are not kept.
    """

    curves: dict[str, torch.Tensor]
    diverged_at: torch.Tensor
    lanes: int
    probes: Numbers
    profiles: dict[str, torch.Tensor]
    events: list[list[Any]]
    weights: Sequence[dict[str, Any]] = ()


def stacked(finished: Sequence[ChunkRows]) -> ChunkRows:
    """Return the rows of all chunks as one, in the order of the assignment. `lanes` is that of the first chunk.

    All profiles get the same number of layers.

    The result has no probes, because a job may have been resumed with other settings of its probes, and no weights.
    """
    curves = dict.fromkeys(name for rows in finished for name in rows.curves)
    profiles = dict.fromkeys(name for rows in finished for name in rows.profiles)
    layers = max((profile.shape[2] for rows in finished for profile in rows.profiles.values()), default=0)
    counts = [len(rows.diverged_at) for rows in finished]
    firsts = [sum(counts[:index]) for index in range(len(counts))]
    return ChunkRows(
        {name: _joined([rows.curves.get(name) for rows in finished], finished) for name in curves},
        torch.cat([rows.diverged_at for rows in finished]),
        finished[0].lanes,
        {},
        {
            name: _joined([rows.profiles.get(name) for rows in finished], finished, layers)
            for name in profiles
        },
        [
            [row + first, *event]
            for first, rows in zip(firsts, finished, strict=True)
            for row, *event in rows.events
        ],
    )


def _joined(
    parts: Sequence[torch.Tensor | None], finished: Sequence[ChunkRows], layers: int | None = None
) -> torch.Tensor:
    """Return the rows of all chunks as one, (rows, evaluations, ...), NaN where a chunk lacks the curve or a layer.

    Args:
        parts: of each chunk, a curve or a profile; None where the chunk lacks it.
        finished: the chunks.
        layers: number of layers of a profile; None for a curve.
    """
    evaluations = next(iter(finished[0].curves.values())).shape[1]
    whole = []
    for part, rows in zip(parts, finished, strict=True):
        shape = (len(rows.diverged_at), evaluations, *([] if layers is None else [layers]))
        full = torch.full(shape, torch.nan, dtype=torch.float64)
        if part is not None:
            full[..., : part.shape[-1]] = part
        whole.append(full)
    return torch.cat(whole)
