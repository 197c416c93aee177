"""Evolution behind the ordinary job: lanes, exact resume, signals, run files, counts and outcomes."""

import numpy as np
import pytest
import torch
from pretend_device import pretend_device

from hornlib.config.settings import Settings
from hornlib.data.loading import load
from hornlib.evolution.activations import activations_of
from hornlib.evolution.evaluation import graph_of, outputs_of, rewards_of, with_constant
from hornlib.evolution.genome import frame_of
from hornlib.grid import Grid, Sweep
from hornlib.grid.cell import parse_specification
from hornlib.grid.jobs import Range
from hornlib.parameters.probes import ProbeSettings
from hornlib.results.dynamics_file import read_dynamics_file
from hornlib.results.gather import gather
from hornlib.results.run_file import read_run_file
from hornlib.training import job
from hornlib.training.evolved_scores import TUNED_WEIGHTS, scores_of
from hornlib.training.evolved_weights import trained_weights
from hornlib.training.evolving import evolve_chunk, start_populations
from hornlib.training.interruption import Interrupted
from hornlib.training.job import TrainOptions
from hornlib.training.kept_weights import network_of, read_weights, weights_path
from hornlib.training.train import dynamics_path, train_job
from hornlib.training.trainers import TRAINERS

CPU = torch.device("cpu")
MODELS = {
    "wann": {"name": "wann", "num_individuals": 12, "num_contestants": 3, "gradient_steps": 5},
    "neat": {"name": "neat", "num_individuals": 12, "species_distance": 1.5},
}
every_model = pytest.mark.parametrize("name", MODELS)


def cell_of(name, model=(), **training):
    return parse_specification(
        {
            "data": {"name": "digits", "input_scaling": "raw", "train_subset": 200},
            "model": {**MODELS[name], **dict(model)},
            "training": {"steps": 10, "batch_size": 60, **training},
        }
    )


def train(folder, cell, lanes="auto", **options):
    output = folder / "runs" / f"{cell.name}.seeds-0-1.nc"
    options = TrainOptions(lanes, 1, "cpu", folder / "checkpoints", 1e9, **options)
    train_job(cell, Range(0, 1), output, options)
    return output


def evolved(cell, seeds=(0,)):
    chunk = start_populations([job.Run(cell, seed) for seed in seeds], CPU)
    evolve_chunk(chunk, load(cell.data, CPU))
    return chunk


def assert_same(variables, others):
    assert variables.keys() == others.keys()
    for name in variables.keys() - {"seconds"}:
        np.testing.assert_array_equal(variables[name], others[name], err_msg=name)


@every_model
def test_a_run_beside_others_is_the_run_alone(name):
    cell = cell_of(name)
    together = evolved(cell, (3, 0, 7))
    for row, seed in enumerate((3, 0, 7)):
        alone = evolved(cell, (seed,))
        for curve in together.curves.keys() - {"seconds"}:
            assert torch.equal(
                together.curves[curve][row].nan_to_num(-1), alone.curves[curve][0].nan_to_num(-1)
            ), curve


@every_model
def test_an_accelerator_evolves_the_networks_of_the_cpu(name):
    cell = cell_of(name, steps=5)
    expected = evolved(cell)
    with pretend_device() as device:
        chunk = start_populations([job.Run(cell, 0)], device.device)
        evolve_chunk(chunk, load(cell.data, device.device))
    for curve in expected.curves.keys() - {"seconds"}:
        np.testing.assert_allclose(chunk.curves[curve], expected.curves[curve], rtol=1e-5, err_msg=curve)


@every_model
@pytest.mark.parametrize("lanes", ["auto", 1])
def test_after_a_kill_the_same_command_ends_bit_identical(tmp_path, monkeypatch, name, lanes):
    cell = cell_of(name)
    expected = read_run_file(train(tmp_path / "whole", cell)).variables
    trainer = TRAINERS["evolution"]

    def stopping_at(last):
        def stopping(chunk, splits, after_step, report):
            def stop(chunk):
                after_step(chunk)
                if chunk.step == last:
                    raise KeyboardInterrupt

            trainer.train(chunk, splits, stop, report)

        return trainer._replace(train=stopping)

    folder = tmp_path / "killed"
    with monkeypatch.context() as patch:
        patch.setattr(
            job._Keeper, "after_step", lambda keeper, chunk: chunk.step in (4, 8) and keeper.save(chunk)
        )
        for last in (3, 5, 9):  # before the first checkpoint, after it, and after the second one
            patch.setitem(TRAINERS, "evolution", stopping_at(last))
            with pytest.raises(KeyboardInterrupt):
                train(folder, cell, lanes)
    assert_same(read_run_file(train(folder, cell, lanes)).variables, expected | lanes_of(expected, lanes))


def lanes_of(variables, lanes):
    return {"lanes": np.ones_like(variables["lanes"])} if lanes == 1 else {}


@every_model
def test_a_signal_saves_a_checkpoint_from_which_the_job_goes_on(tmp_path, monkeypatch, name):
    cell, real = cell_of(name), job._Keeper.after_step
    expected = read_run_file(train(tmp_path / "whole", cell)).variables

    def signalled(keeper, chunk):
        keeper.stop.signal_name = "SIGTERM" if chunk.step == 6 else None
        real(keeper, chunk)

    with monkeypatch.context() as patch:
        patch.setattr(job._Keeper, "after_step", signalled)
        with pytest.raises(Interrupted, match="stopped by SIGTERM at step 6, checkpoint saved"):
            train(tmp_path / "stopped", cell)
    assert_same(read_run_file(train(tmp_path / "stopped", cell)).variables, expected)


@every_model
def test_a_run_file_counts_generations_connections_and_evaluations(tmp_path, name):
    cell = cell_of(name)
    variables = read_run_file(train(tmp_path, cell), cell).variables
    chunk = evolved(cell, (0, 1))
    networks = cell.model.networks_per_example
    assert networks == 12 * (6 if name == "wann" else 1)
    assert variables["evaluations"].tolist() == [[step * networks for step in variables["step"].tolist()]] * 2
    assert variables["samples"].tolist() == [step * networks * 60 for step in variables["step"].tolist()]
    assert variables["num_parameters"][:, -1].tolist() == [
        champion.num_enabled for champion in chunk.champions
    ]
    assert (np.diff(variables["training_flops"], axis=1) > 0).all()
    assert (variables["status"] == "complete").all()
    assert chunk.populations[0].generation == 10


def test_training_flops_are_those_of_all_evaluations_and_of_the_tuning():
    cell = cell_of("wann", steps=1)
    first = start_populations([job.Run(cell, 0)], CPU).populations[0]
    splits = load(cell.data, CPU)
    columns, targets = with_constant(splits.train.inputs)[:, :60], splits.train.targets[:60]
    flops = rewards_of(cell.model, first.genomes, first.frame, columns, targets, "cross_entropy").flops
    chunk = evolved(cell)
    network = int(chunk.curves["network_flops"][0, 0])
    search = 6 * 60 * (int(flops.sum()) + 12 * 5 * 10)
    tuning = len(TUNED_WEIGHTS) * 200 * (network + 5 * 10)
    assert chunk.curves["training_flops"][0, 0] == search + tuning


def test_the_loss_falls_and_the_networks_learn():
    chunk = evolved(cell_of("wann", {"num_individuals": 40, "num_contestants": 8}, steps=60, batch_size=200))
    loss, accuracy = chunk.curves["training_loss"][0], chunk.curves["test_metric"][0]
    assert loss[-1] < loss[0] - 0.2
    assert accuracy[-1] > 0.2 > 0.1


def test_scores_are_those_of_the_tuned_weight_of_the_mean_and_of_the_ensemble(tmp_path):
    cell = cell_of("wann", steps=20)
    chunk, splits, frame = evolved(cell), load(cell.data, CPU), frame_of(cell.task())
    graph = graph_of(cell.model, chunk.champions, frame)
    losses = [
        float(torch.nn.functional.cross_entropy(outputs[0], splits.train.targets))
        for outputs in outputs_of(graph, with_constant(splits.train.inputs), TUNED_WEIGHTS)
    ]
    best = TUNED_WEIGHTS[int(np.argmin(losses))]
    factors = [best, *cell.model.shared_weights]
    at_weights = outputs_of(graph, with_constant(splits.test.inputs), factors)[:, 0]
    classes = [outputs.argmax(1) for outputs in at_weights]
    accuracies = [float((of_weight == splits.test.targets).double().mean()) for of_weight in classes]
    probabilities = sum(outputs.softmax(1) for outputs in at_weights[1:])
    scores = scores_of(cell.model, chunk.champions[0], frame, splits, cell.data)
    assert scores.shared_weight == best
    assert scores.curves["test_metric"] == pytest.approx(accuracies[0])
    assert scores.curves["mean_weight_test_metric"] == pytest.approx(np.mean(accuracies[1:]))
    ensemble = float((probabilities.argmax(1) == splits.test.targets).double().mean())
    assert scores.curves["ensemble_test_metric"] == pytest.approx(ensemble)
    assert {name: float(chunk.curves[name][0, -1]) for name in scores.curves} == pytest.approx(scores.curves)


def test_training_by_gradient_starts_at_the_shared_weight_and_improves_the_network():
    cell = cell_of("wann", {"gradient_steps": 0}, steps=20)
    chunk, splits, frame = evolved(cell), load(cell.data, CPU), frame_of(cell.task())
    assert "trained_test_metric" not in chunk.curves

    def outcome(steps):
        model = cell.model.model_copy(update={"gradient_steps": steps})
        weight = float(chunk.shared_weights[0])
        return trained_weights(model, chunk.champions[0], frame, weight, splits, cell.data, cell.training, 0)

    before = float(chunk.curves["test_metric"][0, -1])
    assert outcome(0).test_metric == pytest.approx(
        before, abs=0.01
    )  # sums of other order: a few ties are decided anew
    assert outcome(150).test_metric > outcome(0).test_metric + 0.05
    assert outcome(150).flops == 150 * outcome(1).flops > 0 == outcome(0).flops


@every_model
def test_kept_weights_are_the_network_that_was_evaluated_last(tmp_path, name):
    cell = cell_of(name)
    output = train(tmp_path, cell, keep_weights="last")
    metrics = read_run_file(output).variables["test_metric"][:, -1]
    test, runs = load(cell.data, CPU).test, read_weights(weights_path(output), cell)
    for run, metric in zip(runs, metrics, strict=True):
        outputs = network_of(run, cell.task())(test.inputs)
        assert float((outputs.argmax(1) == test.targets).double().mean()) == pytest.approx(metric)


def test_probes_record_nothing_of_networks_that_evolve(tmp_path):
    output = train(tmp_path, cell_of("neat"), probes=ProbeSettings())
    assert (
        read_dynamics_file(dynamics_path(output)).attrs["absent"]
        == "the inside of this network is not probed"
    )


def test_results_hold_the_counts_of_the_last_networks(tmp_path):
    cell = cell_of("wann")
    train(tmp_path, cell)
    sweeps = {"evolution": Sweep("evolution", {cell.name: "wann"}, (0, 1))}
    grid = Grid(Settings(results=str(tmp_path)), (), sweeps, {cell.name: cell}, {cell.name: (0, 1)})
    ds = gather(grid)
    run = read_run_file(tmp_path / "runs" / f"{cell.name}.seeds-0-1.nc").variables
    assert ds["final_forward_flops"].values[0].tolist() == run["network_flops"][:, -1].tolist()
    assert ds["final_evaluations"].values[0].tolist() == [10 * 72] * 2
    assert ds["final_trained_test_metric"].notnull().all()
    assert ds["trained_test_metric"].isel(step=slice(0, -1)).isnull().all()


def test_the_activations_of_published_mnist_networks_have_no_step():
    assert "step" not in activations_of(cell_of("wann").model)
