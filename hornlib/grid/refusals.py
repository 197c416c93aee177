"""What the sections of a cell tell together: reasons why it cannot be trained, and what may go wrong."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import count, pairwise

from hornlib.data.parameters import DataParameters
from hornlib.grid.cell import Cell
from hornlib.grid.evolution import evolution_refusals
from hornlib.grid.starting import unfit_starts
from hornlib.parameters import ModelParameters, Task
from hornlib.parameters.structure import Course
from hornlib.parameters.training import TrainingParameters

__all__ = ["course_of", "presentation_refusal", "refusals", "warnings"]


def refusals(cell: Cell) -> list[str]:
    """Return reasons why the cell cannot be trained, each one sentence; empty if none."""
    presentation = presentation_refusal(cell.model, cell.data)
    if presentation is not None:
        return [presentation]
    problems, _ = _judged(cell.model, cell.task())
    if problems:
        return problems
    return [
        *evolution_refusals(cell),
        *cell.structure.problems(cell.model, cell.task(), course_of(cell)),
        *unfit_starts(cell),
        *_optimizer_refusals(cell),
        *_schedule_refusals(cell),
        *_batch_refusals(cell),
    ]


def warnings(cell: Cell) -> list[str]:
    """Return predictions of trouble of a cell that has no refusals, each one sentence."""
    return _judged(cell.model, cell.task())[1]


def presentation_refusal(model: ModelParameters, data: DataParameters) -> str | None:
    """Return why the model does not take the data, or None. Its counts exist only for data that it takes.

    Args:
        model: parameters of the model.
        data: the dataset and its presentation.
    """
    if data.presentation in model.presentations:
        return None
    return (
        f"{model.name} does not take the presentation {data.presentation!r} of {data.name}; "
        f"valid: {', '.join(model.presentations)}"
    )


@lru_cache(maxsize=65536)
def _judged(model: ModelParameters, task: Task) -> tuple[list[str], list[str]]:
    """Return problems and warnings; many cells share model and task, and differ in training."""
    try:
        problems = model.problems(task)
        if problems:
            return problems, []
        model.derived(task)
        return [], model.warnings(task)
    except ArithmeticError as error:
        return [f"{model.name}: the values leave what a float can hold ({error}); give milder ones"], []


def course_of(cell: Cell) -> Course:
    """Return the part of a cell's training that its structure depends on."""
    training, num_train = cell.training, cell.data.num_train
    per_epoch = training.steps_per_epoch(num_train)
    has_constant_rate = training.schedule == "constant" and not training.warmup_steps
    epochs = training.total_steps(num_train) / per_epoch
    evaluated = training.evaluation_steps(num_train)
    longest_pause = max(after - before for before, after in pairwise([0, *evaluated]))
    batch_size = min(training.batch_size, num_train)
    return Course(epochs, per_epoch, cell.data.num_validation, has_constant_rate, longest_pause, batch_size)


def _optimizer_refusals(cell: Cell) -> Iterator[str]:
    """Yield why beta_lasso, which sets entries of dense weights to 0, does not fit the model or the structure."""
    if cell.training.optimizer != "beta_lasso":
        return
    structure, factor = cell.structure, cell.training.threshold_factor
    if structure.adds_weights:
        words = [f"{key}: {getattr(structure, key)}" for key in ("name", "rule") if hasattr(structure, key)]
        yield (
            f"training.optimizer: beta_lasso keeps a weight at 0 unless one step moves it by more than {factor:g} "
            f"times l1, and structure: {{{', '.join(words)}}} adds weights that start at 0 or near it; give another "
            "optimizer, or a structure that takes weights away only"
        )
    is_compressed = getattr(structure, "storage", "masked") == "compressed"
    if is_compressed or cell.model.masked_form(cell.task())[1]:
        yield (
            "training.optimizer: beta_lasso sets entries of dense weights to 0, and "
            f"{'structure.storage: compressed' if is_compressed else 'model.connections'} stores connections alone; "
            f"{'give structure.storage: masked' if is_compressed else 'leave model.connections out'}"
        )


def _schedule_refusals(cell: Cell) -> Iterator[str]:
    """Yield what stands beyond the end of training."""
    training, num_train = cell.training, cell.data.num_train
    last, per_epoch = training.total_steps(num_train), training.steps_per_epoch(num_train)
    beyond = [epoch for epoch in training.evaluate_at_epochs or () if epoch * per_epoch > last]
    if beyond:
        yield (
            f"training.evaluate_at_epochs: epoch {beyond[0]} ends at step {beyond[0] * per_epoch}, and training "
            f"{_end(training, last)}; take it out, or train longer"
        )
    if training.warmup_steps >= last:
        yield (
            f"training.warmup_steps: got {training.warmup_steps}, but training {_end(training, last)}, before the "
            f"schedule begins; at most {last - 1}"
        )


def _end(training: TrainingParameters, last: int) -> str:
    return f"ends at step {last}" + ("" if training.steps else f" (epochs: {training.epochs})")


def _batch_refusals(cell: Cell) -> Iterator[str]:
    """Yield why batch norm would meet a batch of one example, which has no variance."""
    training, num_train = cell.training, cell.data.num_train
    norms = [key for key in ("normalisation", "readout_norm") if getattr(cell.model, key, None) == "batch"]
    if not norms or _smallest_batch(training, num_train, training.batch_size) > 1:
        return
    reason = f"{norms[0]}: batch needs at least 2 examples in every batch"
    if num_train == 1:
        yield f"data.train_subset: got 1, and {reason}"
        return
    working = (
        next((size for size in sizes if _smallest_batch(training, num_train, size) > 1), None)
        for sizes in (range(training.batch_size - 1, 1, -1), count(training.batch_size + 1))
    )
    near = " or ".join(str(size) for size in working if size is not None)
    yield (
        f"training.batch_size: got {training.batch_size}, which leaves a batch of 1 of the {num_train} training "
        f"examples, and {reason}; give {near}"
    )


def _smallest_batch(training: TrainingParameters, num_train: int, batch_size: int) -> int:
    """Return the examples of the smallest batch; an epoch's last one counts only if training gets that far."""
    if batch_size >= num_train:
        return num_train
    rest = num_train % batch_size
    reached = training.steps is None or training.steps > num_train // batch_size
    return rest if rest and reached else batch_size
