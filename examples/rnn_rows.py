"""Recurrent networks read a digit row by row: weights shared over time, tanh against GRU and LSTM.

    min 1/N sum_i -log softmax(W h_T(u_i) + c)[s_i] over (A, B, b, W, c),   h_t = tanh(A u_t + B h_{t-1} + b),  h_0 = 0

python examples/rnn_rows.py      # half a minute
python examples/rnn_rows.py 10   # steps of training
"""

import sys

import torch

from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk

steps = int((sys.argv[1:] or ["300"])[0])

accuracies = {}
for unit in ("tanh", "gru", "lstm"):
    problem = parse_specification(
        {
            "data": {"name": "digits", "presentation": "rows"},  # 8 time steps of 8 pixels
            "model": {"name": "rnn", "unit": unit, "num_nodes": 32},
            "training": {"steps": steps, "batch_size": 64, "learning_rate": 1e-2},
        }
    )
    chunk = start_chunk(problem, seeds=[0, 1, 2], device=torch.device("cpu"))
    train_chunk(chunk, load(problem.data, "cpu"))
    accuracies[unit] = chunk.curves["test_metric"][:, -1]
    numbers = problem.model.num_parameters(problem.task())
    print(
        f"{unit:4} ({numbers} parameters), test accuracy:",
        *(f"{accuracy:.3f}" for accuracy in accuracies[unit]),
    )
