"""The digest of a stage changes exactly when what the stage reads from the configuration changes."""

import pytest

from hornlib.grid import read_grid
from hornlib.grid.digests import gather_digest, report_digest, statistics_digest

SWEEP = """\
results: results/tiny
seeds: 2
per_job: 2
statistics: {subject: horn_cnn, baseline: cnn}
defaults:
  data: {name: digits, presentation: image, train_subset: 200}
  training: {epochs: 2, batch_size: 64, optimizer: adamw, learning_rate: 1e-2}
sweeps:
  tiny:
    model:
      - {name: horn_cnn, num_nodes: 4, timesteps: [4, 8]}
      - {name: cnn, channels: 4-8-16}
"""

SECOND_SWEEP = """\
  second:
    model:
      - {name: horn_cnn, num_nodes: 4, timesteps: [4, 8]}
      - {name: cnn, channels: 4-8-16}
"""

STAGES = {"gather": gather_digest, "statistics": statistics_digest, "report": report_digest}

ALL = set(STAGES)

LATER = {"statistics", "report"}

LABELLED = "{name: cnn, arm: plain, channels: 4-8-16}"


@pytest.mark.parametrize(
    ("old", "new", "stale"),
    [
        pytest.param("seeds: 2", "seeds: 3", ALL, id="one more seed"),
        pytest.param("seeds: 2", "seeds: 1", ALL, id="fewer seeds"),
        pytest.param(SWEEP, SWEEP + SECOND_SWEEP, ALL, id="a second sweep over the same cells"),
        pytest.param("  tiny:", "  small:", ALL, id="the name of a sweep"),
        pytest.param("[4, 8]", "[4]", ALL, id="a cell less"),
        pytest.param("[4, 8]", "[8, 4]", ALL, id="another order of the cells"),
        pytest.param("learning_rate: 1e-2", "learning_rate: 2e-2", ALL, id="another value"),
        pytest.param("baseline: cnn", "baseline: cnn, target: 0.5", LATER, id="another target"),
        pytest.param("baseline: cnn", "baseline: horn_cnn, claims: {}", LATER, id="another baseline"),
        pytest.param(
            "baseline: cnn", "baseline: cnn, target: 0.9", set(), id="a default that is written out"
        ),
        pytest.param("learning_rate: 1e-2", "learning_rate: 0.01", set(), id="another spelling"),
        pytest.param("results: results/tiny", "device: cpu", set(), id="settings of the machine"),
        pytest.param("per_job: 2", "per_job: 1", set(), id="how jobs are cut"),
        pytest.param(
            "seeds: 2", "# a comment\nseeds: [0, 1]", set(), id="a comment and a list of the same seeds"
        ),
    ],
)
def test_a_change_makes_exactly_those_stages_stale_that_read_it(grid_from, old, new, stale):
    assert old in SWEEP
    before, after = grid_from(SWEEP), grid_from(SWEEP.replace(old, new))
    assert {stage for stage, digest in STAGES.items() if digest(before) != digest(after)} == stale


def test_the_label_of_an_arm_is_part_of_every_digest(grid_from):
    cells = (
        "statistics: {subject: horn_cnn, baseline: cnn}",
        "statistics: {subject: horn_cnn, baseline: plain}",
    )
    text = SWEEP.replace(*cells)
    before = grid_from(SWEEP)
    after = grid_from(text.replace("{name: cnn, channels: 4-8-16}", LABELLED))
    assert list(before.cells) == list(after.cells)
    assert gather_digest(before) != gather_digest(after)


def test_the_order_of_claims_is_part_of_the_statistics(grid_from):
    claims = "a: {rivals: [cnn]}", "b: {axes: [seconds], rivals: [cnn]}"
    first, second = (
        grid_from(SWEEP.replace("baseline: cnn", f"baseline: cnn, claims: {{{', '.join(order)}}}"))
        for order in (claims, claims[::-1])
    )
    assert gather_digest(first) == gather_digest(second)
    assert statistics_digest(first) != statistics_digest(second)


def test_statistics_of_a_sequential_sweep_and_every_report_depend_on_the_names_of_the_files(config_file):
    sequential = SWEEP.replace("seeds: 2", "seeds: 9").replace(
        "baseline: cnn", "baseline: cnn, sequential: [7, 9]"
    )
    for text, differs in ((SWEEP, False), (sequential, True)):
        grids = [read_grid([config_file(text, name)]) for name in ("a.yaml", "b.yaml")]
        assert len({gather_digest(grid) for grid in grids}) == 1
        assert (len({statistics_digest(grid) for grid in grids}) == 2) is differs
        assert len({report_digest(grid) for grid in grids}) == 2


def test_digests_of_tuned_cells_do_not_depend_on_what_was_chosen(tuned_grid):
    grid = tuned_grid()
    assert gather_digest(grid) == gather_digest(tuned_grid())
    assert gather_digest(grid) != gather_digest(tuned_grid(("trials: 4", "trials: 5")))
