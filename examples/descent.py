"""Four ways down the same loss: gradient descent, stochastic, mini-batch, and Adam, over equally many examples.

    theta <- theta - eta grad 1/|B| sum_{i in B} loss(F(u_i), s_i),   B: all examples, one, 64;   Adam: by moments

python examples/descent.py       # half a minute
python examples/descent.py 1     # passes over the training set
"""

import sys

import torch

from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk

epochs = int((sys.argv[1:] or ["5"])[0])
plain = {
    "optimizer": "sgd",
    "momentum": 0.0,
    "acceleration": "none",
    "schedule": "constant",
    "epochs": epochs,
}
WAYS = {
    "gradient descent": {
        **plain,
        "batch_size": 10_000,
        "learning_rate": 0.5,
    },  # more than there are: full batch
    "stochastic": {**plain, "batch_size": 1, "learning_rate": 0.01},
    "mini-batch": {**plain, "batch_size": 64, "learning_rate": 0.5},
    "Adam": {
        "optimizer": "adamw",
        "schedule": "constant",
        "epochs": epochs,
        "batch_size": 64,
        "learning_rate": 0.01,
    },
}

losses, updates = {}, {}
for way, training in WAYS.items():
    model = {"name": "mlp", "hidden_nodes": 32, "readout_norm": "none"}
    problem = parse_specification({"data": {"name": "digits"}, "model": model, "training": training})
    chunk = start_chunk(problem, seeds=[0, 1, 2], device=torch.device("cpu"))
    train_chunk(chunk, load(problem.data, "cpu"))
    losses[way], updates[way] = chunk.curves["validation_loss"][:, -1].nanmedian().item(), chunk.step
    print(
        f"{way:16}: {updates[way]:5} updates, median validation loss {losses[way]:.3f}, {chunk.seconds:.1f} s"
    )
