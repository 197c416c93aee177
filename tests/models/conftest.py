"""An independent count of a network's work: every operation that is run, by the convention of `Flops`."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from hornlib.kernels.route import loops
from hornlib.parameters import Flops

ONE_EACH = {"add", "add_", "sub", "rsub", "mul", "mul_", "div", "maximum", "tanh", "sigmoid", "sqrt", "relu"}
OF_INPUTS = {"mean", "sum", "avg_pool2d", "max_pool2d_with_indices"}
FREE = {
    "convolution",
    "mm",
    "bmm",
    "view",
    "_unsafe_view",
    "clone",
    "copy_",
    "cat",
    "stack",
    "split",
    "select",
}
FREE |= {
    "t",
    "transpose",
    "permute",
    "unsqueeze",
    "squeeze",
    "expand",
    "detach",
    "zeros_like",
    "empty",
    "alias",
}
FREE |= {"zeros", "unbind", "slice", "_to_copy", "new_zeros", "empty_like", "new_empty", "fill_", "unfold"}
OF_PARAMETERS = {"pow", "reciprocal", "exp"}


class ElementwiseCounter(TorchDispatchMode):
    """Counts what is not a product; refuses an operation that it does not know."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        first = out[0] if isinstance(out, (tuple, list)) else out
        if name in ONE_EACH:
            self.count += first.numel()
        elif name in OF_INPUTS:
            self.count += args[0].numel()
        elif name in {"addcmul", "addcmul_"} or "batch_norm" in name:
            self.count += 2 * first.numel()
        elif name == "native_group_norm":
            self.count += 5 * first.numel()
        elif name == "addmm" or (name == "convolution" and args[2] is not None):
            self.count += first.numel()
        else:
            assert name in FREE | OF_PARAMETERS, f"an operation that is not counted: {name}"
        return out


@pytest.fixture
def work_of_one_example():
    """Return a function that counts two batches and subtracts: work on the parameters alone drops out."""

    def measure(network, task):
        network.eval()
        counts = []
        for batch in (2, 3):
            inputs = torch.randn(batch, *task.input_shape)
            with loops(), torch.no_grad(), FlopCounterMode(display=False) as products:
                network(inputs)
            with loops(), torch.no_grad(), ElementwiseCounter() as elementwise:
                network(inputs)
            counts.append((products.get_total_flops(), elementwise.count))
        return Flops(counts[1][0] - counts[0][0], counts[1][1] - counts[0][1])

    return measure
