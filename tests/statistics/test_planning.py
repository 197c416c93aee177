"""Planning: seeds needed and detectable ratios of comparisons and of claims, from measured log ratios."""

import numpy as np
import pytest
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.estimators.power import conjunction_seeds
from hornlib.statistics.planning import claim_power, pair_power
from hornlib.statistics.verdicts import ClaimComparison

DATASETS = ("digits", "mnist")
RIVALS = ("horn", "cnn", "leaky")


@pytest.fixture
def compared():
    """A subject beside two rivals on two datasets, 10 seeds; log ratios of one dataset share the subject's part."""
    random = np.random.default_rng(0)
    own, rivals = random.normal(0, 0.3, (2, 1, 10)), random.normal(0, 0.3, (2, 3, 10))
    logs = (own - rivals)[:, :, None]
    logs[:, 0] = np.nan  # not beside itself
    p_value = np.where(np.isnan(logs[..., 0]), np.nan, 0.5)[:, :, None]
    return xr.Dataset(
        {
            "log_ratio": (("contender", "rival", "axis", "seed"), logs),
            "p_value": (("contender", "rival", "target", "axis"), p_value),
            "two_part": (("contender", "rival", "target", "axis"), np.zeros(p_value.shape, int)),
            "log_ratio_error": (("contender", "rival", "axis"), np.zeros(logs.shape[:3])),
        },
        {
            "contender": [f"horn on {name}" for name in DATASETS],
            "rival": list(RIVALS),
            "axis": ["samples"],
            "target": [0.9],
            "seed": np.arange(10),
            "dataset": list(DATASETS),
            "claim": ["faster"],
            "arm": ("contender", ["horn", "horn"]),
            "rival_contender": (("contender", "rival"), np.where(np.isnan(logs[:, :, 0, 0]), "", "a rival")),
            "selected_for": ("contender", ["", ""]),
        },
    )


@pytest.fixture
def rests():
    return {
        (dataset, "faster"): [ClaimComparison(cell, rival, "samples", "yes") for rival in ("cnn", "leaky")]
        for cell, dataset in enumerate(DATASETS)
    }


SETTINGS = StatisticsSettings(min_seeds=5)


def test_a_claim_needs_the_seeds_of_its_correlated_comparisons_at_the_level_of_holms_first_step(
    compared, rests
):
    logs = compared["log_ratio"].values[0, 1:, 0]
    needed = claim_power(compared, rests, SETTINGS)["claim_seeds_needed"].sel(
        dataset="digits", claim="faster"
    )
    by_hand = conjunction_seeds(np.linalg.cholesky(np.cov(logs)), 0.05 / 2, min_seeds=5)[0]
    np.testing.assert_allclose(needed, by_hand, rtol=0.02, atol=1)
    assert (needed > conjunction_seeds(np.linalg.cholesky(np.cov(logs)), 0.05)[0]).all()


def test_a_claim_needs_more_seeds_than_its_weakest_comparison_and_shows_only_larger_ratios(compared, rests):
    pairs, claim = pair_power(compared, SETTINGS), claim_power(compared, rests, SETTINGS)
    weakest = pairs["seeds_needed"].sel(axis="samples").max("rival").values
    assert (claim["claim_seeds_needed"].sel(claim="faster").values >= weakest).all()
    assert (
        claim["claim_detectable_ratio"].values[:, 0] > pairs["detectable_ratio"].max(("rival", "axis"))
    ).all()
    assert (claim["claim_num_pairs"] == 10).all()


def test_the_interval_of_the_seeds_needed_holds_them_and_is_that_of_the_deviation(compared, rests):
    claim = claim_power(compared, rests, SETTINGS)
    low, high = (claim["claim_seeds_needed_bound"].sel(bound=end) for end in ("low", "high"))
    assert (low <= claim["claim_seeds_needed"]).all() and (claim["claim_seeds_needed"] <= high).all()
    pairs = pair_power(compared, SETTINGS).sel(rival="cnn", axis="samples", effect=1.1, power=0.8)
    share = pairs["seeds_needed_bound"] / pairs["seeds_needed"]
    np.testing.assert_allclose(share.sel(bound="high"), 1.826**2, rtol=0.05)
    np.testing.assert_allclose(share.sel(bound="low"), 0.688**2, rtol=0.05)


@pytest.mark.parametrize("loss", ["rival", "runs", "divergence"])
def test_what_no_paired_t_test_judges_gets_no_number(compared, rests, loss):
    if loss == "rival":
        rests["digits", "faster"].append(ClaimComparison(0, "overdamped", "samples", "not measured"))
    elif loss == "runs":
        compared["log_ratio"][0, 1, 0, 1:] = np.nan
    else:
        compared["two_part"][0, 1] = 1
    claim = claim_power(compared, rests, SETTINGS)
    for name in ("claim_seeds_needed", "claim_seeds_needed_bound", "claim_detectable_ratio"):
        assert np.isnan(claim[name].sel(dataset="digits")).all()
        assert np.isfinite(claim[name].sel(dataset="mnist")).all()


def test_a_claim_over_many_cells_rests_on_the_largest_deviations_and_stays_quick(compared):
    many = compared.isel(contender=np.zeros(200, int)).copy(deep=True)
    many["log_ratio"] = many["log_ratio"] + 0.01 * np.random.default_rng(1).normal(
        size=many["log_ratio"].shape
    )
    rests = {("digits", "faster"): [ClaimComparison(cell, "cnn", "samples", "yes") for cell in range(200)]}
    needed = claim_power(many, rests, SETTINGS)["claim_seeds_needed"].sel(dataset="digits", claim="faster")
    worst = pair_power(many, SETTINGS)["seeds_needed"].sel(rival="cnn", axis="samples").max("contender")
    assert (needed >= worst).all() and np.isfinite(needed).all()


def test_every_variable_says_what_it_is(compared, rests):
    for found in (pair_power(compared, SETTINGS), claim_power(compared, rests, SETTINGS)):
        for name, variable in found.data_vars.items():
            assert variable.attrs["units"] == "1" and variable.attrs["long_name"], name
            assert str(name).endswith("_bound") == ("interval" in variable.attrs), name
