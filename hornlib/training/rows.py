"""What finished chunks leave, and the rows of all of them as one."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from hornlib.training.recording import Numbers

__all__ = ["ChunkRows", "stacked"]


class ChunkRows(NamedTuple):
    """What a finished chunk leaves.

    Attributes:
        curves: name -> (rows, evaluations).
        diverged_at: (rows,), NaN where a run did not diverge.
        lanes: how many trained together.
        probes: what probes measured, by variable, the rows' axis first.
        profiles: name -> (rows, evaluations, layers), NaN beyond a network's depth.
        events: what a structure did, each an `EventRecord` of the chunk's rows.
    """

    curves: dict[str, torch.Tensor]
    diverged_at: torch.Tensor
    lanes: int
    probes: Numbers
    profiles: dict[str, torch.Tensor]
    events: list[list[Any]]


def stacked(finished: Sequence[ChunkRows]) -> ChunkRows:
    """Return the rows of all chunks as one, in the order of the assignment; `lanes` is that of the first.

    Without what probes measured: chunks of a job that was resumed with other settings may differ in it.
    """
    curves = dict.fromkeys(name for rows in finished for name in rows.curves)
    profiles = dict.fromkeys(name for rows in finished for name in rows.profiles)
    counts = [len(rows.diverged_at) for rows in finished]
    firsts = [sum(counts[:place]) for place in range(len(counts))]
    return ChunkRows(
        {name: _joined([rows.curves.get(name) for rows in finished], finished) for name in curves},
        torch.cat([rows.diverged_at for rows in finished]),
        finished[0].lanes,
        {},
        {name: _joined([rows.profiles.get(name) for rows in finished], finished) for name in profiles},
        [
            [row + first, *event]
            for first, rows in zip(firsts, finished, strict=True)
            for row, *event in rows.events
        ],
    )


def _joined(parts: Sequence[torch.Tensor | None], finished: Sequence[ChunkRows]) -> torch.Tensor:
    """Return the chunks' rows as one, (rows, evaluations, ...); NaN where a chunk has no such rows or fewer layers."""
    layers = max((part.shape[2] for part in parts if part is not None and part.dim() == 3), default=None)
    evaluations = next(iter(finished[0].curves.values())).shape[1]
    whole = []
    for part, rows in zip(parts, finished, strict=True):
        shape = (len(rows.diverged_at), evaluations, *([] if layers is None else [layers]))
        full = torch.full(shape, torch.nan, dtype=torch.float64)
        if part is not None:
            full[..., : part.shape[-1]] = part
        whole.append(full)
    return torch.cat(whole)
