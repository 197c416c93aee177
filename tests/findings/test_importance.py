"""The page on importance on planted numbers: pairs, directions, verdicts, and every section of the page."""

from itertools import product

import importance
import importance_hypotheses
import importance_pairs
import importance_tables
import numpy as np
import pytest
import scipy.stats
import xarray as xr

from hornlib.importance.dropped_sets import DROP_RULES
from hornlib.importance.networks import SPLITS
from hornlib.importance.proxies import PROXIES
from hornlib.importance.removal import SHARES
from hornlib.importance.summary import ORDERS
from hornlib.importance.variables import STATISTICS
from hornlib.results.analysis_files import IMPORTANCE_FILE
from hornlib.results.netcdf import write_dataset

SEEDS = {"exploration": range(5), "topology": range(5), "confirmation": range(100, 110)}


def cells():
    """Yield sweep and levels of every cell."""
    for activation, norm, scaling, density in product(
        ("relu", "tanh", "sigmoid"), ("none", "batch", "layer"), ("per_feature", "raw"), (0.5, 0.1)
    ):
        yield "exploration", (activation, norm, scaling, density, "static")
    for rule, density in product(("static", "set", "set_stopped", "rigl"), (0.5, 0.05)):
        yield "topology", ("relu", "none", "per_feature", density, rule)
    for activation, norm, scaling in product(("relu", "sigmoid"), ("none", "batch"), ("per_feature", "raw")):
        yield "confirmation", (activation, norm, scaling, 0.2, "static")
    for density in (0.5, 0.05):
        yield "confirmation", ("relu", "none", "per_feature", density, "static")
    for rule in ("set", "set_stopped", "rigl"):
        yield "confirmation", ("relu", "none", "per_feature", 0.2, rule)


def planted(**effects):
    """Return importance.nc with planted effects on rho(|w|), ln |dL|, Gini and what rules drop; noise is small."""
    rows = dict.fromkeys(cells())
    names = [f"{sweep}{number}" for number, (sweep, _) in enumerate(rows)]
    seeds = sorted({seed for seeds in SEEDS.values() for seed in seeds})
    sizes = {"cell": len(names), "seed": len(seeds), "split": 2, "layer": 3, "proxy": len(PROXIES)}
    sizes |= {"removal_order": len(ORDERS), "removed_share": len(SHARES), "drop_rule": len(DROP_RULES)}
    noise = np.random.default_rng(0)
    variables = {}
    for name, variable in STATISTICS.items():
        dims = ("cell", *variable.dims)
        variables[name] = (dims, 1 + 0.01 * noise.standard_normal([sizes[dim] for dim in dims]))
    ds = xr.Dataset(variables, {"split": list(SPLITS), "proxy": list(PROXIES), "drop_rule": list(DROP_RULES)})
    columns = np.array([levels for _, levels in rows], object).T
    level = {
        name: ("cell", column)
        for name, column in zip(
            ("activation", "normalisation", "input_scaling", "density", "rule"), columns, strict=True
        )
    }
    level["density"] = ("cell", columns[3].astype(float))
    stopped = columns[4] == "set_stopped"
    level["rule"] = ("cell", np.where(stopped, "set", columns[4].astype(str)))
    ends = {"static": np.nan, "set": 1.0, "set_stopped": 0.75, "rigl": 0.75}
    level["update_end"] = ("cell", np.array([ends[rule] for rule in columns[4]]))
    ds = ds.assign_coords(
        cell=names,
        seed=seeds,
        layer=np.arange(3),
        removal_order=list(ORDERS),
        removed_share=list(SHARES),
        **level,
    )
    ds = ds.assign_coords(dataset=("cell", ["fashion" if "conf" in name else "digits" for name in names]))
    for sweep, wanted in SEEDS.items():
        member = np.array([own == sweep for own, _ in rows])
        ds = ds.assign_coords(
            {
                f"in_{sweep}": ("cell", member.astype(np.int8), {"seeds": np.array(list(wanted))}),
                f"arm_{sweep}": ("cell", np.where(member, columns[4].astype(str), "")),
                f"label_in_{sweep}": ("cell", np.array(names)),
            }
        )
        outside = xr.DataArray(member, dims="cell") & ~ds["seed"].isin(list(wanted))
        ds = ds.where(~outside)
    shift = (
        effects.get("batch", 0) * (ds["normalisation"] == "batch")
        + effects.get("saturating", 0) * ds["activation"].isin(["tanh", "sigmoid"])
        + effects.get("raw", 0) * (ds["input_scaling"] == "raw")
    )
    ds["pooled_spearman"] = ds["pooled_spearman"] - 0.4 + shift * (ds["proxy"] == "magnitude")
    sparsity = -np.log(ds["density"])
    ds["pooled_mean_importance"] = ds["pooled_mean_importance"] * np.exp(effects.get("sparse", 0) * sparsity)
    ds["dropped_importance"] = ds["dropped_importance"] * np.exp(effects.get("dropped", 0))
    without_size = effects.get("newborn", 0) * (ds["rule"] == "set") * (ds["update_end"] == 1)
    ds["dropped_importance"] = ds["dropped_importance"] * np.exp(without_size)
    return ds


def test_pairs_are_cells_that_differ_in_one_factor_alone():
    ds = importance_pairs.part_of(planted(batch=-0.1), ["exploration"])
    effects = importance_pairs.effects_of(
        ds, importance_pairs.rho("magnitude"), "normalisation", "batch", "none"
    )
    assert len(effects) == 12 and {len(effect.values) for effect in effects} == {5}
    assert "relu raw 0.1" in {effect.label for effect in effects}
    estimate = importance_pairs.mean_effect(effects)
    assert estimate.value == pytest.approx(-0.1, abs=0.01) and estimate.number == 5
    assert estimate.low < -0.1 < estimate.high


def test_sweeps_together_have_each_cell_and_all_seeds_once():
    ds = importance_pairs.part_of(planted(), ["exploration", "topology", "absent"])
    assert ds.sizes["cell"] == 36 + 8 and list(ds["seed"].values) == [0, 1, 2, 3, 4]
    assert importance_pairs.part_of(planted(), ["absent"]).sizes["cell"] == 0


def test_an_interval_is_over_runs_and_needs_five():
    assert np.isnan(importance_pairs.over_runs(np.arange(4.0)).low)
    estimate = importance_pairs.over_runs(np.array([1.0, 2, 3, 4, 5, np.nan]))
    assert estimate.value == 3 and estimate.number == 5 and estimate.low < 2 and estimate.high > 4


def test_an_interval_of_nearly_equal_runs_is_that_of_their_t_test():
    """The studentised bootstrap gave [-12.95, 0.02] here: it draws samples of the three equal runs alone."""
    values = np.array([-6.30, -6.90, -7.04, -5.07, -7.02])
    estimate = importance_pairs.over_runs(values)
    expected = scipy.stats.t.interval(0.95, 4, values.mean(), scipy.stats.sem(values))
    assert (estimate.low, estimate.high) == pytest.approx(expected)
    assert expected == pytest.approx((-7.50, -5.43), abs=0.01)


def test_a_run_whose_dropped_connections_change_nothing_counts_as_the_smallest_ratio():
    ds = planted().sel(split="held_out", drop_rule="set")
    ds["dropped_importance"] = ds["dropped_importance"] * 0
    logs = importance_pairs.log_ratio(ds).isel(cell=0, seed=0)
    assert logs == pytest.approx(np.log(importance_pairs.SMALLEST_RATIO))


def test_the_registered_rows_have_no_network_whose_updates_were_stopped():
    ds = importance_pairs.part_of(planted(newborn=-5.0), ["topology"])
    (set_, stopped) = (importance_hypotheses.dropped(rule)(ds, "held_out") for rule in ("set", "set_stopped"))
    assert len(set_) == len(stopped) == 2
    for effects, planted_log in ((set_, -5.0), (stopped, 0.0)):
        assert [effect.values.mean() for effect in effects] == pytest.approx([planted_log] * 2, abs=0.05)


def test_densities_are_compared_over_the_widest_pair_of_equal_cells():
    effects = importance_hypotheses.HYPOTHESES["H4a"].effects
    ds = importance_pairs.part_of(planted(sparse=0.5), importance_hypotheses.EXPLORED)
    labels = {
        effect.label.partition(" relu none per_feature")[0]
        for effect in effects(ds, "held_out")
        if effect.label.endswith("relu none per_feature")
    }
    assert labels == {"0.05 v 0.5"}
    alone = importance_pairs.part_of(planted(sparse=0.5), ["topology"])
    assert [effect.label for effect in effects(alone, "held_out")] == ["0.05 v 0.5"]
    confirming = importance_pairs.part_of(planted(sparse=0.5), ["confirmation"])
    (effect,) = effects(confirming, "held_out")
    assert effect.estimate().value == pytest.approx(0.5 * np.log(10), abs=0.02)


def test_directions_are_written_and_read_and_judged(tmp_path):
    page = tmp_path / "hypotheses.md"
    ds = planted(batch=-0.1, saturating=0.2, raw=0.05, sparse=0.5, dropped=-1.0)
    page.write_text("\n".join(importance_hypotheses.direction_lines(ds)) + "\n")
    directions = importance_hypotheses.directions_in(page)
    assert directions["H1"] == directions["H5a"] == directions["H5b"] == "lower"
    assert directions["H2"] == directions["H3"] == directions["H4a"] == "higher"
    verdicts = importance_hypotheses.verdicts(ds, directions)
    assert list(verdicts) == list(importance_hypotheses.HYPOTHESES)
    for name in ("H1", "H2", "H3", "H4a", "H5a", "H5b"):
        assert verdicts[name].word == "confirmed" and verdicts[name].p < 0.05
        assert verdicts[name].estimate.number == 10
    assert verdicts["H5a"].estimate.value == pytest.approx(-1.0, abs=0.05)
    swapped = importance_hypotheses.verdicts(ds, {**directions, "H1": "higher"})
    assert swapped["H1"].word == "contradicted"
    assert importance_hypotheses.directions_in(tmp_path / "absent.md") == {}


def test_what_is_not_there_is_not_shown():
    directions = dict.fromkeys(importance_hypotheses.HYPOTHESES, "lower")
    words = [verdict.word for verdict in importance_hypotheses.verdicts(planted(), directions).values()]
    assert words.count("not shown") >= len(words) - 1


def test_cells_support_contradict_or_stay_open():
    values = {"a": np.linspace(-1.1, -0.9, 5), "b": np.linspace(0.9, 1.1, 5), "c": np.linspace(-1, 1, 5)}
    effects = [importance_pairs.Effect(label, column) for label, column in values.items()]
    assert importance_hypotheses.cells_by_direction(effects, "lower") == (["a"], ["b"], 1)
    assert importance_hypotheses.cells_by_direction(effects, "higher") == (["b"], ["a"], 1)


def test_the_page_has_its_four_phases_the_gate_and_the_sentence(tmp_path, monkeypatch):
    source, page = tmp_path / "importance.nc", tmp_path / "importance.md"
    write_dataset(
        source, IMPORTANCE_FILE, planted(batch=-0.1, saturating=0.2, raw=0.05, sparse=0.5, dropped=-1.0)
    )
    hypotheses = tmp_path / "hypotheses.md"
    for words in (["--directions", hypotheses], ["--out", page, "--hypotheses", hypotheses]):
        monkeypatch.setattr("sys.argv", ["importance.py", str(source), *map(str, words)])
        importance.main()
    text = page.read_text()
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        *("## In one sentence", "## Gate", "## 1. Exploration", "## 2. Framework and hypotheses"),
        *("## 3. Rules", "## 4. Code and report"),
    ]
    assert "*A weight's magnitude ranks its importance at rho = 0." in text
    assert "activation changes that most" in text
    assert "what RigL would drop matters less than a random choice, 0.37 [0.3" in text
    assert text.count("| confirmed |") >= 6 and "nan" not in text.lower().replace("finance", "")
    assert page.with_suffix(".svg").exists()


def test_a_page_before_the_hypotheses_says_that_there_are_none(tmp_path):
    text = "\n".join(importance.lines(planted(), {}))
    assert "no direction was written down" in text


@pytest.mark.parametrize(("log", "words"), [(1.0, "matters more"), (-1.0, "matters less")])
def test_the_sentence_says_what_the_interval_says_of_what_is_dropped(log, words):
    text = " ".join(importance.sentence(planted(dropped=log), {}))
    assert f"what RigL would drop {words} than a random choice" in text
    assert f"what SET (stopped at three quarters) would drop {words}" in text


def test_the_sentence_names_no_factor_where_none_is_shown():
    text = " ".join(importance.sentence(planted(), {}))
    assert "no factor is shown to change that most" in text
    assert "is not shown to matter less or more than a random choice" in text


def test_an_unknown_hypothesis_is_refused_in_words():
    with pytest.raises(SystemExit, match="the page of hypotheses has H9; known: H1, H2"):
        importance_hypotheses.verdicts(planted(), {"H9": "lower"})


def test_a_hypothesis_without_results_stays_in_the_family():
    ds = planted(batch=-0.002)
    few = importance_hypotheses.verdicts(ds, {"H1": "lower"})
    ds = ds.sel(cell=~((ds["rule"] == "rigl") & (ds["in_confirmation"] == 1)))
    more = importance_hypotheses.verdicts(ds, {"H1": "lower", "H5b": "lower", "H5d": "lower"})
    assert "H5b" not in more and more["H1"].p == pytest.approx(min(1, 3 * few["H1"].p))


def test_an_order_that_a_cell_lacks_has_no_mean_over_cells():
    ds = importance_pairs.part_of(planted(), ["confirmation"])
    ds["area_loss"] = ds["area_loss"].where((ds["removal_order"] != "exact") | (ds["density"] == 0.05))
    table = list(importance_tables.removal({"confirmation": ds}))
    numbers = next(line for line in table if line.startswith("| MLP on Fashion")).split("|")
    assert numbers[2 + list(ORDERS).index("exact")].strip() == "-"
    assert "nan" not in "".join(table)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((np.log(0.2), np.log(0.199), np.log(0.214)), "0.20 [0.20, 0.21]"),
        ((np.log(8.2e-5), np.log(2e-5), np.log(33.4)), "0.000082 [0.000020, 33]"),
        ((np.log(0.5), np.nan, np.nan), "0.50"),
        ((np.nan, np.nan, np.nan), "-"),
    ],
)
def test_a_ratio_has_two_digits_whatever_its_size_and_no_interval_of_few_runs(numbers, words):
    assert importance_tables.as_ratio(importance_tables.Estimate(*numbers, 3)) == words


def test_an_infinite_value_has_no_mean_over_runs():
    with pytest.raises(ValueError, match="1 of 6 runs have an infinite value"):
        importance_pairs.over_runs(np.array([-np.inf, -8, -8.1, -8.2, -8, -7.9]))
