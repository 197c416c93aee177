"""What a cell may say of a model whose topology evolves without gradients."""

from collections.abc import Iterator

from hornlib.config.messages import spelled
from hornlib.grid.cell import Cell
from hornlib.parameters import ModelParameters

__all__ = ["EVOLUTION_KEYS", "evolution_refusals", "match_refusal"]

EVOLUTION_KEYS = ("epochs", "steps", "batch_size", "evaluate_at_epochs", "evaluation_examples")
"""Parameters of training that mean something to evolution. A step is one generation, and a batch is the training
examples that a generation is evaluated on."""


def evolution_refusals(cell: Cell) -> Iterator[str]:
    """Yield what means nothing to a cell that evolves: of training, data and structure; nothing for other cells."""
    if cell.model.trainer != "evolution":
        return
    model, training = cell.model.name, cell.training
    for key in training.changed():
        if key not in EVOLUTION_KEYS:
            default = type(training).model_fields[key].default
            yield (
                f"training.{key}: {spelled(training.canonical()[key])} means nothing to {model}, which evolves without "
                f"gradients; leave it out, or give its default: {spelled(default)}. Valid here: "
                f"{', '.join(EVOLUTION_KEYS)}"
            )
    if cell.structure.name != "static":
        yield (
            f"structure: {cell.structure.name} does not fit {model}, whose topology evolves; leave it out, or write "
            "structure: {name: static}"
        )
    if cell.data.augmentation != "none":
        yield f"data.augmentation: {cell.data.augmentation} means nothing to {model}; give none"


def match_refusal(model: ModelParameters) -> str | None:
    """Return why a model can neither be matched nor be matched to, or None.

    Args:
        model: of either arm.
    """
    if model.trainer != "evolution":
        return None
    return (
        f"{model.name} has no size before it is trained: its networks grow by mutations; take `match` out, or match to "
        "another arm"
    )
