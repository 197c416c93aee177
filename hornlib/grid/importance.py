"""Whether the importance of a cell's connections can be measured, before any job starts; free of torch."""

from hornlib.grid.cell import Cell
from hornlib.parameters.importance import MOST_CONNECTIONS, ImportanceSettings

__all__ = ["MODELS_WITH_IMPORTANCE", "importance_refusal"]

MODELS_WITH_IMPORTANCE = ("mlp", "cnn", "rnn")
"""Models whose matrices and kernels the analysis knows: what they multiply, and which norm stands behind them."""


def importance_refusal(cell: Cell, settings: ImportanceSettings) -> str | None:
    """Return why the importance of the cell's connections cannot be measured, None if it can.

    Args:
        cell: the cell; of a structure that moves connections between layers, its configured numbers count.
        settings: how exactly it is measured.
    """
    if cell.model.name not in MODELS_WITH_IMPORTANCE:
        return (
            f"importance is measured of {', '.join(MODELS_WITH_IMPORTANCE)}, got {cell.model.name}; write the sweep "
            "into a file of its own, with importance: off"
        )
    counts = _connections(cell)
    judged = sum(counts if settings.sample is None else (min(count, settings.sample) for count in counts))
    if judged <= MOST_CONNECTIONS:
        return None
    given = "all connections" if settings.sample is None else f"sample: {settings.sample}"
    return (
        f"importance of {given} would set {judged:,} of the network's {sum(counts):,} connections to 0 one by one, of "
        f"at most {MOST_CONNECTIONS:,}; write importance: {{sample: {_largest_sample(counts)}}}, a number for each "
        "weight matrix or kernel"
    )


def _connections(cell: Cell) -> list[int]:
    """Return the number of connections of every weight at the end of the training."""
    model, counts = cell.model.masked_form(cell.task())
    counts = {**counts, **cell.structure.connections(cell.model, cell.task())}
    return [counts.get(weight.name, weight.size) for weight in model.weights(cell.task())]


def _largest_sample(counts: list[int]) -> int:
    """Return the largest sample of each weight, in hundreds, that stays below the limit."""
    samples = range(100, MOST_CONNECTIONS + 1, 100)
    return max(
        sample for sample in samples if sum(min(count, sample) for count in counts) <= MOST_CONNECTIONS
    )
