"""Forward passes that record the states of every layer and accept nudges; the numbers are those of the network."""

from collections.abc import Callable, Iterable, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hornlib.dynamics.probes.units import FirstOrder, Gru, Lstm, Oscillators, States, Step, Unit
from hornlib.dynamics.probes.walking import Trace, feed_forward, walk
from hornlib.models.cnn.network import Cnn
from hornlib.models.cnn_horn.network import CnnHorn
from hornlib.models.horn.network import HORN
from hornlib.models.horn_cnn.network import HornCnn, OscillatorStage
from hornlib.models.layout import channels_last
from hornlib.models.leaky_cnn.network import LeakyCnn, LeakyStage
from hornlib.models.mlp.network import Mlp
from hornlib.models.recurrent_cnn import RecurrentCnn, RecurrentStage
from hornlib.models.rnn.network import RecurrentLayer, Rnn
from hornlib.models.shallow.network import Shallow
from hornlib.models.time_variable.network import FractionalDnn, TimeDensenet, TimeResnet, TimeVariableNetwork
from hornlib.models.vgg.network import Vgg

__all__ = ["UNTRACED", "LayerTraces", "Nudges", "is_traced", "trace"]

Nudges = Mapping[str, States]
"""Layer -> tensors that are added to its states; see `hornlib.dynamics.probes.walking.walk`."""

LayerTraces = dict[str, Trace]
"""Layer -> its recorded values, in the order of the layers."""


def trace(network: nn.Module, inputs: Tensor, nudges: Nudges | None = None) -> tuple[Tensor, LayerTraces]:
    """Return the logits (batch, num_outputs) and the recorded values of every layer.

    Args:
        network: of a type in `TRACERS`, in evaluation mode.
        inputs: (batch, ...), as for its forward pass.
        nudges: for every layer; None adds nothing.
    """
    return TRACERS[type(network)](network, inputs, nudges or {})


def is_traced(network: nn.Module) -> bool:
    """Return whether a network has a tracer."""
    return type(network) in TRACERS


def _horn(network: HORN, inputs: Tensor, nudges: Nudges) -> tuple[Tensor, LayerTraces]:
    sequence = inputs.transpose(0, 1) if network.is_sequence else inputs.flatten(1).unsqueeze(0)
    drives = F.linear(sequence, network.projection.weight, network.bias())
    unit = Oscillators(
        network.oscillators.constants(),
        network.oscillators.coefficients(),
        network.oscillators.integration_step,
        network.oscillators.integrator,
        network.recurrent_weight(),
        None,
        network.recurrence_on == "velocity",
    )
    layer = walk(unit, drives.expand(network.timesteps, -1, -1).unbind(0), nudges.get("horn"))
    read = {
        "last": lambda: layer.outputs[-1],
        "mean": lambda: torch.stack(layer.outputs).mean(0),
        "rms": lambda: torch.stack(layer.outputs).square().mean(0).sqrt(),
    }
    return network.readout(read[network.read_out]()), {"horn": layer}


def _recurrent_cnn(network: RecurrentCnn, inputs: Tensor, nudges: Nudges) -> tuple[Tensor, LayerTraces]:
    features, traces = inputs, {}
    for number, stage in enumerate(cast(Iterable[RecurrentStage], network.stages), start=1):
        name = f"stage_{number}"
        if number > 1:
            features = network.pool(features)
        drive = channels_last(stage.norm(stage.convolution(channels_last(features))))
        drives = drive.chunk(stage.timesteps) if stage.driven_by_sequence else [drive] * stage.timesteps
        traces[name] = walk(UNITS[type(stage)](stage), drives, nudges.get(name))
        features = stage.read(iter(traces[name].outputs), drive.new_ones(()), stage.timesteps)
    return network.readout(features.mean((-2, -1))), traces


def _leaky(stage: LeakyStage) -> Unit:
    kernel = None if stage.kernel is None else stage.recurrence_gain * stage.kernel
    return FirstOrder(stage.leak_rate, stage.dc_gain, kernel)


def _oscillators(stage: OscillatorStage) -> Unit:
    constants = stage.oscillators.constants()
    kernel: Tensor | None = None
    scale: Tensor | None = None
    if stage.kernel is not None:
        kernel = stage.recurrence_gain * stage.kernel
        if stage.recurrence_on == "velocity" and stage.scales_state:
            scale = 1 / constants.omega
        elif stage.recurrence_on == "velocity":
            per_channel = 1 / constants.omega
            kernel = kernel * (per_channel.unsqueeze(1) if kernel.shape[1] == 1 else per_channel)
    return Oscillators(
        constants,
        stage.oscillators.coefficients(),
        stage.oscillators.integration_step,
        stage.oscillators.integrator,
        kernel,
        scale,
        stage.recurrence_on == "velocity",
    )


UNITS: dict[type[RecurrentStage], Callable[..., Unit]] = {OscillatorStage: _oscillators, LeakyStage: _leaky}


def _rnn(network: Rnn, inputs: Tensor, nudges: Nudges) -> tuple[Tensor, LayerTraces]:
    outputs, traces = inputs.transpose(0, 1), {}
    for number, layer in enumerate(cast(Iterable[RecurrentLayer], network.layers), start=1):
        name = f"{layer.unit}_{number}"
        traces[name] = walk(_unit_of_layer(layer), layer.drives(outputs).unbind(0), nudges.get(name))
        outputs = torch.stack(traces[name].outputs)
    return network.readout(outputs.mean(0) if network.reads_mean else outputs[-1]), traces


def _unit_of_layer(layer: RecurrentLayer) -> Unit:
    weight = layer.weight_hh
    if layer.unit == "tanh":
        return FirstOrder(weight.new_ones(()), weight.new_ones(()), weight)
    if layer.unit == "gru":
        return Gru(weight, layer.bias_hh[layer.num_hoisted :])
    return Lstm(weight)


def _mlp(network: Mlp, inputs: Tensor, nudges: Nudges) -> tuple[Tensor, LayerTraces]:
    features, traces = inputs.flatten(1), {}
    layers = zip(network.linears, network.norms, network.activations, strict=True)
    for number, (linear, norm, activation) in enumerate(layers, start=1):
        name, argument = f"hidden_{number}", norm(linear(features))
        traces[name] = feed_forward(argument, activation(argument), nudges.get(name))
        (features,) = traces[name].outputs
    return network.readout(features), traces


def _time_variable(
    network: TimeVariableNetwork, inputs: Tensor, nudges: Nudges
) -> tuple[Tensor, LayerTraces]:
    def nudge(layer: int, change: Tensor) -> Tensor:
        zeros = nudges.get(f"layer_{layer + 1}")
        return change if zeros is None else change + zeros[0][0]

    traces = {}
    for number, advance in enumerate(network.advances(inputs, nudge), start=1):
        grows = advance.state.shape != advance.change.shape  # a concatenating DenseNet: the state is z_l
        step = Step(
            advance.argument,
            network.activation(advance.argument),
            (advance.change if grows else advance.state,),
        )
        traces[f"layer_{number}"] = Trace(None, None, [step])
    return network.read_out(advance.state), traces


def _shallow(network: Shallow, inputs: Tensor, nudges: Nudges) -> tuple[Tensor, LayerTraces]:
    features, traces = inputs, {}
    for name, layer, norm in (
        ("first", network.first, network.first_norm),
        ("hidden", network.hidden, network.hidden_norm),
    ):
        argument = norm(layer(features))
        traces[name] = feed_forward(argument, network.activation(argument), nudges.get(name))
        features = traces[name].outputs[0].flatten(1)
    return network.readout(features), traces


def _cnn(network: Cnn, inputs: Tensor, nudges: Nudges) -> tuple[Tensor, LayerTraces]:
    maps, traces = _convolutions(network, inputs, nudges)
    return network.readout(maps.mean((2, 3))), traces


def _cnn_horn(network: CnnHorn, inputs: Tensor, nudges: Nudges) -> tuple[Tensor, LayerTraces]:
    maps, traces = _convolutions(network, inputs, nudges)
    logits, of_unit = trace(network.unit, network.read(maps), nudges)
    return logits, {**traces, **of_unit}


def _vgg(network: Vgg, inputs: Tensor, nudges: Nudges) -> tuple[Tensor, LayerTraces]:
    maps, traces = _convolutions(network, inputs, nudges)
    return network.read(maps), traces


def _convolutions(network: Cnn | CnnHorn | Vgg, inputs: Tensor, nudges: Nudges) -> tuple[Tensor, LayerTraces]:
    maps, traces = inputs, {}
    gain = getattr(network, "gain", 1.0)
    for number, (convolution, norm) in enumerate(
        zip(network.convolutions, network.norms, strict=True), start=1
    ):
        opens_stage = network.opens_stage(number - 1) if isinstance(network, Cnn) else number > 1
        if opens_stage and not isinstance(network, Vgg):
            maps = F.avg_pool2d(maps, 2)
        name, argument = f"convolution_{number}", norm(convolution(maps))
        traces[name] = feed_forward(argument, gain * network.activation(argument), nudges.get(name))
        (maps,) = traces[name].outputs
    return maps, traces


TRACERS: dict[type[nn.Module], Callable[..., tuple[Tensor, LayerTraces]]] = {
    HORN: _horn,
    HornCnn: _recurrent_cnn,
    LeakyCnn: _recurrent_cnn,
    Rnn: _rnn,
    Cnn: _cnn,
    Mlp: _mlp,
    Shallow: _shallow,
    CnnHorn: _cnn_horn,
    Vgg: _vgg,
    TimeResnet: _time_variable,
    TimeDensenet: _time_variable,
    FractionalDnn: _time_variable,
}
"""The tracer of every network whose inside is recorded. A model stands here or in `UNTRACED`."""

UNTRACED: tuple[str, ...] = ("resnet", "mobilenet_v3", "shufflenet_v2", "squeezenet", "efficientnet")
"""Models without a tracer: they are rivals in accuracy and cost, and probes record nothing of them."""
