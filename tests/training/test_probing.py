"""Probes: training is the same with and without them, a resumed job writes the same file, lanes do not mix."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from hornlib.data.loading import Split, Splits, load
from hornlib.dynamics.probes import measures
from hornlib.errors import ResourceError
from hornlib.grid.cell import parse_specification
from hornlib.grid.jobs import Range
from hornlib.models.build import build_network
from hornlib.models.lanes import LaneGroup
from hornlib.models.tracing import trace
from hornlib.parameters.probes import ProbeSettings
from hornlib.results.dynamics_file import read_dynamics_file
from hornlib.training import job
from hornlib.training.chunk import start_chunk
from hornlib.training.interruption import Interrupted
from hornlib.training.job import TrainOptions
from hornlib.training.loop import train_chunk
from hornlib.training.probing import Probe, make_plan, probe_inputs
from hornlib.training.recording import Recorder, empty_numbers, refuse_too_large
from hornlib.training.train import dynamics_path, train_job

SMALL = ProbeSettings(inputs=10, moments=2, run_on_inputs=3)
SEEDS = Range(0, 2)
TRAINING = {"steps": 12, "batch_size": 16, "learning_rate": 0.01}
ROWS = {"name": "digits", "presentation": "rows", "train_subset": 100}
IMAGE = {"name": "digits", "train_subset": 100}
CNN = {"name": "horn_cnn", "num_nodes": 3, "num_stages": 2, "timesteps": 3, "heterogeneity": 1.0}
HORN = {"name": "horn", "num_nodes": 6, "heterogeneity": 1.0}
CASES = {
    "horn": (HORN, ROWS),
    "horn_cnn": (CNN, IMAGE),
    "horn_cnn full": ({**CNN, "recurrence": "full", "between": "sequence"}, IMAGE),
    "leaky_cnn": ({"name": "leaky_cnn", "num_nodes": 3, "num_stages": 2, "timesteps": 3}, IMAGE),
    "tanh": ({"name": "rnn", "num_nodes": 5, "num_layers": 2}, ROWS),
    "gru": ({"name": "rnn", "unit": "gru", "num_nodes": 5}, ROWS),
    "lstm": ({"name": "rnn", "unit": "lstm", "num_nodes": 5}, ROWS),
    "cnn": ({"name": "cnn", "channels": "4-6"}, IMAGE),
    "mlp": ({"name": "mlp", "hidden_nodes": "8-6", "normalisation": "batch", "dropout": 0.2}, IMAGE),
    "cnn_horn": ({"name": "cnn_horn", "channels": "4-6", "num_nodes": 5}, IMAGE),
    "time_resnet": ({"name": "time_resnet", "num_layers": 3, "num_nodes": 5}, IMAGE),
    "fractional_dnn": ({"name": "fractional_dnn", "num_layers": 3, "num_nodes": 5}, IMAGE),
}


def cell_of(model, data, training=TRAINING):
    return parse_specification({"data": data, "model": model, "training": training})


def options(folder, probes=SMALL, seconds=60.0):
    return TrainOptions(2, 1, "cpu", folder / "checkpoints", seconds, probes)


def trained(cell, folder, seeds=SEEDS, **given):
    output = folder / "runs" / f"{cell.name}.seeds-{seeds.first}-{seeds.last}.nc"
    train_job(cell, seeds, output, options(folder, **given))
    return output


def with_training_statistics(network, cell):
    """Return the network in evaluation mode, its norms with the moments of all training examples."""
    for module in network.modules():
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            module.momentum = 1.0
            module.register_forward_hook(over_all_examples)
    network.train()(load(cell.data, "cpu").train.inputs)
    return network.eval()


def over_all_examples(norm, given, output):
    number = output.numel() / output.shape[1]
    if norm.training:
        norm.running_var *= (number - 1) / number


def probe_of(cell, settings=SMALL):
    return Probe(cell, make_plan(cell, settings), load(cell.data, "cpu"))


def assert_same(found, expected, volatile=()):
    with xr.open_dataset(found) as one, xr.open_dataset(expected) as other:
        assert set(one.variables) == set(other.variables)
        for name in set(other.variables) - set(volatile):
            np.testing.assert_array_equal(one[name].values, other[name].values, err_msg=name)


@pytest.mark.parametrize("name", ["horn", "horn_cnn", "mlp"])
def test_training_with_probes_is_training_without_bit_for_bit(name, tmp_path):
    cell = cell_of(*CASES[name])
    with_probes = trained(cell, tmp_path / "with")
    without = trained(cell, tmp_path / "without", probes=None)
    assert_same(with_probes, without, volatile={"seconds"})
    assert dynamics_path(with_probes).exists() and not dynamics_path(without).parent.exists()


def test_a_probe_takes_no_random_number_and_changes_no_lane():
    cell = cell_of(*CASES["horn_cnn"])
    chunk = start_chunk(cell, [0, 1], torch.device("cpu"))
    before = {name: tensor.clone() for name, tensor in (chunk.lanes.parameters | chunk.lanes.buffers).items()}
    random, probe = torch.random.get_rng_state(), probe_of(cell)
    for step in (0, 1):
        probe.record(chunk.lanes, step)
    assert torch.equal(random, torch.random.get_rng_state())
    for name, tensor in (chunk.lanes.parameters | chunk.lanes.buffers).items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("damping_ratio", [0.0, 0.1, 2.0])
def test_no_displacement_exceeds_its_bound_whatever_the_damping(damping_ratio):
    """Recurrence and drive are so strong that forces are all but +-1."""
    strong = {"recurrence_gain": 100.0, "num_cycles": 0.5, "timesteps": 16, "damping_ratio": damping_ratio}
    cell = cell_of({**CNN, **strong}, IMAGE)
    numbers = probe_of(cell).record(start_chunk(cell, [0, 1], torch.device("cpu")).lanes, 0)
    shares = np.stack([values for name, values in numbers.items() if name.endswith("bound_share")])
    assert shares.shape[-1] == 16
    assert 0.3 < shares.max() <= 1 + 1e-5


@pytest.mark.parametrize("stop_at", [1, 5, 12])
def test_an_interrupted_job_that_goes_on_writes_the_same_file_bit_for_bit(stop_at, tmp_path, monkeypatch):
    cell = cell_of(*CASES["horn_cnn"])
    undisturbed = trained(cell, tmp_path / "undisturbed")
    real = job._Keeper.after_step

    def stopping(keeper, chunk):
        real(keeper, chunk)
        if chunk.step == stop_at and chunk.seeds == [2]:  # in the second chunk, the first being finished
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(job._Keeper, "after_step", stopping)
        with pytest.raises(Interrupted):
            trained(cell, tmp_path / "stopped", seconds=0.0)
    assert not (tmp_path / "stopped" / "dynamics").exists()
    resumed = trained(cell, tmp_path / "stopped")
    assert_same(dynamics_path(resumed), dynamics_path(undisturbed))


def test_a_job_that_goes_on_with_other_probes_begins_to_record_there():
    cell = cell_of(*CASES["horn"])
    plan, probe = make_plan(cell, SMALL), probe_of(cell)
    saved = empty_numbers(make_plan(cell, ProbeSettings(inputs=10, moments=0)), 2)
    recorder = Recorder(probe, 2, saved)
    assert recorder.numbers["state_rms"].shape[1] == len(plan.steps)
    assert Recorder(probe, 2, recorder.numbers).numbers is recorder.numbers


@pytest.mark.parametrize("name", CASES)
def test_every_traced_model_is_probed_and_lanes_side_by_side_are_lanes_alone(name):
    cell = cell_of(*CASES[name])
    probe = probe_of(cell)
    for step in (0, 1):
        together = probe.record(start_chunk(cell, [0, 1], torch.device("cpu")).lanes, step)
        alone = probe.record(start_chunk(cell, [1], torch.device("cpu")).lanes, step)
        assert torch.isfinite(together["probe_loss"]).all()
        for key, values in together.items():
            torch.testing.assert_close(values[1:], alone[key], equal_nan=True, rtol=2e-4, atol=1e-5, msg=key)


def test_numbers_of_a_lane_are_those_of_its_network_by_plain_autograd():
    cell = cell_of(*CASES["horn"])
    probe, chunk = probe_of(cell), start_chunk(cell, [3], torch.device("cpu"))
    found = probe.record(chunk.lanes, 1)
    network = with_training_statistics(build_network(cell.model, cell.task(), 3), cell)
    logits, traces = trace(network, probe.inputs)
    losses = torch.nn.functional.cross_entropy(logits, probe.targets, reduction="none")
    torch.testing.assert_close(found["probe_loss"][0], losses.mean().detach())
    position, velocity = network.states(probe.inputs)
    torch.testing.assert_close(found["horn/state_rms"][0], measures.root_mean_square(position).detach())
    torch.testing.assert_close(found["horn/velocity_rms"][0], measures.root_mean_square(velocity).detach())
    # the last state reaches the loss through the read-out alone
    read = traces["horn"].states[0][-1].detach().requires_grad_()
    last = torch.nn.functional.cross_entropy(network.readout(read), probe.targets, reduction="sum")
    (gradient,) = torch.autograd.grad(last, read)
    torch.testing.assert_close(found["horn/state_gradient_norm"][0, -1], gradient.norm(dim=1).mean())
    assert found["horn/velocity_gradient_norm"][0, -1] == 0


@pytest.mark.parametrize("statistics", ["precise", "recent"])
def test_a_probe_sees_the_networks_that_an_evaluation_judges(statistics):
    cell = cell_of(*CASES["cnn"], TRAINING | {"batch_norm_statistics": statistics})
    probe, lanes = probe_of(cell), start_chunk(cell, [0], torch.device("cpu")).lanes
    network = with_training_statistics(build_network(cell.model, cell.task(), 0), cell)
    logits, traces = trace(network, probe.inputs)
    expected = torch.nn.functional.cross_entropy(logits, probe.targets).detach()
    found = probe.record(lanes, 0)  # a running average has seen nothing yet
    torch.testing.assert_close(found["probe_loss"][0], expected)
    torch.testing.assert_close(
        found["convolution_2/state_rms"][0],
        measures.root_mean_square(traces["convolution_2"].states[0]).detach(),
    )
    later = probe.record(lanes, 1)["probe_loss"][0]
    assert (later == found["probe_loss"][0]) == (statistics == "precise")


def test_probes_take_the_statistics_of_the_evaluation_and_compute_them_only_before_the_first_step(
    monkeypatch,
):
    cell = cell_of(*CASES["cnn"])
    splits, computed = load(cell.data, "cpu"), []
    chunk, probe = start_chunk(cell, [0, 1], torch.device("cpu")), probe_of(cell)
    recorder, fresh = Recorder(probe, 2, {}), Recorder(probe, 2, {})
    real = LaneGroup.with_statistics_of
    monkeypatch.setattr(
        LaneGroup, "with_statistics_of", lambda lanes, inputs: computed.append(1) or real(lanes, inputs)
    )

    def after_step(chunk):
        before = len(computed)
        recorder.after_step(chunk)
        assert len(computed) - before == (chunk.step == 0)
        (group,) = chunk.groups
        fresh.after_step(replace(chunk, groups=[replace(group, evaluated=None)]))

    after_step(chunk)
    train_chunk(chunk, splits, after_step)
    for name, numbers in fresh.numbers.items():
        torch.testing.assert_close(recorder.numbers[name], numbers, rtol=0, atol=0, equal_nan=True)
    assert torch.isfinite(fresh.numbers["probe_loss"]).all()


def test_lanes_that_have_diverged_are_nan_and_the_others_are_not():
    cell = cell_of(*CASES["horn"])
    chunk, recorder = start_chunk(cell, [0, 1, 2], torch.device("cpu")), Recorder(probe_of(cell), 3, {})
    chunk.groups[0].lanes = chunk.lanes.keep([0, 2])
    recorder.after_step(chunk)
    for name, values in recorder.numbers.items():
        assert values[1].isnan().all(), name
        assert values[0, 0].isfinite().all() and values[2, 0].isfinite().all(), name
        assert values[:, 1:].isnan().all(), name


def test_weights_that_are_not_finite_leave_nan_and_no_error():
    cell = cell_of(*CASES["horn"])
    lanes = start_chunk(cell, [0, 1], torch.device("cpu")).lanes
    with torch.no_grad():
        lanes.parameters["recurrence.weight"][0] = torch.nan
    found = probe_of(cell).record(lanes, 1)
    for key, values in found.items():
        assert values[1].isfinite().all(), key
    assert found["horn/recurrence_spectral_radius"][0].isnan()


def test_inputs_are_balanced_the_same_in_every_presentation_and_never_of_the_test_part():
    image, rows = cell_of(HORN | {"timesteps": 3}, IMAGE), cell_of(HORN, ROWS)
    split, again = (probe_inputs(cell, load(cell.data, "cpu"), 30) for cell in (image, rows))
    assert torch.bincount(split.targets).tolist() == [3] * 10
    assert torch.equal(split.inputs.flatten(1), again.inputs.flatten(1))
    splits = load(image.data, "cpu")
    validation = {tuple(example.flatten().tolist()) for example in splits.validation.inputs}
    assert {tuple(example.flatten().tolist()) for example in split.inputs} <= validation


def test_without_a_validation_part_training_examples_are_probed_and_few_examples_are_no_error():
    cell = cell_of(HORN, {**ROWS, "validation": 0.0, "train_subset": 20})
    splits = load(cell.data, "cpu")
    poisoned = Splits(
        splits.train, splits.validation, Split(splits.test.inputs * torch.nan, splits.test.targets)
    )
    plan = make_plan(cell, ProbeSettings())
    assert plan.num_inputs == 20
    found = Probe(cell, plan, poisoned).record(start_chunk(cell, [0], torch.device("cpu")).lanes, 1)
    assert found["probe_loss"].isfinite().all()


def test_full_states_are_kept_on_demand_and_refused_when_too_large(tmp_path):
    cell = cell_of(*CASES["horn_cnn"])
    full = ProbeSettings(inputs=4, moments=0, states="full")
    ds = read_dynamics_file(dynamics_path(trained(cell, tmp_path, probes=full)))
    assert ds["states_stage_1"].shape == (3, 2, 2, 3, 4, 3 * 64)
    assert ds["part_stage_1"].values.tolist() == ["displacement", "velocity"]
    lengths = np.sqrt(
        (ds["states_stage_1"].sel(part_stage_1="displacement") ** 2).mean(["input", "unit_stage_1"])
    )
    np.testing.assert_allclose(lengths, ds["state_rms"].sel(layer="stage_1"), rtol=1e-5)
    plan = make_plan(cell, full.model_copy(update={"most_megabytes": 0.1}))
    states = [ds[f"states_stage_{stage}"] for stage in (1, 2)]
    assert plan.full_bytes(3) == sum(states_of.size for states_of in states) * 4
    with pytest.raises(ResourceError, match=r"most_megabytes is 0\.1"):
        refuse_too_large(plan, 3)
    refuse_too_large(make_plan(cell, SMALL), 3)


def test_a_network_whose_inside_is_not_seen_leaves_a_file_that_says_so(tmp_path):
    cell = cell_of({"name": "resnet", "channels": "4"}, IMAGE, {**TRAINING, "steps": 2})
    ds = read_dynamics_file(dynamics_path(trained(cell, tmp_path, seeds=Range(0, 0))))
    assert not ds.data_vars and "not probed" in ds.attrs["absent"]


def test_probes_follow_a_network_that_grows_and_one_that_shrinks(tmp_path):
    insertion = {"name": "layer_insertion", "insert_at": 1, "choice": "position", "position": 0}
    grown = parse_specification(
        {
            "data": IMAGE,
            "model": {"name": "mlp", "hidden_nodes": "8-6"},
            "structure": insertion,
            "training": {"epochs": 3, "batch_size": 20, "learning_rate": 0.01},
        }
    )
    found = read_dynamics_file(dynamics_path(trained(grown, tmp_path / "grown")))
    rms = found["state_rms"].isel(layer=2)
    before = found["probe_step"] <= 5
    assert rms.where(before, drop=True).isnull().all() and rms.where(~before, drop=True).notnull().any()
    resnet = {"name": "time_resnet", "num_layers": 4, "num_nodes": 5, "l1_penalty": 0.5}
    shrunk = parse_specification(
        {
            "data": IMAGE,
            "model": resnet,
            "structure": {"name": "layer_pruning", "threshold": 0.2},
            "training": {"epochs": 3, "batch_size": 20, "learning_rate": 0.05, "optimizer": "sgd"},
        }
    )
    found = read_dynamics_file(dynamics_path(trained(shrunk, tmp_path / "shrunk")))
    last = found["state_rms"].isel(layer=3)
    assert last.isel({found["probe_step"].dims[0]: 0}).notnull().any()
    assert last.isel({found["probe_step"].dims[0]: -1}).isnull().all()
    with pytest.raises(ResourceError, match="layer_pruning changes them"):
        trained(shrunk, tmp_path / "full", probes=SMALL.model_copy(update={"states": "full"}))
