"""A ResNet as a discretised differential equation: depth, time steps and the horizon, fixed and learned.

    min 1/N sum_i loss(W y_L(u_i), s_i) + lambda (sum_l tau_l - T)^2 over (K_l, b_l, W) and, where learned, tau,
    y_{l+1} = y_l + tau_l relu(K_l y_l + b_l),  y_1 = tau_0 relu(K_0 u + b_0)

python examples/resnet_depth.py      # a minute
python examples/resnet_depth.py 10   # steps of training
"""

import sys

import torch

from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk

steps = int((sys.argv[1:] or ["200"])[0])
training = {"steps": steps, "batch_size": 64, "optimizer": "sgd", "learning_rate": 1e-2}


def arms(depth: int) -> dict[str, dict]:
    """Return how time may pass in so many layers: fixed at T = 1, fixed at T = depth, learned, held to T = 1."""
    return {
        "fixed, T = 1": {"layer_steps": "fixed"},
        "fixed, T = L": {
            "layer_steps": "fixed",
            "initial_horizon": float(depth),
        },  # tau = 1, the ordinary ResNet
        "learned": {"layer_steps": "learned"},
        "learned, lambda = .5": {"layer_steps": "learned", "horizon_penalty": 0.5},
    }


accuracies, horizons = {}, {}
for depth in (2, 4, 8, 16):
    for label, arm in arms(depth).items():
        model = {"name": "time_resnet", "num_layers": depth, "num_nodes": 32, "readout_norm": "none", **arm}
        problem = parse_specification({"data": {"name": "digits"}, "model": model, "training": training})
        chunk = start_chunk(problem, seeds=[0, 1, 2], device=torch.device("cpu"))
        train_chunk(chunk, load(problem.data, "cpu"))
        accuracies[depth, label] = chunk.curves["test_metric"][:, -1].nanmedian().item()
        horizons[depth, label] = chunk.curves["horizon"][:, -1].nanmedian().item()
        print(
            f"{depth:3} layers, tau {label:20}: median test accuracy {accuracies[depth, label]:.3f}, "
            f"horizon {horizons[depth, label]:.2f}"
        )
