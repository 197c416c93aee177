"""A Fractional-DNN remembers all its layers: regression of MATLAB's peaks, with time steps held positive.

    min 1/N sum_i |W y_L(u_i) + c - s_i|^2 over (K_l, b_l, W, c, tau) subject to tau_l >= 1e-4,
    D^gamma y = softplus(K y + b) in depth: the explicit L1 scheme, the ResNet at gamma = 1

python examples/fractional_peaks.py      # a minute
python examples/fractional_peaks.py 10   # steps of training
"""

import sys

import torch

from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk

steps = int((sys.argv[1:] or ["500"])[0])
training = {"steps": steps, "batch_size": 500, "learning_rate": 1e-2, "evaluation_examples": 500}

errors, layer_steps = {}, {}
for gamma in (0.3, 0.6, 1.0):
    for kind in ("fixed", "projected"):
        model = {
            "name": "fractional_dnn",
            "fractional_order": gamma,
            "layer_steps": kind,
            "num_layers": 4,
            "num_nodes": 32,
            "activation": "softplus",
            "readout_norm": "none",
        }
        problem = parse_specification({"data": {"name": "peaks"}, "model": model, "training": training})
        chunk = start_chunk(problem, seeds=[0, 1, 2], device=torch.device("cpu"))
        train_chunk(chunk, load(problem.data, "cpu"))
        errors[gamma, kind] = chunk.curves["test_metric"][:, -1].nanmedian().item()
        layer_steps[gamma, kind] = chunk.profiles["layer_step"][0, -1]
        print(
            f"gamma {gamma:g}, tau {kind:9}: median relative L2 error of the test set {errors[gamma, kind]:.4f}; "
            f"tau of seed 0: {', '.join(f'{tau:.2f}' for tau in layer_steps[gamma, kind])}"
        )
