"""Sections: they show and draw what stability.nc, mechanism/, dynamics/ and the statistics of a grid hold."""

import dataclasses
import warnings

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from hornlib.grid.cell import parse_specification
from hornlib.report.blocks import Chart, Facts, Heading, Missing, PageTable, Paragraph, Picture
from hornlib.report.evidence import collect
from hornlib.report.sections import mechanism as mechanism_section
from hornlib.report.sections import stability as stability_section
from hornlib.report.sections.compared import compared
from hornlib.report.sections.contenders import contenders
from hornlib.report.sections.dynamics import PROBE_CHARTS, dynamics
from hornlib.report.sections.efficiency import efficiency
from hornlib.report.sections.final import final
from hornlib.report.sections.mechanism import mechanism
from hornlib.report.sections.parameters import parameters
from hornlib.report.sections.provenance import provenance
from hornlib.report.sections.speed import speed
from hornlib.report.sections.stability import stability
from hornlib.report.sections.tuning import tuning
from hornlib.results.dynamics_file import (
    DYNAMICS_VARIABLES,
    DynamicsRecord,
    LayerRecord,
    sizes_of,
    write_dynamics_file,
)


@pytest.fixture(scope="module")
def evidence(folder):
    """What a folder with one dataset and three arms holds."""
    return collect(folder("yes", arms=["horn", "cnn", "leaky"], datasets=["digits"]), ["thesis"])


def with_statistics(evidence, **variables):
    """Return evidence whose only sweep has more variables, or others."""
    (sweep,) = evidence.sweeps
    changed = dataclasses.replace(sweep, statistics=sweep.statistics.assign(variables))
    return dataclasses.replace(evidence, sweeps=[changed])


def kinds(section, kind):
    return [block for block in section.all_blocks() if isinstance(block, kind)]


def rows_of(chart, column):
    """Return the rows of a chart that have a column; data that layers share stand beside them."""
    specification = chart.specification
    parts = [specification, *specification["layer"]]
    data = [part["data"]["values"] for part in parts if "data" in part]
    return next(rows for rows in data if column in rows[0])


def shown(table, column):
    """Return a column of a table as the page shows it."""
    place = list(table.columns).index(column)
    return [row[place].shown for row in table.rows]


def test_the_forest_and_its_table_hold_the_ratios_of_the_subject(evidence):
    ds = evidence.sweeps[0].statistics
    found = kinds(speed(evidence), PageTable)[0]
    at = {"target": 0.9, "axis": "samples", "contender": "horn"}
    wanted = sorted(float(ds["ratio"].sel({**at, "rival": rival})) for rival in ("cnn", "leaky"))
    assert [float(row[3].key) for row in found.rows] == pytest.approx(wanted)
    assert {row[1].shown for row in found.rows} == {"cnn", "leaky"}
    forest = next(chart for chart in kinds(speed(evidence), Chart) if "ratios" in chart.name)
    values = rows_of(forest, "ratio")
    assert sorted(row["ratio"] for row in values) == pytest.approx(wanted, rel=1e-3)
    assert all(row["low"] <= row["ratio"] <= row["high"] for row in values)


def test_learning_curves_are_those_of_the_best_cell_on_every_axis(evidence):
    charts = [chart for chart in kinds(speed(evidence), Chart) if "curves" in chart.name]
    assert [chart.name.split("curves-")[1] for chart in charts] == [
        "step",
        "samples",
        "training-flops",
    ]
    assert "hornlib calibrate" in [block.command for block in kinds(speed(evidence), Missing)]
    results = evidence.sweeps[0].results
    median = results["validation_metric"].isel(cell=0).median("seed").values
    own = [row["y"] for row in rows_of(charts[0], "series") if row["series"] == "horn"]
    np.testing.assert_allclose(own, median, rtol=1e-3)


def test_final_metrics_are_compared_with_n_and_margin(evidence):
    tables = {block.name: block for block in kinds(final(evidence), PageTable)}
    differences = tables["thesis-final-differences"]
    assert set(shown(differences, "rival")) == {"cnn", "leaky"}
    assert set(shown(differences, "at most 0.01 worse")) <= {"yes", "no", "undecided"}
    assert "not corrected for their number" in differences.caption
    assert "n = 8 seeds" in differences.caption and {"thesis-early", "thesis-arms"} <= set(tables)


def test_one_dataset_hides_algoperfs_score_and_says_why(evidence):
    arms = {block.name: block for block in kinds(final(evidence), PageTable)}["thesis-arms"]
    assert list(arms.columns) == ["arm", "interquartile mean"]
    assert "No AlgoPerf score for horn, cnn, leaky: one dataset" in arms.caption


def test_scores_stand_with_what_they_are_among_and_with_who_has_none(evidence):
    statistics = evidence.sweeps[0].statistics
    dims = statistics["algoperf_score"].dims
    scored = with_statistics(
        evidence,
        algoperf_score=(dims, np.array([[0.9], [0.4], [np.nan]])),
        algoperf_reason=(dims, np.array([[""], [""], ["several presentations"]], object)),
    )
    arms = {block.name: block for block in kinds(final(scored), PageTable)}["thesis-arms"]
    assert sorted(shown(arms, "AlgoPerf's score")) == ["0.4", "0.9", "–"]
    assert "among arms of the same presentation" in arms.caption
    assert f"No AlgoPerf score for {statistics[dims[0]].values[2]}: several presentations." in arms.caption


def test_sizes_of_networks_that_change_stand_beside_the_last_and_of_others_do_not(evidence):
    (plain,) = kinds(contenders(evidence), PageTable)
    assert "parameters" in plain.columns and "largest parameters" not in plain.columns
    last = evidence.sweeps[0].statistics["num_parameters"]
    grown = with_statistics(evidence).sweeps[0].statistics
    grown = grown.assign_coords(largest_num_parameters=("contender", last.values + np.array([0, 1000, 0])))
    changed = dataclasses.replace(evidence.sweeps[0], statistics=grown)
    (both,) = kinds(contenders(dataclasses.replace(evidence, sweeps=[changed])), PageTable)
    assert "largest parameters" in both.columns and "of the last evaluation" in both.caption
    assert shown(both, "largest parameters") != shown(both, "parameters")


def grid_statistics():
    """Return what the statistics say of a grid over timesteps and heterogeneity."""
    levels = ["timesteps=4", "timesteps=8", "heterogeneity=0", "heterogeneity=1"]
    over = ("dataset", "outcome")
    return {
        "main_effect": ((*over, "parameter_level"), [[[0.2, -0.2, 0.01, -0.01]]]),
        "main_effect_bound": (
            (*over, "parameter_level", "bound"),
            [[[[0.1, 0.3], [-0.3, -0.1], [-0.1, 0.1], [-0.1, 0.1]]]],
        ),
        "first_order_share": ((*over, "axis_name"), [[[0.8, 0.0]]]),
        "total_share": ((*over, "axis_name"), [[[0.9, 0.1]]]),
        "total_share_bound": ((*over, "axis_name", "bound"), [[[[0.8, 0.95], [0.02, 0.2]]]]),
        "difference_p": (over, [[0.001]]),
        "difference_p_holm": (over, [[0.002]]),
        "leading_parameter": (over, np.array([["timesteps"]], object)),
        "largest_in_draws": ((*over, "axis_name"), [[[0.97, 0.03]]]),
        "interaction_share": ((*over, "axis_pair"), [[[0.1]]]),
        "arrived_share": (over, [[0.75]]),
        "factorial_cells": (over, [[4.0]]),
        "factorial_seeds": (over, [[8.0]]),
        "outcome": ["log_time"],
        "parameter_level": levels,
        "axis_name": ["timesteps", "heterogeneity"],
        "axis_pair": ["timesteps x heterogeneity"],
    }


def test_the_parameter_that_matters_most_is_named_with_its_share(evidence):
    section = parameters(with_statistics(evidence, **grid_statistics()))
    effects, shares = kinds(section, Chart)
    assert "n = 4 cells x 8 seeds" in effects.caption and "timesteps=4, 0.2 [0.1, 0.3]" in effects.alternative
    assert shares.caption.startswith(
        "timesteps matters most, with 90% [80%, 95%] of the variance, in 97% of bootstrap draws."
    )
    assert effects.caption.startswith(
        "The cells differ (F test of any difference, p = 0.001, 0.002 after Holm's correction over the datasets)."
    )
    assert "75% of the runs reach the target within the budget that all cells share" in effects.caption
    assert shown(kinds(section, PageTable)[0], "share") == ["0.1"]
    assert isinstance(parameters(evidence).blocks[0], Missing)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"largest_in_draws": [[[0.55, 0.45]]]},
            "No parameter stands out: timesteps has the largest share, 90% [80%, 95%] of the variance, in 55% of "
            "bootstrap draws.",
        ),
        (
            {"difference_p": [[0.049]], "difference_p_holm": [[0.098]]},
            "A difference among the cells is not shown (F test of any difference, p = 0.049, 0.098 after Holm's",
        ),
    ],
)
def test_without_the_test_or_the_draws_no_parameter_stands_out(evidence, changed, sentence):
    values = grid_statistics() | {"leading_parameter": (("dataset", "outcome"), np.array([[""]], object))}
    values |= {name: (values[name][0], numbers) for name, numbers in changed.items()}
    effects, shares = kinds(parameters(with_statistics(evidence, **values)), Chart)
    assert "matters most" not in shares.caption + shares.alternative
    assert "No parameter stands out" in shares.caption
    assert sentence in f"{shares.caption} {effects.caption}"
    assert ("not shown" in effects.caption) == ("difference_p" in changed)


def test_statistics_without_the_test_of_any_difference_name_no_leader(evidence):
    values = grid_statistics()
    for name in ("leading_parameter", "difference_p", "difference_p_holm"):
        del values[name]
    _, shares = kinds(parameters(with_statistics(evidence, **values)), Chart)
    assert "matters most" not in shares.caption


def test_one_parameter_leads_nobody(evidence):
    values = grid_statistics() | {"total_share": (("dataset", "outcome", "axis_name"), [[[0.9, np.nan]]])}
    values["leading_parameter"] = (("dataset", "outcome"), np.array([[""]], object))
    _, shares = kinds(parameters(with_statistics(evidence, **values)), Chart)
    assert shares.caption.startswith("timesteps is the only parameter.")


def test_levels_of_a_real_grid_are_named_and_the_learning_rate_is_not_said_to_be_chosen(folder):
    found = collect(folder("grid", arms=["horn", "cnn"], datasets=["digits"]), ["thesis"])
    results = found.sweeps[0].results.assign_coords(
        learning_rate=("cell", np.full(found.sweeps[0].results.sizes["cell"], 0.01))
    )
    one_rate = dataclasses.replace(found, sweeps=[dataclasses.replace(found.sweeps[0], results=results)])
    effects = kinds(parameters(one_rate), Chart)[0]
    assert {"timesteps=4", "timesteps=16", "heterogeneity=0"} <= {
        row["level"] for row in rows_of(effects, "level")
    }
    reading = kinds(parameters(one_rate), Paragraph)[0].text
    assert "at the one learning rate given" in reading and "budget" in effects.caption


def test_holms_correction_and_arrivals_stand_with_every_axis(evidence):
    assert "simultaneous 95 % intervals" in kinds(speed(evidence), PageTable)[0].caption
    on_samples, on_flops = (kinds(section(evidence), PageTable)[0] for section in (speed, efficiency))
    for found in (on_samples, on_flops):
        columns = list(found.columns)
        for name in ("p", "p, Holm", "n", "arrived", "rival arrived"):
            assert all(np.isfinite(row[columns.index(name)].key) for row in found.rows), name
        assert shown(found, "needs less") == ["yes", "yes"]
        assert {"ratio if arrived", "ratio of means", "ratio of expected cost"} <= set(columns)
        assert "difference of shares" not in columns


def test_the_training_loss_is_a_control_on_the_page(evidence):
    statistics = evidence.sweeps[0].statistics
    measured = with_statistics(evidence, arrived=statistics["arrived"].fillna(8))
    names = [block.name for block in kinds(speed(measured), PageTable)]
    assert names == ["thesis-ratios-samples-table", "thesis-ratios-training-loss-table"]


def test_ratios_with_too_few_arrivals_are_not_drawn_and_not_shown(evidence):
    statistics = evidence.sweeps[0].statistics
    words = statistics["conclusion"].copy()
    words.loc[{"contender": "horn", "rival": "cnn", "axis": "samples"}] = "too few arrivals"
    few = with_statistics(evidence, conclusion=words)
    found = kinds(speed(few), PageTable)[0]
    row = shown(found, "rival").index("cnn")
    assert shown(found, "ratio")[row] == "–" and shown(found, "needs less")[row] == "too few arrivals"
    forest = next(chart for chart in kinds(speed(few), Chart) if "ratios" in chart.name)
    (drawn,) = rows_of(forest, "ratio")
    assert drawn["pair"] == "horn : leaky"


def test_where_runs_diverged_two_statements_replace_the_interval(evidence):
    statistics = evidence.sweeps[0].statistics
    changed = {"two_part": statistics["two_part"] * 0 + 1, "ratio_bound": statistics["ratio_bound"] * np.nan}
    found = kinds(speed(with_statistics(evidence, **changed)), PageTable)[0]
    assert "replace the interval" in found.caption
    assert all("[" not in ratio for ratio in shown(found, "ratio"))
    assert all("[" in difference for difference in shown(found, "difference of shares"))
    assert all("[" in ratio for ratio in shown(found, "ratio if arrived"))


def as_tuned(evidence):
    """Return evidence whose only tuned contender is horn, with three trials."""
    ds = evidence.sweeps[0].statistics
    labels = np.where(ds["contender"].values == "horn", "time_to_target", "")
    best = np.where(labels[:, None] == "", np.nan, [[900.0, 700.0, 650.0]])
    cost = np.where(labels[:, None] == "", np.nan, np.full((1, ds.sizes["axis"]), 1e5))
    return with_statistics(
        evidence,
        expected_best=(("contender", "num_trials"), best),
        tuning_cost=(("contender", "axis"), cost),
        time_with_tuning=(("contender", "axis"), cost + 1),
        num_trials=[1, 2, 3],
        selected_for=("contender", labels.astype(object)),
    )


def test_tuning_shows_the_expected_best_and_its_cost(evidence):
    (missing,) = tuning(evidence).blocks
    assert "tunes no parameter" in missing.what and "config/horn.yaml" in missing.where
    section = tuning(as_tuned(evidence))
    (chart,), (costs,) = kinds(section, Chart), kinds(section, PageTable)
    assert "n = 3 trials" in chart.caption and "650" in chart.alternative
    assert shown(costs, "contender") == ["horn"] and shown(costs, "all trials, training examples seen") == [
        "100,000"
    ]


@pytest.mark.parametrize("num_finalists", [4, None])
def test_tuning_shows_trials_per_tuned_parameter_and_marks_values_at_an_edge(evidence, num_finalists):
    numbers = {"tuning_trials": 16.0, "tuned_parameters": 3.0}
    numbers |= {"tuning_finalists": float(num_finalists)} if num_finalists else {}  # older results have none
    words = {
        "arm": ["cnn", "horn"],
        "dataset": ["digits"] * 2,
        "selected_for": ["", "time_to_target"],
        "chosen": ["", "learning_rate 0.1, num_cycles 0.7"],
        "at_edge": ["", "learning_rate num_cycles"],
    }
    results = xr.Dataset(
        {name: ("cell", column) for name, column in words.items()}
        | {name: ("cell", [np.nan, number]) for name, number in numbers.items()}
    )
    (sweep,) = as_tuned(evidence).sweeps
    tuned = dataclasses.replace(evidence, sweeps=[dataclasses.replace(sweep, results=results)])
    chosen = kinds(tuning(tuned), PageTable)[0]
    assert shown(chosen, "at the edge") == ["† learning_rate, num_cycles"]
    assert shown(chosen, "trials per tuned parameter") == ["5.33"]
    assert shown(chosen, "finalists") == [str(num_finalists) if num_finalists else "–"]
    assert "may do better with a wider range" in chosen.caption


def test_an_experiment_has_its_question_its_sentence_and_one_drawing_for_each_panel(evidence, monkeypatch):
    monkeypatch.setattr(mechanism_section, "draw_experiment_panels", lambda ds: [Figure(), Figure()])
    about = {
        "question": "Is it the gain?",
        "sentence": "No: 0.9 [0.8, 1.1].",
        "sweep": "arms",
        "num_seeds": 9,
    }
    experiments = {"scale": xr.Dataset(attrs=about), "unheard_of": xr.Dataset(attrs=about)}
    section = mechanism(dataclasses.replace(evidence, mechanism=experiments))
    assert [block.title for block in kinds(section, Heading)] == ["Scale", "Unheard of"]
    assert [block.text for block in kinds(section, Paragraph)] == [about["question"], about["sentence"]] * 2
    (picture,) = kinds(section, Picture)
    assert [drawing.address[:26] for drawing in picture.drawings] == ["data:image/svg+xml;base64,"] * 2
    assert "n = 9 seeds" in picture.caption


def test_predictions_of_stability_stand_beside_outcomes(evidence, monkeypatch):
    monkeypatch.setattr(stability_section, "draw_stability_panels", lambda groups, part: [Figure()])
    monkeypatch.setattr(stability_section, "FIGURES", {"plane": None})
    cells = xr.Dataset(
        {"num_runs": (("expectation", "outcome"), [[3, 1], [0, 4]])},
        coords={
            "expectation": ["saturation or limit cycle", "overflow"],
            "outcome": ["complete", "diverged"],
            "cell": ["a", "b"],
            "seed": [0, 1, 2, 3],
        },
    )
    orders = xr.Dataset(
        {"order": ("integrator", [1.0]), "order_bound": (("integrator", "bound"), [[0.9, 1.1]])},
        coords={"integrator": ["symplectic_euler"], "bound": ["low", "high"]},
    )
    section = stability(dataclasses.replace(evidence, stability={"cells": cells, "orders": orders}))
    outcomes, measured = kinds(section, PageTable)
    assert shown(outcomes, "diverged") == ["1", "4"] and "n = 8 runs of 2 cells" in outcomes.caption
    assert shown(measured, "order") == ["1"] and len(kinds(section, Picture)) == 1
    assert isinstance(stability(evidence).blocks[0], Missing)


def test_probes_are_drawn_for_the_fastest_cell_of_each_arm(evidence, tmp_path):
    cell = parse_specification({"data": {"name": "digits"}, "model": {"name": "horn_cnn", "num_nodes": 8}})
    layers = [
        LayerRecord("stage_1", "oscillators", ("displacement", "velocity"), 8, (8, 8, 8)),
        LayerRecord("readout", "feed_forward", ("output",), 1, (10,)),
    ]
    sizes = sizes_of(3, 4, layers, 32)
    numbers = {
        name: np.random.default_rng(0).random([sizes[dim] for dim in probed.dims]).astype(np.float32)
        for name, probed in DYNAMICS_VARIABLES.items()
    }
    numbers["state_rms"][..., 5:] = np.nan  # time steps that a layer lacks
    numbers["lyapunov_exponent"][:2], numbers["lyapunov_exponent"][2] = -np.inf, np.nan
    record = DynamicsRecord([0, 1, 2], [0, 3, 12, 40], layers, 32, numbers, {"hornlib_version": "1"})
    path = tmp_path / f"{cell.name}.seeds-0-2.nc"
    write_dynamics_file(path, cell, record)
    names = ["other", "other", "other"]
    names[evidence.sweeps[0].statistics["arm"].values.tolist().index("horn")] = cell.name
    probed = with_statistics(evidence, cell_name=("contender", names))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        section = dynamics(dataclasses.replace(probed, dynamics=[path]))
    charts = kinds(section, Chart)
    assert len(charts) == len(PROBE_CHARTS) - 1
    drawn = rows_of(charts[0], "series")
    expected = np.median(numbers["state_rms"][:, -1, 0, :5], axis=0)
    np.testing.assert_allclose([row["y"] for row in drawn], expected, rtol=1e-3)
    assert "n = 3 seeds" in charts[0].caption and "step 40" in charts[0].caption
    nobody = dynamics(dataclasses.replace(evidence, dynamics=[path]))
    assert isinstance(nobody.blocks[0], Paragraph) and isinstance(dynamics(evidence).blocks[0], Missing)


LOOP = "loop: no fused kernel covers readout: rms"


def with_routes(evidence, kernels):
    """Return the evidence as if its arms had been trained and timed by these routes, arm -> route."""
    (sweep,) = evidence.sweeps
    words = np.array([kernels[arm] for arm in sweep.results["arm"].values], object)
    shape = sweep.results["status"].shape
    results = sweep.results.assign(
        kernel=(("cell", "seed"), np.broadcast_to(words[:, None], shape)),
        cpu_model=(("cell", "seed"), np.full(shape, "EPYC", object)),
        step_time=(("cell", "calibration_device"), np.ones((len(words), 1))),
        step_time_kernel=(("cell", "calibration_device"), words[:, None]),
    ).assign_coords(calibration_device=["cpu EPYC, fused field"])
    statistics = sweep.statistics.assign_attrs(calibration_device="cpu EPYC, fused field")
    return dataclasses.replace(
        evidence, sweeps=[dataclasses.replace(sweep, results=results, statistics=statistics)]
    )


def test_the_page_names_the_route_of_every_arm_in_training_and_in_seconds(evidence):
    (sweep,) = evidence.sweeps
    kernels = dict.fromkeys(sweep.results["arm"].values.tolist(), "none") | {"horn": "fused", "leaky": LOOP}
    routes = with_routes(evidence, kernels)
    facts = dict(kinds(provenance(routes), Facts)[-1].facts)
    assert "fused (horn); none (cnn" in facts["Recurrences"] and f"{LOOP} (leaky)" in facts["Recurrences"]
    assert facts["CPUs"] == "EPYC"
    assert facts["Calibrated seconds"].startswith(
        "on cpu EPYC, fused field; recurrences: fused (horn); none (cnn"
    )
    (note,) = [block for block in kinds(efficiency(routes), Paragraph) if "Routes" in block.text]
    assert "Seconds are those of cpu EPYC, fused field." in note.text and f"{LOOP} (leaky)" in note.text


def test_a_page_of_runs_that_recorded_no_route_says_so(evidence):
    facts = dict(kinds(provenance(evidence), Facts)[-1].facts)
    assert facts["Recurrences"] == facts["CPUs"] == "not known" and "Calibrated seconds" not in facts
    assert not [block for block in kinds(efficiency(evidence), Paragraph) if "Routes" in block.text]


def test_the_cost_of_batch_norms_statistics_is_a_share_of_training(evidence):
    (sweep,) = evidence.sweeps
    results = sweep.results.assign(statistics_flops=0.032 * sweep.results["training_flops"])
    with_cost = dataclasses.replace(evidence, sweeps=[dataclasses.replace(sweep, results=results)])
    facts = dict(kinds(provenance(with_cost), Facts)[-1].facts)
    assert "3.2 % of the training FLOPs" in facts["Statistics of batch norm"]
    assert "Statistics of batch norm" not in dict(kinds(provenance(evidence), Facts)[-1].facts)


def test_an_evolved_arm_has_generations_and_no_optimiser(evidence):
    (sweep,) = evidence.sweeps
    arms = sweep.results["arm"].values.astype(str)
    models = np.where(arms == "leaky", "wann", sweep.results["model"].values.astype(str))
    ds = sweep.results.assign_coords(
        model=("cell", models),
        steps=("cell", np.where(arms == "leaky", 500, 900)),
        epochs=("cell", np.full(len(arms), 20)),
        num_individuals=("cell", np.where(arms == "leaky", 192.0, np.nan)),
        optimizer=("cell", np.full(len(arms), "adamw")),
    )
    (facts,) = compared(dataclasses.replace(sweep, results=ds))
    words = dict(facts.facts)["Training"]
    gradient, evolution = words.split("leaky: ")
    assert "900 steps" in gradient and "optimiser adamw" in gradient and "500" not in gradient
    assert "epochs" not in words
    assert evolution.startswith("evolution without gradients, 500 generations, individuals 192")
    assert "adamw" not in evolution
    assert "evolution" not in dict(compared(sweep)[0].facts)["Training"]


def test_epochs_are_those_of_arms_that_are_not_given_steps(evidence):
    (sweep,) = evidence.sweeps
    is_given = sweep.results["arm"].values.astype(str) == "leaky"
    ds = sweep.results.assign_coords(
        steps=("cell", np.where(is_given, 900.0, np.nan)), epochs=("cell", np.where(is_given, 5.0, 20.0))
    )
    words = dict(compared(dataclasses.replace(sweep, results=ds))[0].facts)["Training"]
    assert "20 epochs" in words and "900 steps" in words
    assert not [
        wrong for wrong in ("5 epochs", "none", "nan") if wrong in words.replace("acceleration none", "")
    ]
