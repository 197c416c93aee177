"""A convolutional network reads handwritten digits: classification as an optimisation problem.

    min 1/N sum_i -log softmax(F(u_i))[s_i] over (K_l, b_l, W, c),
    F(u) = W mean_pixels(y_L) + c,  y_{l+1} = relu(norm(K_l * pool(y_l))),  y_0 = u

python examples/cnn_digits.py        # half a minute
python examples/cnn_digits.py 20     # steps of training
"""

import sys

import torch

from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk

steps = int((sys.argv[1:] or ["300"])[0])
problem = parse_specification(
    {
        "data": {"name": "digits"},
        "model": {"name": "cnn", "channels": "16-32-64"},
        "training": {"steps": steps, "batch_size": 64, "learning_rate": 1e-2},
    }
)
chunk = start_chunk(problem, seeds=[0, 1, 2], device=torch.device("cpu"))
train_chunk(
    chunk,
    load(problem.data, "cpu"),
    report=lambda progress: print(f"step {progress.step}: accuracy {progress.metric:.3f}"),
)

accuracies = chunk.curves["test_metric"][:, -1]
print("test accuracy of each seed:", *(f"{accuracy:.3f}" for accuracy in accuracies))
