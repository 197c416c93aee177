"""What modules of a network read while it runs."""

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["inputs_of_modules"]


def inputs_of_modules(
    network: nn.Module, modules: Sequence[nn.Module], inputs: Tensor
) -> dict[nn.Module, Tensor]:
    """Return module -> its first argument in a pass of the network, of any shape (...).

    Args:
        network: in evaluation mode.
        modules: of the network, each called once in a pass.
        inputs: of the examples, (examples, ...).
    """
    seen: dict[nn.Module, Tensor] = {}

    def note(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        seen[module] = arguments[0]

    handles = [module.register_forward_pre_hook(note) for module in dict.fromkeys(modules)]
    try:
        network(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return seen
