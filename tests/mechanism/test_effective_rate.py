"""Relative updates against the optimiser's rule, and a planted world in which the gain explains everything."""

import numpy as np
import pytest
import torch

from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.mechanism.effective_rate import best_is_at_edge, compare, measure, relative_updates, steps_at
from hornlib.models.build import build_network
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk

RATES = np.array([1e-3, 1e-2, 1e-1])


def curve(gain, seeds=8):
    """Steps to the target as a function of rate x gain alone, with the same seed-to-seed factor in every arm."""
    steps = 100 / np.sqrt(RATES * gain)[:, None] * (1 + 0.1 * np.arange(seeds))
    return RATES, steps


def cell_of(**training):
    return parse_specification(
        {
            "data": {"name": "digits", "train_subset": 200},
            "model": {"name": "cnn", "channels": "2-4"},
            "training": {"batch_size": 32, "steps": 30, "schedule": "constant", **training},
        }
    )


def test_adams_first_update_is_the_learning_rate_a_weight():
    cell = cell_of(learning_rate=1e-3)
    found = relative_updates(cell, (0, 1), load(cell.data, "cpu"))
    weights = build_network(cell.model, cell.task(), 1).readout.linear
    size = torch.cat([weights.weight.flatten(), weights.bias]).norm().item()
    expected = 1e-3 * (4 * 10 + 10) ** 0.5 / size
    assert found["readout.linear"].shape == (2, 10)
    assert found["readout.linear"][1, 0].item() == pytest.approx(expected, rel=1e-2)


def test_updates_are_those_of_the_run_that_training_would_make():
    cell = cell_of(optimizer="sgd", learning_rate=1e-2)
    splits = load(cell.data, "cpu")
    found = relative_updates(cell, (4,), splits)["readout.linear"][0]
    path = []

    def weights(chunk):
        own = chunk.lanes.parameters
        return torch.cat([own[f"readout.linear.{part}"].detach().flatten() for part in ("weight", "bias")])

    chunk = start_chunk(cell, [4], torch.device("cpu"))
    path.append(weights(chunk))
    train_chunk(chunk, splits, lambda chunk: path.append(weights(chunk)))
    expected = [(path[t + 1] - path[t]).norm() / path[t].norm() for t in range(10)]
    torch.testing.assert_close(found, torch.stack(expected))


def test_a_lane_that_diverges_leaves_a_gap_and_the_others_go_on():
    noisy = {
        "optimizer": "sgd",
        "learning_rate": 1e-3,
        "batch_size": 4,
    }  # some lane's loss rises within ten steps
    seeds = tuple(range(6))
    usual, strict = cell_of(**noisy), cell_of(**noisy, divergence_factor=1.05)
    expected, found = (
        relative_updates(cell, seeds, load(cell.data, "cpu"))["readout.linear"] for cell in (usual, strict)
    )
    known = ~torch.isnan(found)
    assert 0 < known.all(1).sum() < 6 and known[:, 0].all()
    torch.testing.assert_close(found[known], expected[known])


def test_steps_between_trained_rates_are_interpolated_and_outside_unknown():
    steps = steps_at(curve(1.0, seeds=2), 10**-1.5)
    assert steps == pytest.approx(100 / 10**-0.75 * np.array([1, 1.1]))
    assert np.isnan(steps_at(curve(1.0), 0.2)).all()


def test_where_steps_depend_on_rate_times_gain_rescaling_takes_the_difference_away():
    found = compare(curve(4.0), curve(1.0), gain_ratio=4.0)
    assert found["same_rate"].estimate == pytest.approx(0.5)
    assert found["rescaled_rate"].estimate == pytest.approx(1)
    assert found["same_rate"].num == found["rescaled_rate"].num == 8


def test_where_an_arm_is_faster_at_any_rate_the_difference_stays():
    rates, steps = curve(1.0)
    found = compare((rates, steps / 2), curve(1.0), gain_ratio=1.0)
    assert [found[name].estimate for name in found] == pytest.approx([0.5] * 3)


def test_no_seed_chooses_its_own_best_rate():
    noise = np.random.default_rng(0).lognormal(0, 0.5, (2, 5, 400))
    rates = np.logspace(-3, -1, 5)
    lucky = noise[0].min(0).mean()
    found = compare((rates, noise[0]), (rates, noise[1]), 1.0)
    assert lucky < 0.7 and found["own_best_rate"].low < 1 < found["own_best_rate"].high


def test_a_rate_whose_runs_are_missing_is_never_the_best():
    rates, steps = curve(1.0)
    holes = steps.copy()
    holes[1] = np.nan
    holes[0, 3] = np.nan
    found = compare((rates, holes), (rates, steps), 1.0)["own_best_rate"]
    assert found.estimate == pytest.approx(1) and found.num == 8


def test_a_best_rate_at_an_end_of_those_tried_is_flagged():
    rates = np.array([0.01, 0.1, 1.0])
    assert best_is_at_edge((rates, np.array([[9.0, 9], [7, 8], [5, 4]])))
    assert not best_is_at_edge((rates, np.array([[9.0, 9], [3, 4], [5, np.nan]])))
    assert not best_is_at_edge((rates, np.full((3, 2), np.nan)))
    assert not best_is_at_edge((rates, np.full((3, 2), 600.0)))  # every run misses the target
    assert best_is_at_edge(
        (rates, np.array([[4.0, 4], [4, 4], [9, 9]]))
    )  # steps are those of evaluations, and tie


SWEEPS = """
  learning_rates:
    training: {learning_rate: [1e-3, 1e-2, 1e-1]}
    model:
      - {name: horn_cnn, readout_norm: none, num_nodes: 2, num_stages: 2, timesteps: 2}
      - {name: cnn, readout_norm: none, channels: 2-4}
"""


def test_the_experiment_pairs_the_first_arm_with_the_others(trained, study):
    def reached_at(contender, seed):
        return (40 if contender.arm == "horn_cnn" else 80) * (1 + 0.1 * seed)

    ds = measure(study(trained(SWEEPS, reached_at, seeds=7), "learning_rates"))
    assert ds["pair"].values.tolist() == ["horn_cnn over cnn"]
    assert ds["ratio"].sel(comparison="same_rate").item() == pytest.approx(0.5, rel=0.15)
    assert ds["relative_update"].dims == ("contender", "seed", "training_step", "layer")
    assert "a difference stays" in ds.attrs["sentence"] or "not trained" in ds.attrs["sentence"]
    for name, values in ds.variables.items():
        assert {"units", "long_name"} <= set(values.attrs), name


def test_an_arm_that_misses_the_target_at_every_rate_has_no_best_one(trained, study):
    def reached_at(contender, seed):
        return 40 if contender.arm == "cnn" else 2000

    sentence = measure(study(trained(SWEEPS, reached_at, seeds=7), "learning_rates")).attrs["sentence"]
    assert "No learning rate that was tried is enough for horn_cnn: no run reaches the target" in sentence
    assert "†" not in sentence
    assert sentence.endswith(
        "The target is reached by 0 of 7 runs of horn_cnn learning_rate=0.001, 0.01, 0.1."
    )


def test_an_arm_that_was_not_trained_did_not_fail(trained, study):
    whole = study(trained(SWEEPS, lambda *_: 40, seeds=7), "learning_rates")
    of_horn = whole.results.isel(cell=(whole.results["arm"] == "horn_cnn").values)
    sentence = measure(whole._replace(results=of_horn)).attrs["sentence"]
    assert "no run reaches the target" not in sentence
