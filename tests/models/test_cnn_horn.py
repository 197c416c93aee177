"""A CNN stem read by a HORN or a rival: the sequence, the counts, lanes and learning."""

import copy

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from hornlib.models.cnn_horn.network import CnnHorn, patches, rows
from hornlib.models.cnn_horn.parameters import CnnHornParameters
from hornlib.parameters import Flops, Task

TASK = Task((2, 9, 8), 3)
SMALL = {"channels": (3, 4), "num_nodes": 5}
VARIANTS = [
    {},
    {"order": "patches", "readout": "mean", "normalisation": "group", "heterogeneity": 0.5},
    {"readout": "rms", "oscillator_training": "learned", "activation": "tanh", "readout_norm": "none"},
    {"unit": "tanh_rnn", "normalisation": "none"},
    {"unit": "gru", "order": "patches", "readout": "mean"},
    {"unit": "gap_mlp"},
]
variants = pytest.mark.parametrize(
    "variant", VARIANTS, ids=lambda v: "-".join(map(str, v.values())) or "default"
)


def build(seed=0, **fields):
    torch.manual_seed(seed)
    parameters = CnnHornParameters(**(SMALL | fields))
    return parameters, CnnHorn(parameters, TASK, torch.Generator().manual_seed(seed))


def test_rows_come_from_top_to_bottom_with_all_their_channels():
    maps = torch.randn(2, 3, 4, 5)
    sequence = rows(maps)
    for t in range(4):
        assert torch.equal(sequence[:, t], maps[:, :, t].flatten(1))


def test_patches_come_in_reading_order_and_leave_out_what_does_not_fill_one():
    maps = torch.randn(2, 3, 5, 6)
    sequence = patches(maps, 2)
    whole = [maps[:, :, i : i + 2, j : j + 2].flatten(1) for i in (0, 2) for j in (0, 2, 4)]
    assert torch.equal(sequence, torch.stack(whole, 1))


@variants
def test_the_unit_reads_the_sequence_of_the_last_map(variant):
    """The network is its stem, written out, and its unit on the sequence whose shape the parameters say."""
    parameters, network = build(**variant)
    network.eval()
    inputs = torch.randn(4, *TASK.input_shape)
    maps = inputs
    for stage in range(2):
        maps = F.avg_pool2d(maps, 2) if stage else maps
        maps = network.activation(network.norms[stage](network.convolutions[stage](maps)))
    assert maps.shape[1:] == parameters.map_shape(TASK)
    if parameters.unit == "gap_mlp":
        sequence = maps.mean((2, 3))
    else:
        sequence = rows(maps) if parameters.order == "rows" else patches(maps, 2)
        assert sequence.shape[1:] == parameters.sequence_shape(TASK)
        assert parameters.derived(TASK)["timesteps"] == sequence.shape[1]
    torch.testing.assert_close(network(inputs), network.unit(sequence))


@variants
def test_closed_forms_count_what_is_built_and_run(variant, work_of_one_example):
    parameters, network = build(**variant)
    assert parameters.num_parameters(TASK) == sum(p.numel() for p in network.parameters())
    head, _ = parameters.head(TASK)
    network.unit = torch.nn.Identity()  # counted in its own model's tests
    stem = work_of_one_example(network, TASK)
    assert parameters.forward_flops(TASK) == Flops(*stem) + head.forward_flops(parameters.head(TASK)[1])


@pytest.mark.parametrize("unit", ["horn", "tanh_rnn", "gru", "gap_mlp"])
def test_counts_grow_with_the_nodes_and_every_rival_can_match_a_horn(unit):
    task = Task((1, 28, 28), 10)
    wanted = CnnHornParameters().num_parameters(task)
    rival = CnnHornParameters(unit=unit)
    counts = [rival.with_width(width).num_parameters(task) for width in range(1, 1500)]
    assert counts == sorted(counts)
    assert min(abs(count - wanted) for count in counts) < 0.05 * wanted


@variants
def test_lanes_under_vmap_are_single_networks(variant):
    networks = [build(seed, **variant)[1].double() for seed in range(3)]
    params, buffers = torch.func.stack_module_state(networks)
    base = copy.deepcopy(networks[0]).to("meta")
    inputs = torch.randn(3, 6, *TASK.input_shape, dtype=torch.float64)
    for training in (True, False):
        base.train(training)
        logits = torch.vmap(
            lambda p, b, x: torch.func.functional_call(base, (p, b), (x,)), randomness="different"
        )(params, buffers, inputs)
        gradients = torch.autograd.grad(logits.square().sum(), list(params.values()))
        for lane, network in enumerate(networks):
            single = network.train(training)(inputs[lane])
            torch.testing.assert_close(logits[lane], single)
            expected = torch.autograd.grad(single.square().sum(), list(network.parameters()))
            for stacked, alone in zip(gradients, expected, strict=True):
                torch.testing.assert_close(stacked[lane], alone)


@variants
def test_the_loss_of_a_toy_problem_falls(variant):
    """Three classes: a bright band at the top, in the middle, at the bottom."""
    _, network = build(**variant)
    labels = torch.arange(48) % 3
    images = 0.3 * torch.randn(48, *TASK.input_shape)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, 3 * label : 3 * label + 3] += 1 + label
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"unit": "gru", "omega": 0.3}, "omega"),
        ({"unit": "tanh_rnn", "heterogeneity": 1.0}, "heterogeneity"),
        ({"unit": "gap_mlp", "order": "patches"}, "order"),
        ({"unit": "gru", "readout": "rms"}, "rms"),
    ],
)
def test_what_a_unit_does_not_have_is_refused(fields, key):
    with pytest.raises(ValidationError, match=key):
        CnnHornParameters(**fields)


def test_a_map_without_a_pixel_or_a_patch_is_a_problem():
    assert CnnHornParameters().problems(TASK) == []
    assert "stages" in CnnHornParameters(channels=(2, 2, 2, 2, 2)).problems(TASK)[0]
    assert "patch_size" in CnnHornParameters(order="patches", patch_size=5).problems(TASK)[0]


def test_instability_is_said_before_training():
    assert CnnHornParameters().warnings(Task((1, 28, 28), 10)) == []
    (warning,) = CnnHornParameters(omega=3.0).warnings(TASK)
    assert "unstable" in warning
    assert CnnHornParameters(unit="gru").warnings(TASK) == []
