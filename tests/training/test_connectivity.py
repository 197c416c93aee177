"""What evaluations record of sparse networks, against loops over single connections."""

import numpy as np
import pytest
import torch
from test_masks import SGD, cell_of, trained

from hornlib.grid.cell import parse_specification
from hornlib.training.chunk import start_chunk
from hornlib.training.connectivity import connectivity, connectivity_remarks

CPU = torch.device("cpu")


def masked(model, density, seed=0):
    """Return a chunk of two lanes whose weights have random masks."""
    rows = {"presentation": "rows"} if model["name"] in ("rnn", "horn") else {}
    cell = parse_specification({"data": {"name": "digits", **rows}, "model": model})
    chunk = start_chunk(cell, [0, 1], CPU)
    (group,) = chunk.groups
    draw = torch.Generator().manual_seed(seed)
    group.masks = {
        weight.name: torch.rand(2, *weight.shape, generator=draw) < density
        for weight in cell.model.weights(cell.task())
    }
    return chunk, group


def test_an_mlp_s_units_are_active_with_a_connection_on_each_side():
    chunk, group = masked({"name": "mlp", "hidden_nodes": "9-7"}, 0.05)
    recorded = connectivity(chunk, group)
    names = ["linears.0.weight", "linears.1.weight", "readout.linear.weight"]
    for lane in range(2):
        matrices = [group.masks[name][lane].numpy() for name in names]
        for layer, matrix in enumerate(matrices):
            active = 0
            for unit in range(len(matrix)):
                is_last = layer == len(matrices) - 1
                reads = is_last or any(row[unit] for row in matrices[layer + 1])
                active += bool(any(matrix[unit]) and reads)
            assert recorded.active_units[lane, layer] == active
            assert recorded.density[lane, layer] == pytest.approx(np.mean(matrix))


def test_an_lstm_s_nodes_are_active_through_any_gate():
    chunk, group = masked({"name": "rnn", "unit": "lstm", "num_nodes": 5}, 0.05, seed=3)
    recorded = connectivity(chunk, group)
    inputs, recurrent, output = (
        group.masks[name].numpy()
        for name in ("layers.0.weight_ih", "layers.0.weight_hh", "readout.linear.weight")
    )
    for lane in range(2):
        active = 0
        for node in range(5):
            gates = [gate * 5 + node for gate in range(4)]
            has_input = any(inputs[lane, gate].any() or recurrent[lane, gate].any() for gate in gates)
            active += bool(has_input and (recurrent[lane, :, node].any() or output[lane, :, node].any()))
        assert recorded.active_units[lane, 0] == active
    total = inputs.size + recurrent.size
    assert recorded.density[:, 0].mean() == pytest.approx((inputs.sum() + recurrent.sum()) / total)


def test_a_channel_is_active_if_any_number_of_a_kernel_on_each_side_is():
    chunk, group = masked({"name": "cnn", "channels": "5-4"}, 0.05)
    recorded = connectivity(chunk, group)
    first, second = (group.masks[f"convolutions.{layer}.weight"].numpy() for layer in (0, 1))
    for lane in range(2):
        active = sum(
            bool(first[lane, channel].any() and second[lane, :, channel].any()) for channel in range(5)
        )
        assert recorded.active_units[lane, 0] == active


@pytest.mark.parametrize("name", ["resnet", "time_resnet", "cnn_horn", "horn", "horn_cnn"])
def test_full_masks_leave_every_unit_active_and_the_counts_as_they_are(name):
    model = {"name": name, **({"presentation": "rows"} if name == "horn" else {})}
    chunk, group = masked({key: value for key, value in model.items() if key == "name"}, 2.0)
    recorded = connectivity(chunk, group)
    assert (recorded.density == 1).all()
    known = recorded.active_units[~recorded.active_units.isnan()]
    assert len(known) and (known > 0).all() and recorded.active_units[0, -1] == 10
    assert group.num_parameters == [group.lanes.num_parameters] * 2


def test_without_masks_nothing_is_recorded():
    chunk = start_chunk(parse_specification({"data": {"name": "digits"}, "model": {"name": "mlp"}}), [0], CPU)
    assert connectivity(chunk, chunk.groups[0]) is None


def test_evaluations_record_the_masks_of_the_last_step_and_all_positions_explored_so_far():
    masks = {}

    def note(chunk):
        masks[chunk.step] = {name: mask.clone() for name, mask in chunk.groups[0].masks.items()}

    cell = cell_of({"every": 3}, **SGD)
    chunk = trained(cell, [0, 1], note)
    ever = {name: torch.zeros_like(mask) for name, mask in masks[1].items()}
    steps = cell.training.evaluation_steps(cell.data.num_train)
    size = sum(mask[0].numel() for mask in ever.values())
    for step in range(1, 13):
        for name, mask in masks[step].items():
            ever[name] |= mask
        if step in steps:
            column = steps.index(step)
            for lane in range(2):
                explored = sum(int(mask[lane].sum()) for mask in ever.values()) / size
                assert chunk.curves["explored"][lane, column] == pytest.approx(explored)
                connections = sum(int(mask[lane].sum()) for mask in masks[step].values())
                dense = chunk.lanes.num_parameters - size
                assert chunk.curves["num_parameters"][lane, column] == dense + connections
                density = masks[step]["linears.0.weight"][lane].double().mean()
                assert chunk.profiles["layer_density"][lane, column, 0] == pytest.approx(float(density))
    assert (chunk.curves["explored"].diff(dim=1) >= 0).all()
    assert (chunk.curves["explored"][:, -1] > 0.8).all()  # five independent halves


def test_layers_that_no_gradient_reached_and_units_that_nothing_reads_are_said():
    cell = cell_of({"cut": "linears.1.weight"}, "plain", **SGD)
    chunk = trained(cell, [0, 1])
    remarks = connectivity_remarks(cell, chunk.profiles)
    unreached = [remark for remark in remarks if "no gradient" in remark]
    assert unreached == [
        f"random_rewiring: no gradient ever reached layer {layer} in 2 run(s)" for layer in (0, 1)
    ]
    assert any("layer 1 ends with units" in remark and "6 to 6 of 6" in remark for remark in remarks)
    assert chunk.profiles["gradient_reached"][:, -1].tolist() == [[0, 0, 1]] * 2
    whole = trained(cell_of(None, "plain", **SGD), [0, 1])
    assert not any("no gradient" in remark for remark in connectivity_remarks(cell, whole.profiles))
    assert connectivity_remarks(cell, {}) == []
