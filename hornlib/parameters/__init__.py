"""What config.yaml may say: frozen, checked parameter classes, free of torch."""

from hornlib.parameters.base import (
    Cost,
    Flops,
    ModelParameters,
    Parameters,
    RecurrenceKernel,
    Task,
    UnitAxis,
    Value,
    Weight,
    WeightRole,
    Widths,
)

__all__ = [
    "Cost",
    "Flops",
    "ModelParameters",
    "Parameters",
    "RecurrenceKernel",
    "Task",
    "UnitAxis",
    "Value",
    "Weight",
    "WeightRole",
    "Widths",
]
