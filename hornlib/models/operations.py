"""Floating-point operations, counted while a network runs: products and elementwise work separately."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from hornlib.kernels.route import loops
from hornlib.parameters import Flops, Task

__all__ = [
    "FREE",
    "PER_INPUT",
    "PER_OUTPUT",
    "PRODUCTS",
    "Work",
    "WorkCounter",
    "forward_work",
    "training_work",
]


def _convolution(inputs: Tensor, weight: Tensor, out: Tensor, transposed: bool) -> int:
    return 2 * (inputs if transposed else out).numel() * weight[0].numel()


PRODUCTS: dict[str, Callable[..., int]] = {
    "mm": lambda out, a, b: 2 * a.numel() * b.shape[-1],
    "bmm": lambda out, a, b: 2 * a.numel() * b.shape[-1],
    "addmm": lambda out, bias, a, b: 2 * a.numel() * b.shape[-1],
    "baddbmm": lambda out, bias, a, b: 2 * a.numel() * b.shape[-1],
    "convolution": lambda out, inputs, weight, *rest: _convolution(inputs, weight, out, rest[4]),
    # Sums of rows, weighted by the connections of a sparse matrix; and a product at its connections alone.
    "_embedding_bag_forward_only": lambda out, rows, indices, *rest: 2 * indices.numel() * rows.shape[1],
    "sparse_sampled_addmm": lambda out, sparse, a, b: 2 * sparse.values().numel() * a.shape[1],
    # As many for the input and for the weight as forward. torch.utils.flop_counter ignores groups here.
    "convolution_backward": lambda out, gradient, inputs, weight, *rest: (
        sum(rest[-1][:2]) * _convolution(inputs, weight, gradient, rest[4])
    ),
}
"""FLOPs of matrix products and convolutions, 2 for each multiply-accumulate, without bias."""

_ONE = [
    "add", "sub", "rsub", "mul", "div", "neg", "abs", "sign", "sgn", "maximum", "minimum", "relu", "threshold",
    "clamp_min", "clamp_max", "tanh", "sigmoid", "exp", "log", "log1p", "expm1", "sqrt", "rsqrt", "reciprocal", "pow",
    "square", "sin", "cos", "erf", "cumsum",
]  # fmt: skip

PER_OUTPUT: dict[str, int] = {
    **dict.fromkeys(_ONE, 1),  # one arithmetic operation for each number, also for transcendental functions
    "addcmul": 2,
    "addcdiv": 2,
    "lerp": 3,
    "leaky_relu": 2,  # max(x, a x)
    "elu": 3,  # scale, alpha, expm1
    "silu": 2,  # x sigma(x)
    "softplus": 2,  # log1p(exp(x))
    "hardtanh": 2,  # maximum and minimum
    "hardshrink": 2,  # magnitude and comparison
    "hardsigmoid": 4,  # clamp(x + 3, 0, 6) / 6
    "hardswish": 5,  # x clamp(x + 3, 0, 6) / 6
    "gelu": 5,  # x (1 + erf(x / sqrt 2)) / 2
    # Derivatives: each is a product of the gradient with the given expression.
    "threshold_backward": 1,
    "leaky_relu_backward": 1,
    "hardtanh_backward": 1,
    "hardsigmoid_backward": 1,
    "tanh_backward": 3,  # 1 - y^2
    "sigmoid_backward": 3,  # y (1 - y)
    "elu_backward": 3,  # a constant times exp(x)
    "hardswish_backward": 3,  # x / 3 + 1/2
    "softplus_backward": 4,  # sigma(x) = e^x / (1 + e^x)
    "silu_backward": 6,  # s (1 + x (1 - s)), s = sigma(x)
    "gelu_backward": 11,  # Phi(x) + x phi(x)
    "avg_pool2d_backward": 1,
    "_adaptive_avg_pool2d_backward": 1,
}
"""FLOPs for each number of the result."""

PER_INPUT: dict[str, int] = {
    **dict.fromkeys(("sum", "mean", "amax", "amin"), 1),
    **dict.fromkeys(("avg_pool2d", "_adaptive_avg_pool2d"), 1),
    **dict.fromkeys(("max_pool2d_with_indices", "max_pool2d_with_indices_backward"), 1),
    "linalg_vector_norm": 2,  # square and sum; the root is added elsewhere
    # Normalisation by statistics of the batch: sum, square, sum; multiply, add.
    "native_group_norm": 5,
    "native_layer_norm": 5,
    # Two sums, one of them of a product; then a g + b x + c with three numbers for each channel.
    "batch_norm_backward": 7,
    "native_group_norm_backward": 7,
    "native_layer_norm_backward": 7,
    "_softmax": 5,  # maximum, difference, exp, sum, quotient
    "_log_softmax": 5,
    "_softmax_backward_data": 4,  # product, sum, product, difference
    "_log_softmax_backward_data": 4,
}
"""FLOPs for each number of the first argument."""

FREE: frozenset[str] = frozenset({
    "clone", "copy", "_to_copy", "_unsafe_view", "empty", "empty_like", "empty_strided", "new_empty",
    "new_empty_strided", "zeros", "zeros_like", "new_zeros", "ones", "ones_like", "new_ones", "full",
    "full_like", "new_full", "scalar_tensor", "lift_fresh", "fill", "zero", "cat", "stack", "gather", "index",
    "index_select", "index_put", "scatter", "slice_backward", "select_backward", "unfold_backward",
    "constant_pad_nd", "flip", "roll", "repeat", "where", "masked_fill", "tril", "triu", "channel_shuffle",
    "native_channel_shuffle", "nll_loss_forward", "nll_loss_backward", "sparse_compressed_tensor",
})  # fmt: skip
"""Operations that move, create or select numbers without arithmetic. Views are recognised in another way."""


class WorkCounter(TorchDispatchMode):
    """Context manager that sums the FLOPs of all operations within it, on any device.

    Recurrences run as loops within it, since the work of a fused kernel, which is one call, cannot be seen. Numbers
    that are not floating-point cost nothing.

    Attributes:
        products: FLOPs of matrix products and convolutions, without bias.
        elementwise: FLOPs of everything else.
        unknown: names of floating-point operations in none of the tables; each counts 1 for each number of the result.
    """

    def __init__(self) -> None:
        super().__init__()
        self.products = 0
        self.elementwise = 0
        self.unknown: set[str] = set()

    def __enter__(self) -> Self:
        """Start to count."""
        self._route = loops()
        self._route.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Stop to count."""
        super().__exit__(*error)
        self._route.__exit__(*error)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: torch would otherwise load its compiler at the first operation, which takes 2 s and 150 MB.

        Nothing here is ever compiled. This is torch's own hook, which its documentation names.
        """
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the operation, then count it."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = _counted_name(func)
        if name in PRODUCTS:
            self.products += PRODUCTS[name](out, *args)
            self.elementwise += _added_to_product(name, args, out)
        elif name is not None:
            self.elementwise += self._elementwise(name, args, kwargs, out)
        return out

    def _elementwise(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> int:
        results = _numel(args[0] if out is None else out)  # in-place operations on lists return None
        if name in PER_OUTPUT:
            return (PER_OUTPUT[name] + _scales(name, args, kwargs)) * results
        if name in PER_INPUT:
            return PER_INPUT[name] * _numel(args[0]) + (name == "linalg_vector_norm") * results
        if name == "clamp":
            return sum(bound is not None for bound in (*args[1:], *kwargs.values())) * results
        if name == "batch_norm":  # statistics of the batch, or an affine map with those that are kept
            return (5 if any(flag is True for flag in args) else 2) * results
        if results:
            self.unknown.add(name)
        return results


class Work(NamedTuple):
    """FLOPs of one pass over a batch.

    Attributes:
        example: FLOPs for each example.
        shared: FLOPs on the parameters alone, once for each batch.
        unknown: names of operations that are in none of the tables.
    """

    example: Flops
    shared: Flops
    unknown: frozenset[str]

    def of_batch(self, batch_size: int) -> Flops:
        """Return the work of a whole batch."""
        return Flops(
            *(batch_size * example + once for example, once in zip(self.example, self.shared, strict=True))
        )


def forward_work(network: nn.Module, task: Task) -> Work:
    """Return the FLOPs of a forward pass in evaluation mode, counted while it runs.

    Args:
        network: any network whose FLOPs are affine in the batch size; it is not changed.
        task: shape of its input.
    """

    def run(network: nn.Module, batch_size: int) -> None:
        with torch.no_grad():
            network(torch.zeros(batch_size, *task.input_shape))

    return _measure(copy.deepcopy(network).eval(), run)


def training_work(network: nn.Module, task: Task) -> Work:
    """Return the FLOPs of forward pass, loss and backward pass in training mode, counted while they run.

    The loss is the mean cross-entropy, plus the network's own `penalty()` if it has one.

    Args:
        network: any network whose FLOPs are affine in the batch size; it is not changed.
        task: shapes of inputs and outputs.
    """

    def run(network: nn.Module, batch_size: int) -> None:
        logits = network(torch.zeros(batch_size, *task.input_shape))
        targets = torch.zeros(batch_size, dtype=torch.int64)
        loss = nn.functional.cross_entropy(logits, targets, reduction="none").mean()
        penalty = getattr(network, "penalty", None)
        if penalty is not None:
            loss = loss + penalty()
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        torch.autograd.grad(loss, trained, allow_unused=True)

    return _measure(copy.deepcopy(network).train(), run)


def _measure(network: nn.Module, run: Callable[[nn.Module, int], None]) -> Work:
    """Return the FLOPs from counts of a batch of two and of a batch of three; their difference is one example's.

    Such small batches take little time on the CPU. The meta device, which calculates nothing, takes eight times as long
    for recurrent networks, since every operation passes through Python.
    """
    network = network.cpu()
    counters = [WorkCounter(), WorkCounter()]
    with torch.random.fork_rng(devices=[]), _without_compiled_kernels():
        for counter, batch_size in zip(counters, (2, 3), strict=True):
            with counter:
                run(network, batch_size)
    two, three = (Flops(counter.products, counter.elementwise) for counter in counters)
    example = Flops(three.products - two.products, three.elementwise - two.elementwise)
    shared = Flops(two.products - 2 * example.products, two.elementwise - 2 * example.elementwise)
    return Work(example, shared, frozenset(counters[0].unknown))


@contextmanager
def _without_compiled_kernels() -> Iterator[None]:
    """Run convolutions without oneDNN, which compiles kernels for every new shape: they take longer than the counts."""
    onednn: Any = torch.backends.mkldnn
    enabled, onednn.enabled = onednn.enabled, False
    try:
        yield
    finally:
        onednn.enabled = enabled


@lru_cache(maxsize=4096)
def _counted_name(func: Any) -> str | None:
    """Return an operation's name without its variant (add for add_, add.out, _foreach_add_); None if it is free."""
    name = func.overloadpacket.__name__.removeprefix("_foreach_").removesuffix("_")
    if func.is_view or name in FREE:
        return None
    if "batch_norm" in name:  # one name for all libraries
        return "batch_norm_backward" if "backward" in name else "batch_norm"
    return name


def _numel(values: Any) -> int:
    """Return the count of floating-point numbers in a tensor, in a list of tensors, or in the first of a tuple."""
    if isinstance(values, Tensor):
        return values.numel() if values.is_floating_point() else 0
    if isinstance(values, tuple):
        return _numel(values[0])
    return sum(map(_numel, values)) if isinstance(values, Iterable) else 0


def _scales(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a sum multiplies its second term first (add's alpha, addcmul's value); a sign is free."""
    value = args[3] if name in ("addcmul", "addcdiv") and len(args) > 3 else kwargs.get("value", 1)
    return kwargs.get("alpha", value) not in (1, -1)


def _added_to_product(name: str, args: tuple[Any, ...], out: Any) -> int:
    """Return the FLOPs of the sum that belongs to a product: a bias, or the gradient of a bias."""
    if name in ("addmm", "baddbmm") or (name == "convolution" and args[2] is not None):
        return _numel(out)
    return _numel(args[0]) if name == "convolution_backward" and args[-1][2] else 0
