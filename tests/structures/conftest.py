"""Short trainings of networks that a structure changes."""

import pytest

from hornlib.grid.cell import parse_specification


@pytest.fixture
def short_cell():
    """Return a function that gives a cell of three epochs of four steps on digits."""

    def make(model, structure, optimizer="sgd", learning_rate=0.05):
        return parse_specification(
            {
                "data": {"name": "digits", "train_subset": 100, "validation": 0.2},
                "model": model,
                "structure": structure,
                "training": {
                    "epochs": 3,
                    "batch_size": 25,
                    "schedule": "constant",
                    "optimizer": optimizer,
                    "learning_rate": learning_rate,
                },
            }
        )

    return make
