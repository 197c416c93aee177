"""The numbers and the words of the findings on growth, on results whose truth is known."""

import grow_and_prune
import growth
import growth_factorial
import growth_sentence
import growth_sweeps
import numpy as np
import pytest
import xarray as xr
from growth_factorial import Table

STEPS = np.array([1, 2, 5, 10, 20, 30, 40])
"""An arm of 2 to 4 steps to half of its gain reaches nine tenths of it at step 20, and one of 6 at step 30."""


def contenders(arms, seeds=8, **coordinates):
    """Return arms as `hornlib.statistics.contenders.contenders` gives them.

    Args:
        arms: label -> (steps to half of the last accuracy, last accuracy, FLOPs of a step).
        seeds: number of runs of each.
        coordinates: further ones, over contenders.
    """
    noise = 0.05 * np.random.default_rng(0).standard_normal((len(arms), seeds))
    numbers = np.array(list(arms.values()))
    speed = numbers[:, :1] * np.exp(noise)
    curves = 0.1 + (numbers[:, 1, None, None] - 0.1) * (1 + speed[..., None] / STEPS[-1]) * STEPS / (
        STEPS + speed[..., None]
    )
    dims, names = ("contender", "seed", "step"), list(arms)
    costs = numbers[:, 2, None, None] * STEPS * np.ones(curves.shape)
    sizes = np.full(curves.shape, 50.0)
    return xr.Dataset(
        {
            "validation_metric": (dims, curves),
            "test_metric": (dims, curves),
            "final_test_metric": (dims[:2], curves[..., -1]),
            "training_flops": (dims, costs),
            "job_seconds": (dims, costs / 1e3),
            "seconds": (("contender", "step"), np.full((len(arms), len(STEPS)), np.nan)),
            "num_parameters_over_steps": (dims, sizes),
            "samples": (("contender", "step"), np.tile(10.0 * STEPS, (len(arms), 1))),
            "diverged_at_step": (dims[:2], np.full(curves.shape[:2], np.nan)),
            "status": (dims[:2], np.full(curves.shape[:2], "complete", object)),
            "judged_on": ("contender", ["validation"] * len(arms)),
        },
        coords={
            "contender": names,
            "arm": ("contender", [name.split()[0] for name in names]),
            "num_parameters": ("contender", [50.0] * len(names)),
            "largest_num_parameters": ("contender", [50.0] * len(names)),
            "forward_flops": ("contender", numbers[:, 2]),
            "direction": ("contender", ["maximise"] * len(names)),
            "chance_level": ("contender", [0.1] * len(names)),
            "seed": np.arange(seeds),
            "step": STEPS,
            **{name: ("contender", values) for name, values in coordinates.items()},
        },
    )


def test_the_target_is_chance_and_nine_tenths_of_the_large_networks_gain():
    ds = contenders({"large": (5, 0.9, 1.0), "small": (5, 0.6, 1.0)})
    assert growth_sweeps.gain_level(ds) == pytest.approx(0.1 + 0.9 * 0.8)
    assert np.isnan(growth_sweeps.gain_level(ds, "huge"))


def test_costs_to_the_target_are_compared_in_pairs_and_a_miss_counts_with_the_smaller_budget():
    ds = contenders({"large": (4, 0.9, 2.0), "gradmax": (4, 0.9, 1.0), "small": (4, 0.3, 1.0)})
    ratio = growth_sweeps.gain_ratio(ds, "gradmax", "large", "training_flops")
    assert ratio.value == pytest.approx(0.5) and ratio.number == 8
    _, reached = growth_sweeps.restricted_costs(ds, "small", growth_sweeps.gain_level(ds), "training_flops")
    assert not reached.any()
    assert growth_sweeps.gain_ratio(ds, "small", "small", "training_flops").value == pytest.approx(1)
    assert growth_sweeps.gain_ratio(ds, "gradmax", "absent", "training_flops").number == 0


def test_a_ratio_says_how_many_runs_reach_the_level():
    ds = contenders({"large": (4, 0.9, 2.0), "gradmax": (4, 0.9, 1.0), "small": (4, 0.3, 1.0)})
    assert growth_sweeps.gain_words(ds, "gradmax", "large", "samples").startswith("1.0")
    assert growth_sweeps.gain_words(ds, "small", "small", "samples") == "neither reaches it"
    assert growth_sweeps.gain_words(ds, "small", "large", "samples").endswith("; 0 of 8 and 8 of 8 reach it")
    assert growth_sweeps.gain_words(ds, "gradmax", "absent", "samples") == "-"


@pytest.fixture
def table():
    """Return a factorial in which `rule` has an effect of 3, `place` of 1, and both one together in one cell."""
    random = np.random.default_rng(1)
    values = np.zeros((4, 4, 6, 7)) + 0.1 * random.standard_normal((4, 4, 6, 7)) + random.standard_normal(7)
    values[:, :, 0] += 3
    values[:, 1] += 1
    values[:, 1, 0] += 2
    levels = {"when": list("abcd"), "place": list("efgh"), "rule": list("ijklmn")}
    return Table(levels, values)


def test_shares_of_variance_are_those_of_an_analysis_of_variance(table):
    shares = growth_factorial.shares(table)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["rule"] > shares["place"] > shares["when"]
    centred = table.values - table.values.mean()
    by_rule = table.values.mean((0, 1, 3)) - table.values.mean()
    assert shares["rule"] == pytest.approx(4 * 4 * 7 * (by_rule**2).sum() / (centred**2).sum())
    assert shares["place x rule"] > 5 * shares["when x place"]
    assert shares["when x place x rule"] >= 0
    assert growth_factorial.leading_factor(table) == ("how", shares["rule"])
    assert growth_factorial.leading_factor(None).word == ".."


def test_main_effects_are_means_of_levels_less_the_mean_of_all(table):
    effects = growth_factorial.effects(table, "rule")
    assert list(effects) == list("ijklmn")
    assert sum(effect.value for effect in effects.values()) == pytest.approx(0, abs=1e-12)
    assert effects["i"].low < 3.5 * 5 / 6 < effects["i"].high
    assert effects["i"].number == 7


def factorial():
    arms, fields = {}, {"structure": [], "when": [], "place": [], "rule": []}
    for when in ("schedule", "plateau"):
        for place in ("all", "random"):
            for rule in ("gradmax", "gaussian"):
                arms[f"{when} {place} {rule}"] = (2 if rule == "gradmax" else 6, 0.9, 1.0)
                for name, value in zip(fields, ("growth", when, place, rule), strict=True):
                    fields[name].append(value)
    arms["large"] = (4, 0.9, 2.0)
    for name in fields:
        fields[name].append("static" if name == "structure" else "")
    return contenders(arms, **fields)


def test_the_page_says_which_factor_matters_and_keeps_the_rows_of_every_level():
    ds = factorial()
    text = "\n".join(growth_factorial.factorial_lines(ds))
    assert growth_factorial.leading_factor(growth_factorial.tables_of(ds)["flops"]).word == "how"
    assert all(
        f"| {row} |" in text for row in ("when | plateau", "place | random", "rule | gaussian", "residual")
    )
    assert "n = 8 seeds of each of 8 combinations" in text.replace("\n", " ")


def test_triggers_that_reach_the_full_width_are_compared_once_more_without_the_others():
    ds = factorial()
    assert growth_factorial.complete_triggers(ds) == ["schedule", "plateau"]
    assert "At equal final parameters" not in "\n".join(growth_factorial.factorial_lines(ds))
    ds["num_parameters_over_steps"][4] = 40.0  # plateau, all, gradmax
    text = "\n".join(growth_factorial.factorial_lines(ds))
    assert growth_factorial.complete_triggers(ds) == ["schedule"]
    assert "### At equal final parameters: schedule" in text
    assert "seeds of each of 8 combinations" in text and "seeds of each of 4 combinations" in text
    ds["num_parameters_over_steps"][0] = 40.0
    assert "No trigger lets every run grow to the full width." in "\n".join(
        growth_factorial.factorial_lines(ds)
    )


def test_a_factorial_with_a_gap_says_so():
    ds = factorial()
    ds["status"][0] = "missing"
    for name in ("validation_metric", "test_metric", "final_test_metric"):
        ds[name][0] = np.nan
    assert "no run with a seed that all have" in "\n".join(growth_factorial.factorial_lines(ds))


MNIST = {
    "gradmax": (3, 0.9, 1.0),
    "gaussian": (6, 0.9, 1.0),
    "large": (4, 0.9, 2.0),
}
PRUNED = {"grow_then_prune": (4, 0.93, 1.0), "equal_flops": (4, 0.9, 1.0), "large": (4, 0.95, 2.0)}


def test_the_sentence_has_the_numbers_of_every_sweep_that_exists():
    (sentence, *_) = growth_sentence.sentence(
        {"mnist": contenders(MNIST), "digits_factorial": factorial()}, {"mnist": contenders(PRUNED)}
    )
    assert "times the training FLOPs of the large one (n = 8, 95 % interval" in sentence
    assert (
        "On digits: of when, where and how, at equal final parameters, how explains the largest share"
        in sentence
    )
    assert "3.00 points better (MNIST at equal training FLOPs, n = 8" in sentence
    assert "Fashion-MNIST" not in sentence


def test_the_sentence_runs_without_results_and_names_what_is_missing():
    text = "\n".join(growth_sentence.sentence({}, {}))
    assert "with .. times the training FLOPs" in text and "it is .. than" in text
    assert "Without results: mnist, fashion_mnist, digits_factorial, mnist of grow_and_prune" in text


def test_few_seeds_give_no_verdict():
    (sentence, *_) = growth_sentence.sentence(
        {"mnist": contenders(MNIST, seeds=3)}, {"mnist": contenders(PRUNED, 3)}
    )
    assert sentence.count("no verdict below 7 seeds") == 5


def test_the_front_has_those_that_no_other_one_beats():
    points = {"a": (1.0, 90.0), "b": (2.0, 90.0), "c": (2.0, 95.0), "d": (3.0, 94.0), "e": (1.0, 90.0)}
    assert grow_and_prune.front(points) == ["a", "c", "e"]


def test_pages_have_a_heading_for_every_sweep_and_say_which_have_no_results():
    text = "\n".join(growth.lines({"mnist": contenders(MNIST)}, {}, {"mnist": ["Does it? No."]}))
    assert all(f"## {title}" in text for title in growth.TITLES.values())
    assert text.count("This sweep has no results yet.") == len(growth.TITLES) - 1
    assert "| gradmax | gaussian | 8 |" in text and "> Does it? No." in text
    text = "\n".join(grow_and_prune.lines({"mnist": contenders(PRUNED)}))
    assert "| grow_then_prune | equal_flops | 8 |" in text and "GNAP 6,200 parameters 99.44 %" in text
