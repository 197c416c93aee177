"""A feed-forward network learns sin x: regression as an optimisation problem, solved by the one training loop.

    min 1/N sum_i |F(u_i) - s_i|^2 over (K_l, b_l, W),   F(u) = W y_L,  y_{l+1} = tanh(K_l y_l + b_l),  y_0 = u

python examples/fnn_sine.py          # some twenty seconds
python examples/fnn_sine.py 100      # steps of training
"""

import sys

import torch

from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk

steps = int((sys.argv[1:] or ["2000"])[0])
problem = parse_specification(
    {
        "data": {"name": "sine"},  # u and s, and with them the loss: the mean squared error
        "model": {"name": "mlp", "hidden_nodes": "32-32", "activation": "tanh", "readout_norm": "none"},  # F
        "training": {
            "steps": steps,
            "batch_size": 100,
            "learning_rate": 1e-2,
            "evaluation_examples": 500,
        },  # Adam
    }
)
chunk = start_chunk(problem, seeds=[0, 1, 2], device=torch.device("cpu"))
train_chunk(
    chunk,
    load(problem.data, "cpu"),
    report=lambda progress: print(f"step {progress.step}: loss {progress.loss:.5f}"),
)

errors = chunk.curves["test_metric"][:, -1]
print("relative L2 error of the test set of each seed:", *(f"{error:.4f}" for error in errors))
