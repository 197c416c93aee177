"""Prunable weights of common layers, which models list layer by layer; free of torch."""

from hornlib.parameters import Weight, WeightRole

__all__ = ["as_part", "convolution_weight", "linear_weight", "readout_weight"]


def linear_weight(
    name: str, num_inputs: int, num_outputs: int, layer: int, role: WeightRole, uses: int = 1
) -> Weight:
    """Return the matrix of a fully connected layer.

    Args:
        name: of the tensor in the network.
        num_inputs: columns.
        num_outputs: rows.
        layer: position of the layer.
        role: the input of a weight with the role `input` needs no gradient.
        uses: products of an example with it, such as the steps of a sequence.
    """
    return Weight(name, (num_outputs, num_inputs), layer, role, uses, 0 if role == "input" else uses)


def convolution_weight(
    name: str, num_inputs: int, num_outputs: int, kernel: int, positions: int, layer: int
) -> Weight:
    """Return the kernel of a convolution; that of layer 0 reads the example.

    Args:
        name: of the tensor in the network.
        num_inputs, num_outputs: channels.
        kernel: side of the square kernel, pixels.
        positions: pixels of the output, of all images that an example gives.
        layer: position of the layer.
    """
    shape = (num_outputs, num_inputs, kernel, kernel)
    role: WeightRole = "hidden" if layer else "input"
    return Weight(name, shape, layer, role, positions, positions if layer else 0)


def readout_weight(num_features: int, num_outputs: int, layer: int) -> Weight:
    """Return the matrix of `hornlib.models.readout.Readout`.

    Args:
        num_features: numbers of an example that reach the read-out.
        num_outputs: classes, or regressed components.
        layer: position of the read-out.
    """
    return linear_weight("readout.linear.weight", num_features, num_outputs, layer, "output")


def as_part(weights: list[Weight], prefix: str, layer: int) -> list[Weight]:
    """Return the weights of a network that is a part of another one and reads the output of trained layers.

    Args:
        weights: of the part, as if it stood alone.
        prefix: name of the part in the network.
        layer: position of its first layer.
    """
    return [
        weight._replace(
            name=f"{prefix}.{weight.name}",
            layer=layer + weight.layer,
            role="hidden" if weight.role == "input" else weight.role,
            backward_uses=weight.uses if weight.role == "input" else weight.backward_uses,
        )
        for weight in weights
    ]
