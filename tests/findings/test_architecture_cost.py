"""The numbers and the words of what an architecture costs, on results whose truth is known."""

from pathlib import Path

import architecture_cost
import architecture_cost_figure
import architecture_cost_profiles
import architecture_cost_ways
import numpy as np
import pytest
import xarray as xr
from ruamel.yaml import YAML

STEPS = np.array([1, 2, 4, 8, 16])
"""With 16 profiles these are the rungs of successive halving with eta = 2."""

SEEDS = 7

PROFILES = [f"profile hidden_nodes={width}-{width}" for width in range(8, 24)]


def rising(last, speed=2.0):
    """Return an accuracy over steps that ends at `last`."""
    return 0.1 + (last - 0.1) * (1 + speed / STEPS[-1]) * STEPS / (STEPS + speed)


def contenders(arms, seeds=SEEDS, **variables):
    """Return arms as `hornlib.statistics.contenders.contenders` gives them.

    Args:
        arms: label -> (accuracy over steps, FLOPs of a step, parameters over steps or one number).
        seeds: number of runs of each; run k is better by k / 1000.
        variables: further ones, (contender, seed, step).
    """
    dims, names = ("contender", "seed", "step"), list(arms)
    curves = np.stack([np.asarray(curve, float) for curve, _, _ in arms.values()])[:, None]
    curves = curves + np.arange(seeds)[:, None] / 1000
    flops = np.array([flops for _, flops, _ in arms.values()], float)[:, None, None] * STEPS + 0 * curves
    sizes = np.stack([np.broadcast_to(np.asarray(size, float), STEPS.shape) for _, _, size in arms.values()])
    ds = xr.Dataset(
        {
            "validation_metric": (dims, curves),
            "test_metric": (dims, curves - 0.01),
            "final_validation_metric": (dims[:2], curves[..., -1]),
            "final_test_metric": (dims[:2], curves[..., -1] - 0.01),
            "training_flops": (dims, flops),
            "num_parameters_over_steps": (dims, sizes[:, None] + 0 * curves),
            "samples": (("contender", "step"), np.tile(10.0 * STEPS, (len(arms), 1))),
            "diverged_at_step": (dims[:2], np.full(curves.shape[:2], np.nan)),
            "status": (dims[:2], np.full(curves.shape[:2], "complete", object)),
            **{name: (dims, values) for name, values in variables.items()},
        },
        coords={
            "contender": names,
            "arm": ("contender", [name.split()[0] for name in names]),
            "hidden_nodes": ("contender", [name.split("=")[-1] for name in names]),
            "direction": ("contender", ["maximise"] * len(names)),
            "chance_level": ("contender", [0.1] * len(names)),
            "seed": np.arange(seeds),
            "step": STEPS,
        },
    )
    return ds


LARGE = {"large": (rising(0.9), 4.0, 100)}

CANDIDATES = {name: (rising(0.5 + place / 50), 1.0, 10 + place) for place, name in enumerate(PROFILES)}
"""The last one is the best at every step; a step costs 1."""


def test_the_written_profiles_are_those_that_the_rule_draws():
    path = Path(__file__).resolve().parents[2] / "config" / "architecture_cost.yaml"
    sweeps = YAML(typ="safe").load(path.read_text())["sweeps"]
    drawn = architecture_cost_profiles.width_profiles()
    for name in architecture_cost.TITLES:
        (written,) = (entry["hidden_nodes"] for entry in sweeps[name]["model"] if entry["arm"] == "profile")
        assert written == drawn
    assert len(set(drawn)) == 16 and architecture_cost_profiles.width_profiles(16, 2, seed=1) != drawn
    smallest, largest = architecture_cost_profiles.SMALLEST, architecture_cost_profiles.LARGEST
    assert all(smallest <= int(width) <= largest for profile in drawn for width in profile.split("-"))
    many = [int(profile) for profile in architecture_cost_profiles.width_profiles(50, 1)]
    assert len(set(many)) == 50  # a profile that was drawn before is drawn again


def test_a_network_is_the_last_one_once_its_number_of_parameters_stays():
    size = xr.DataArray(
        [[9.0, 7, 5, 5, 5], [5, 5, 5, 5, 5], [5, 9, 5, 9, 5], [9, 7, np.nan, np.nan, np.nan]],
        {"step": STEPS},
        ("seed", "step"),
    )
    evaluated = xr.DataArray(np.ones(5, bool), {"step": STEPS}, "step")
    assert architecture_cost_ways.last_network_from(size, evaluated).values.tolist() == [4, 1, 16, 2]


def test_a_pruned_network_arrives_after_its_last_pruning():
    ds = contenders({**LARGE, "unit_pruning": (rising(0.9), 4.0, [100, 100, 100, 50, 50])})
    ways = architecture_cost_ways.ways_of(ds)
    level = 0.1 + 0.5 * 0.8  # every network reaches it at step 2
    large, pruned = (ways[name] for name in ("large", "unit_pruning"))
    assert large.costs_to(level).flops.values.tolist() == [8.0] * SEEDS
    assert pruned.costs_to(level).flops.values.tolist() == [32.0] * SEEDS
    assert pruned.early_costs_to(level).flops.values.tolist() == [8.0] * SEEDS
    assert large.early_costs_to is None
    ratio = architecture_cost_ways.ratio_of(pruned.costs_to(level), large.costs_to(level))
    assert ratio.estimate.value == pytest.approx(4) and not ratio.is_bound
    assert pruned.parameters.values.tolist() == [50] * SEEDS


def test_zeros_count_as_no_parameters_where_they_were_counted():
    names = {**LARGE, "beta_lasso": (rising(0.9), 4.0, 100)}
    zeros = np.full((2, SEEDS, 5), np.nan)
    zeros[1] = [90, 70, 50, 40, 30]
    way = architecture_cost_ways.ways_of(contenders(names, num_nonzeros=zeros))["beta_lasso"]
    assert way.parameters.values.tolist() == [30] * SEEDS
    assert way.costs_to(0.2).flops.values.tolist() == [64.0] * SEEDS


def test_random_search_costs_all_profiles_and_halving_a_few_of_them():
    ds = contenders({**LARGE, **CANDIDATES})
    ways = architecture_cost_ways.ways_of(ds)
    everything, halving = ways["random_search"], ways["successive_halving"]
    assert everything.spent.values.tolist() == [16 * 16] * SEEDS
    assert halving.spent.values.tolist() == [16 + 8 * 1 + 4 * 2 + 2 * 4 + 1 * 8] * SEEDS
    for way in (everything, halving):
        assert way.parameters.values.tolist() == [25] * SEEDS
        np.testing.assert_allclose(way.accuracy, ds["final_test_metric"].values[-1] * 100)


def test_a_search_ends_with_the_first_profile_that_is_good_enough():
    ds = contenders({**LARGE, **CANDIDATES})
    ways = architecture_cost_ways.ways_of(ds)
    at_step_4 = float(ds["validation_metric"][-1, 0, 2])  # of the best profile, in the weakest seed
    costs = ways["random_search"].costs_to(at_step_4)
    assert costs.flops.values[0] == 16 * 4 and costs.reached.all()
    assert ways["successive_halving"].costs_to(at_step_4).flops.values[0] == 8 * 1 + 4 * 2 + 4 * 4
    final = ds["validation_metric"].values[1:, 0, -1]
    alone = float(final[-1])  # no other profile reaches it
    expected = 16 + 15 * 16 / 2
    assert ways["first_good"].costs_to(alone).flops.values[0] == pytest.approx(expected)
    assert not ways["first_good"].costs_to(0.99).reached.any()
    assert ways["random_search"].costs_to(0.99).flops.values[0] == 16 * 16


def test_a_profile_that_diverged_is_not_chosen_and_a_seed_without_one_profile_is_left_out():
    ds = contenders({**LARGE, **CANDIDATES})
    ds["status"][-1, 0], ds["diverged_at_step"][-1, 0] = "diverged", 5
    for name in ("validation_metric", "test_metric", "training_flops"):
        ds[name][-1, 0, 3:] = np.nan
    ds["final_validation_metric"][-1, 0] = ds["final_test_metric"][-1, 0] = np.nan
    ds["status"][-2, 1] = "missing"
    way = architecture_cost_ways.ways_of(ds)["random_search"]
    assert way.spent.sizes["seed"] == SEEDS - 1
    assert way.parameters.values.tolist() == [24] + [25] * (SEEDS - 2)
    assert way.spent.values[0] == 15 * 16 + 4
    ds["status"][-3] = "missing"
    assert "random_search" not in architecture_cost_ways.ways_of(ds)
    text = "\n".join(architecture_cost.lines({"digits": ds}))
    assert "Not in this part" in text and "random search that stops at the first good profile" in text


def test_runs_that_miss_the_level_make_the_ratio_a_lower_bound():
    ds = contenders({**LARGE, "small": (rising(0.6), 1.0, 10)})
    ways = architecture_cost_ways.ways_of(ds)
    level = architecture_cost.levels_of(ds)["98 %"]
    assert level == pytest.approx(0.1 + 0.98 * (0.903 - 0.1))
    costs = ways["small"].costs_to(level)
    ratio = architecture_cost_ways.ratio_of(costs, ways["large"].costs_to(level))
    assert not costs.reached.any() and ratio.is_bound and ratio.words().startswith("at least ")
    assert "(0 of 7 reach it)" in "\n".join(architecture_cost.lines({"digits": ds}))


def test_a_seed_whose_large_network_misses_the_level_is_left_out_of_the_ratio():
    ds = contenders({**LARGE, "small": (rising(0.95), 1.0, 10)})
    ways, level = architecture_cost_ways.ways_of(ds), 0.9025  # seeds 0 to 2 of the large network end below it
    ratio = architecture_cost_ways.ratio_of(ways["small"].costs_to(level), ways["large"].costs_to(level))
    assert ratio.estimate.number == SEEDS - 3 and not ratio.is_bound
    assert "Seeds whose large network misses a level are left out" in "\n".join(
        architecture_cost.lines({"digits": ds})
    )


def test_the_common_level_is_half_a_point_below_the_weakest_run():
    ways = architecture_cost_ways.ways_of(contenders({**LARGE, "small": (rising(0.6), 1.0, 10)}))
    assert architecture_cost_ways.common_level(*ways.values()) == pytest.approx(0.6 - 0.005)
    assert np.isnan(architecture_cost_ways.common_level())


def test_the_curve_of_random_search_begins_with_one_profile_and_ends_with_the_best_of_all():
    candidates = architecture_cost_ways.candidates_of(contenders({**LARGE, **CANDIDATES}))
    flops, accuracy = architecture_cost_figure.search_curve(candidates)
    np.testing.assert_allclose(flops.isel(seed=0), 16 * np.arange(1, 17))
    np.testing.assert_allclose(accuracy.isel(num_candidates=0), candidates["accuracy"].mean("candidate"))
    np.testing.assert_allclose(accuracy.isel(num_candidates=-1), candidates["accuracy"].max("candidate"))


def test_the_page_has_a_row_for_every_way_and_names_what_is_missing():
    neat = contenders({"neat": (rising(0.5), 100.0, [5, 6, 7, 8, 9])})
    neat = neat.assign_coords(species_distance=("contender", [0.4]))
    growing = {"gradmax": (rising(0.9), 3.0, [25, 50, 100, 100, 100])}
    text = "\n".join(
        architecture_cost.lines(
            {"digits": contenders({**LARGE, **growing, **CANDIDATES}), "digits_neat": neat}
        )
    )
    ways = ("the large network as it is", "growth (GradMax)", "NEAT", "random search, 16 profiles")
    assert all(f"| {words} | 7 |" in text for words in ways)  # of the whole way
    assert text.count("| the large network as it is | 7 of 7 |") == 1
    assert "| NEAT | 0 of 7 | not reached | at least" in text
    assert "| 2 | 1: 16, 2: 8, 4: 4, 8: 2, 16: 1 | 7 | 7 | 1 (1) | 0.19" in text
    assert "Not in this part: a small network as it is, pruning of units" in text
    assert "Random search chose, with the number of seeds: 23-23 (7)." in text
    assert text.count("This sweep has no results yet.") == 1
    assert text.count("The runs of NEAT in these tables have a species_distance of 0.4.") == 1
    assert "growth (GradMax) 0.75 (n = 7, 95 % interval 0.75 to 0.75)" in text


def test_few_seeds_give_no_verdict_and_no_results_give_a_page():
    text = "\n".join(
        architecture_cost.lines({"digits": contenders({**LARGE, "small": (rising(0.9), 1.0, 10)}, 3)})
    )
    assert "0.25 (n = 3, 95 % interval 0.25 to 0.25; no verdict below 7 seeds)" in text
    assert "There are no results yet." in "\n".join(architecture_cost.lines({}))


def test_the_figure_is_drawn_without_the_ways_that_end_at_a_level(tmp_path):
    ds = contenders({**LARGE, **CANDIDATES})
    ways = {"Digits": architecture_cost_ways.ways_of(ds)}
    architecture_cost_figure.draw(
        tmp_path / "page.svg", ways, {"Digits": architecture_cost_ways.candidates_of(ds)}
    )
    text = (tmp_path / "page.svg").read_text()
    assert "<!-- successive halving, 16 profiles, eta 2 -->" in text and "first good profile" not in text
    assert "<!-- last test error, % -->" in text
    architecture_cost_figure.draw(tmp_path / "nothing.svg", {}, {})
    assert not (tmp_path / "nothing.svg").exists()
