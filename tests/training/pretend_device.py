"""A pretend accelerator: its tensors compute on the CPU, and obey the rules of CUDA for what may meet what.

- A CPU tensor with dimensions beside a tensor of the device raises, as on a GPU. CPU scalars may meet any tensor.
- An index of the device on a CPU tensor raises. A CPU index on a tensor of the device is copied, and counted.
- Every kernel, copy and wait is counted with the line of hornlib that asked for it. Copies to the device block unless
  they are `non_blocking`. Copies and numbers from the device, and shapes that depend on numbers, wait for the device.
- What makes no kernel on a GPU is not counted: views, empty tensors, numbers of shapes. Each other call of torch counts
  as one kernel, though some, such as the backward pass of a convolution, take two or three on a GPU.

torch's `_setup_privateuseone_for_python_backend` makes the type of device known. A dispatch mode sees every call below
autograd and vmap. What cannot be had so: the numbers of cuDNN and cuBLAS, `torch.cuda`, and memory that runs out.
"""

import sys
from collections import Counter
from contextlib import ExitStack, contextmanager
from functools import cache
from types import SimpleNamespace
from unittest import mock

import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from hornlib.kernels import field as fields
from hornlib.kernels import field_c, route

TYPE = "pretend"
aten = torch.ops.aten

NO_KERNEL = {  # beside views: what only makes or describes tensors
    aten.empty.memory_format,
    aten.empty_strided.default,
    aten.empty_like.default,
    aten.new_empty.default,
    aten.new_empty_strided.default,
    aten.detach.default,
    aten.alias.default,
    aten._unsafe_view.default,
    aten._reshape_alias.default,
    aten.lift_fresh.default,
    aten.lift.default,
    aten.sym_size.int,
    aten.is_same_size.default,
    aten._local_scalar_dense.default,
}
WAITS = {  # their result, or its shape, is a number that the host needs
    aten._local_scalar_dense.default,
    aten.equal.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.is_nonzero.default,
}
COPIES = {aten._to_copy.default, aten.copy_.default}
INDEXING = {
    aten.index.Tensor,
    aten._unsafe_index.Tensor,
    aten.index_put_.default,
    aten.index_put.default,
    aten._index_put_impl_.default,
}


class PretendTensor(torch.Tensor):
    """A tensor of the pretend device; `numbers` holds its numbers on the CPU."""

    @staticmethod
    def __new__(cls, numbers):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            numbers.size(),
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device=torch.device(TYPE, 0),
        )

    def __init__(self, numbers):
        self.numbers = numbers

    def __repr__(self):
        return f"PretendTensor({self.numbers})"

    def tolist(self):
        return self.cpu().tolist()

    def __reduce_ex__(self, protocol):
        """Save the numbers, which a checkpoint reads back to the CPU, as those of any device."""
        return self.numbers.detach().__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, function, types, arguments=(), keywords=None):
        raise RuntimeError(f"{function}: a pretend tensor is used outside of `pretend_device()`")


class PretendDevice(TorchDispatchMode):
    """Computes for pretend tensors, checks placement, and counts.

    Attributes:
        kernels: calls by (line, name).
        blocking: copies and waits that block the host, by (line, name).
        copies: copies that do not block, by (line, name).
    """

    def __init__(self):
        super().__init__()
        self.kernels, self.blocking, self.copies = Counter(), Counter(), Counter()

    device = property(lambda self: torch.device(TYPE, 0))

    def reset(self):
        """Forget what was counted."""
        for counter in (self.kernels, self.blocking, self.copies):
            counter.clear()

    @classmethod
    def _should_skip_dynamo(cls):
        return False

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        keywords = dict(keywords or {})
        flat = tree_leaves((arguments, keywords))
        tensors = [part for part in flat if isinstance(part, torch.Tensor)]
        on_device = [tensor for tensor in tensors if isinstance(tensor, PretendTensor)]
        target = keywords.get("device")
        to_device = target is not None and torch.device(target).type == TYPE
        if not on_device and not to_device:
            return function(*arguments, **keywords)

        if function in COPIES:
            self._count_copy(function, arguments, keywords)
            result_on_device = isinstance(arguments[0], PretendTensor) if target is None else to_device
        else:
            self._check(function, arguments, tensors, on_device)
            result_on_device = True
        on_cpu_arguments, on_cpu_keywords = _on_cpu((arguments, keywords))
        if target is not None:
            on_cpu_keywords["device"] = torch.device("cpu")
        result = function(*on_cpu_arguments, **on_cpu_keywords)
        if not result_on_device:
            return result
        changed = {id(tensor.numbers): tensor for tensor in on_device}  # calls in place return their argument
        return tree_map_only(
            torch.Tensor,
            lambda part: changed[id(part)] if id(part) in changed else PretendTensor(part),
            result,
        )

    def _count_copy(self, function, arguments, keywords):
        """Count a call of `_to_copy` or `copy_`, which may stay on the device."""
        first = arguments[0]
        if function is aten.copy_.default:
            source, target = (isinstance(part, PretendTensor) for part in (arguments[1], first))
            non_blocking = keywords.get("non_blocking", len(arguments) > 2 and arguments[2])
        else:
            source, device = isinstance(first, PretendTensor), keywords.get("device")
            target = source if device is None else torch.device(device).type == TYPE
            non_blocking = keywords.get("non_blocking", False)
        if source == target:
            self.kernels[_line(), _name(function)] += 1
        elif target and non_blocking:
            self.copies[_line(), "to the device"] += 1
        else:
            self.blocking[_line(), "to the device" if target else "from the device"] += 1

    def _check(self, function, arguments, tensors, on_device):
        """Raise where tensors may not meet; count the kernel and what blocks."""
        elsewhere = [tensor for tensor in tensors if not isinstance(tensor, PretendTensor)]
        if function in INDEXING:
            indices = [index for index in arguments[1] if index is not None]
            if not isinstance(arguments[0], PretendTensor):
                raise RuntimeError(f"{function}: indices should be on the CPU, as the indexed tensor is")
            copied = [index for index in indices if not isinstance(index, PretendTensor)]
            if copied:
                self.blocking[_line(), "a CPU index"] += len(copied)
            if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
                self.blocking[_line(), "a mask as index"] += 1
            elsewhere = [tensor for tensor in elsewhere if not any(tensor is index for index in copied)]
        if on_device and any(tensor.dim() for tensor in elsewhere):
            shapes = ", ".join(str(tuple(tensor.shape)) for tensor in elsewhere)
            raise RuntimeError(
                f"{function}: expected all tensors on one device, but some are on the CPU: {shapes}"
            )
        if function in WAITS:
            self.blocking[_line(), _name(function)] += 1
        if not (function in NO_KERNEL or function.is_view):
            self.kernels[_line(), _name(function)] += 1


@contextmanager
def pretend_device():
    """Yield the pretend device; its tensors can be used within the block."""
    _register()
    device = PretendDevice()
    with ExitStack() as stack:
        # Numbers such as those of torch.tensor(..., device=) are then made on the CPU and copied, as for a GPU.
        torch._C._set_only_lift_cpu_tensors(True)
        stack.callback(torch._C._set_only_lift_cpu_tensors, False)
        stack.enter_context(mock.patch("torch.inference_mode", _no_grad))  # subclasses know no inference mode
        stack.enter_context(torch.autograd.set_multithreading_enabled(False))  # a mode belongs to its thread
        stack.enter_context(device)
        yield device


@contextmanager
def fused_fields(device):
    """Compute fields on the pretend device as a GPU does: each in one call.

    The CPU's fused field computes the numbers. It counts as one kernel forward, and as two backward, since a GPU adds
    up the gradients of the constants in a second one.

    Args:
        device: the pretend device.
    """

    def forward(drive, constants, options):
        device.kernels[_line(), "field forward"] += 1
        return PretendTensor(field_c.forward(*_on_cpu((drive, constants)), options))

    def backward(gradient, drive, constants, options, learned):
        device.kernels[_line(), "field backward"] += 2
        result = field_c.backward(*_on_cpu((gradient, drive, constants)), options, learned)
        return tree_map_only(torch.Tensor, PretendTensor, result)

    def obstacle(library, kind, real="float"):
        return "" if (library, kind) == ("field", TYPE) else "not on the pretend device"

    module = SimpleNamespace(forward=forward, backward=backward)
    with (
        mock.patch.dict(sys.modules, {"pretend_fields": module}),
        mock.patch.dict(fields.BACKENDS, {TYPE: "pretend_fields"}),
        mock.patch.object(route, "obstacle", obstacle),
    ):
        yield


def _on_cpu(tree):
    return tree_map_only(PretendTensor, lambda tensor: tensor.numbers, tree)


@contextmanager
def _no_grad(mode=True):
    with torch.no_grad():
        yield


@cache
def _register():
    """Make the type of device known to torch, once in a process."""
    module = backend_registration._DummyBackendModule()
    module.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]
    backend_registration._setup_privateuseone_for_python_backend(TYPE, module)


def _name(function):
    return function.name().removeprefix("aten::")


def _line():
    """Return the line of hornlib that makes the present call, such as training/loop.py:91."""
    frame = sys._getframe(1)
    while frame is not None:
        _, folder, path = frame.f_code.co_filename.rpartition("/hornlib/")
        if folder and "/tests/" not in frame.f_code.co_filename:
            return f"{path}:{frame.f_lineno}"
        frame = frame.f_back
    return "outside of hornlib"
