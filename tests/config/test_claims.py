"""Claims in config.yaml: what is refused before anything trains, and what is only warned of."""

import re
from pathlib import Path

import pytest
import yaml

from hornlib.config.yaml_file import read_yaml
from hornlib.errors import ConfigError
from hornlib.grid import read_grid

ARMS = """sweeps:
  one:
    data: {name: digits}
    model: [{name: horn_cnn}, {name: cnn}, {name: leaky_cnn}]
"""


def grid(config_file, statistics, sweeps=ARMS):
    return read_grid([config_file(f"seeds: 7\nstatistics: {statistics}\n{sweeps}")])


@pytest.mark.parametrize(
    ("statistics", "place", "told"),
    [
        (
            "{subject: horncnn}",
            "statistics.subject",
            "no arm 'horncnn' (did you mean 'horn_cnn'?); valid: horn_cnn",
        ),
        (
            "{baseline: cn}",
            "statistics.baseline",
            "no arm 'cn' (did you mean 'cnn'?); valid: horn_cnn, cnn, leaky",
        ),
        ("{claims: {faster: {rivals: [cnn, lstm]}}}", "statistics.claims.faster.rivals[1]", "no arm 'lstm'"),
        (
            "{claims: {why: {what: its oscillation, rivals: [cnn], controls: [leaky]}}}",
            "statistics.claims.why.controls[0]",
            "no arm 'leaky' (did you mean 'leaky_cnn'?)",
        ),
        ("{claims: {a: {subject: horn, rivals: [cnn]}}}", "statistics.claims.a.subject", "no arm 'horn'"),
        ("{claims: {faster: {}}}", "statistics.claims.faster.rivals", "needs this parameter"),
        ("{claims: {faster: {rivals: []}}}", "statistics.claims.faster.rivals", "needs at least one rival"),
        ("{claims: {faster: {rivals: cnn}}}", "statistics.claims.faster.rivals", "got 'cnn'"),
        (
            "{claims: {faster: {rivals: [cnn], axes: sampels}}}",
            "statistics.claims.faster.axes",
            "unknown axis 'sampels' (did you mean 'samples'?); valid: step, samples, training_flops, seconds",
        ),
        (
            "{claims: {faster: {rivals: [cnn], controls: [leaky_cnn]}}}",
            "statistics.claims.faster",
            "controls: they need `what`",
        ),
        ("{claims: {faster: {rival: [cnn]}}}", "statistics.claims.faster", "did you mean 'rivals'?"),
        ("{claims: {faster: 3}}", "statistics", "found 3"),
        ("{claims: [faster]}", "statistics.claims", "expected claims such as"),
        ("{claims: {'Is it?': {rivals: [cnn]}}}", "statistics.claims", "a claim's name is a word"),
        ("{subject: cnn, claims: {faster: {rivals: [cnn]}}}", "statistics", "among its own rivals"),
        (
            "{claims: {faster: {rivals: [cnn, horn_cnn]}}}",
            "statistics.claims.faster.rivals[1]",
            "the first arm with oscillators of the sweep one",
        ),
        ("{faster_than: [lstm]}", "statistics.faster_than[0]", "no arm 'lstm'"),
        ("{faster_than: [cnn], claims: {}}", "statistics.faster_than", "`claims` replaces this key"),
    ],
)
def test_a_mistake_in_a_claim_is_refused_with_its_line(config_file, statistics, place, told):
    with pytest.raises(ConfigError) as caught:
        grid(config_file, statistics)
    assert re.search(rf":2: {re.escape(place)}", str(caught.value)) and told in str(caught.value)


def test_a_label_must_name_an_arm_of_one_of_the_sweeps_that_the_section_applies_to(config_file):
    sweeps = (
        ARMS + "  two:\n    data: {name: digits}\n    model: [{name: horn_cnn}, {name: mlp, arm: small}]\n"
    )
    claims = "{claims: {faster: {rivals: [cnn, small]}}}"
    assert grid(config_file, claims, sweeps).sweeps["one"].statistics.rivals() == ("cnn", "small")
    own = sweeps + "    statistics: {claims: {faster: {rivals: [cnn]}}}\n"
    with pytest.raises(
        ConfigError, match=r":10: sweeps.two.statistics.claims.faster.rivals\[0\]: there is no arm 'cnn'"
    ):
        grid(config_file, "{}", own)


def test_a_sweep_that_extends_another_shares_its_claims(config_file):
    sweeps = ARMS + "    statistics: {claims: {faster: {rivals: [lstm]}}}\n  two: {extends: one}\n"
    with pytest.raises(
        ConfigError, match=r":7: sweeps.one.statistics.claims.faster.rivals\[0\]: there is no arm"
    ):
        grid(config_file, "{}", sweeps)


def test_keys_of_earlier_versions_are_migrated_with_one_message(config_file, capsys):
    found = grid(
        config_file,
        "{faster_than: [cnn], oscillation_controls: [leaky_cnn]}",
        ARMS + "  two: {extends: one}\n",
    )
    assert set(found.sweeps["two"].statistics.claims) == {"faster", "because_of_oscillation", "cheaper"}
    (message,) = capsys.readouterr().err.splitlines()
    assert re.match(
        r"warning: .*config.yaml:2: statistics.faster_than: this key and `oscillation_controls`", message
    )
    spelled = re.search(r"`(claims: .*)`$", message).group(1)
    assert grid(config_file, f"{{{spelled}}}").sweeps["one"].statistics == found.sweeps["one"].statistics
    assert capsys.readouterr().err == ""


def test_a_cause_without_controls_is_not_asked_and_not_warned_of(config_file, capsys):
    found = grid(config_file, "{claims: {why: {what: its oscillation, rivals: [cnn]}}}")
    assert not found.sweeps["one"].statistics.asked() and not found.warnings
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("statistics", "num_warnings"),
    [("{}", 1), ("{min_seeds: 3}", 0), ("{claims: {}}", 0), ("{baseline: mlp}", 0)],
)
def test_fewer_seeds_than_a_verdict_needs_are_warned_of(config_file, statistics, num_warnings):
    sweeps = ARMS.replace("{name: leaky_cnn}", "{name: mlp}") if "mlp" in statistics else ARMS
    seeds = 7 if "mlp" in statistics else 3
    file = config_file(f"seeds: {seeds}\nstatistics: {statistics}\n{sweeps}")
    warnings = read_grid([file]).warnings
    assert len(warnings) == num_warnings
    for caution in warnings:
        assert ":1: seeds: one" in caution.place and "needs at least 7" in caution.sentence


def test_a_sweep_without_rivals_is_not_warned_of_few_seeds(config_file):
    file = config_file("seeds: 2\nsweeps: {one: {data: {name: digits}, model: {name: horn_cnn}}}\n")
    assert read_grid([file]).warnings == []


def test_the_plan_warns_of_few_seeds_for_a_sweep_and_names_no_cell(config_file, capsys):
    from rich.console import Console

    from hornlib.plan.choosing_cells import select
    from hornlib.plan.plan import Plan
    from hornlib.plan.table import print_plan

    found = read_grid([config_file(f"seeds: 3\n{ARMS}")])
    print_plan(Plan(found, select(found, []), {}), Console())
    (warning,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert warning.endswith(
        "seeds: one: 3 seeds of each arm, and a verdict needs at least 7 (statistics.min_seeds)"
    )


REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGURATIONS = [REPOSITORY / "config.yaml", *sorted((REPOSITORY / "config").glob("*.yaml"))]


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_snakemake_reads_the_claims_of_ready_configurations_as_hornlib_does(path):
    """Snakemake reads by PyYAML, which stops at a bare question mark within braces."""
    assert yaml.safe_load(path.read_text()).get("statistics") == read_yaml(path)[0].get("statistics")
