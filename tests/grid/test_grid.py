"""The grid: sweeps, axes, arms and matches become cells."""

import subprocess
import sys

import pytest

from hornlib.grid import read_grid
from hornlib.grid.jobs import Job, Range
from hornlib.grid.matching import count, network_of


def cells(grid, sweep="one"):
    return [grid.cells[name] for name in grid.sweeps[sweep].arms]


def arms(grid, sweep="one"):
    return list(dict.fromkeys(grid.sweeps[sweep].arms.values()))


def one(model, **sections):
    """Return a sweep called `one`, on digits unless told otherwise."""
    sections = {"data": "{name: digits}"} | sections
    lines = "\n".join(f"    {section}: {text}" for section, text in sections.items())
    return f"sweeps:\n  one:\n    model: {model}\n{lines}\n"


# axes


def test_every_list_is_an_axis_in_every_section(grid_from):
    grid = grid_from(
        one(
            "{name: horn_cnn, num_nodes: [4, 8], timesteps: [2, 4, 8]}",
            data="{name: [digits, mnist], validation: [0.1, 0.2]}",
            training="{learning_rate: [1e-3, 1e-2], optimizer: adamw}",
        )
    )
    points = {
        (c.data.name, c.data.validation, c.model.num_nodes, c.model.timesteps, c.training.learning_rate)
        for c in cells(grid)
    }
    assert len(grid.cells) == len(points) == 2 * 2 * 2 * 3 * 2


def test_a_list_of_mappings_is_several_entries_in_any_section(grid_from):
    grid = grid_from(
        one(
            "[{name: cnn}, {name: mlp, hidden_nodes: [8, 16]}]",
            data="[{name: digits}, {name: mnist, image_size: 14}]",
            training="[{optimizer: adamw}, {optimizer: sgd, momentum: [0.5, 0.9]}]",
        )
    )
    assert len(grid.cells) == 3 * 2 * 3
    assert arms(grid) == ["cnn", "mlp"]
    trained = {(c.training.optimizer, c.training.momentum) for c in cells(grid)}
    assert trained == {("adamw", 0.9), ("sgd", 0.5), ("sgd", 0.9)}


def test_an_entry_overrides_data_and_training_for_itself(grid_from):
    grid = grid_from(
        one(
            """
      - {name: horn_cnn}
      - {name: rnn, data: {presentation: [rows, pixels]}, training: {epochs: 3}}""",
            training="{epochs: 9, batch_size: 16}",
        )
    )
    told = [
        (c.model.name, c.data.presentation, c.training.epochs, c.training.batch_size) for c in cells(grid)
    ]
    assert told == [("horn_cnn", "image", 9, 16), ("rnn", "rows", 3, 16), ("rnn", "pixels", 3, 16)]


def test_an_override_that_makes_two_entries_alike_is_one_point(grid_from):
    grid = grid_from(
        one("[{name: cnn}, {name: mlp, training: {epochs: 2}}]", training="[{epochs: 1}, {epochs: 3}]")
    )
    assert [(c.model.name, c.training.epochs) for c in cells(grid)] == [("cnn", 1), ("cnn", 3), ("mlp", 2)]


def test_the_model_itself_may_be_an_axis_and_each_is_an_arm(grid_from):
    assert arms(grid_from(one("{name: [cnn, mlp]}"))) == ["cnn", "mlp"]


def test_widths_need_no_list_and_are_not_mistaken_for_dates_or_axes(grid_from):
    grid = grid_from(one("{name: cnn, channels: [5, 1000-10-10, 8-16]}"))
    assert [c.model.channels for c in cells(grid)] == [(5,), (1000, 10, 10), (8, 16)]


def test_an_arm_is_labelled_by_its_entry_or_by_the_model(grid_from):
    grid = grid_from(one('[{name: cnn}, {name: cnn, arm: "tanh, wide", activation: tanh}]'))
    assert arms(grid) == ["cnn", "tanh, wide"]


# names and seeds


def test_a_cell_of_two_sweeps_is_one_cell_with_the_seeds_of_both(grid_from):
    grid = grid_from("""
        seeds: 2
        defaults: {data: {name: digits}}
        sweeps:
          one: {model: {name: cnn}}
          two: {seeds: [1, 5], model: [{name: cnn, arm: baseline}, {name: mlp}]}
    """)
    shared = next(iter(grid.sweeps["one"].arms))
    assert len(grid.cells) == 2
    assert grid.seeds[shared] == (0, 1, 5)
    assert grid.sweeps["two"].arms[shared] == "baseline"


def test_a_name_does_not_depend_on_the_rest_of_the_grid(grid_from):
    alone = grid_from(one("{name: horn_cnn, timesteps: 8, num_nodes: 4}"))
    among = grid_from(
        """
        results: elsewhere
        per_job: 1
        threads: 2
        seeds: 9
        sweeps:
          other: {data: {name: mnist}, model: {name: mlp}}
          many:
            training: {epochs: [20, 30]}
            data: {name: digits}
            model:
            - {name: cnn}
            - {num_nodes: [2, 4], name: horn_cnn, timesteps: [4, 8], heterogeneity: [0.0, 0.5]}
        """
    )
    assert set(alone.cells) < set(among.cells)


@pytest.mark.parametrize(
    "same",
    [
        one("{timesteps: 8, num_nodes: 4, name: horn_cnn}", training="{learning_rate: 0.001}"),
        one("{name: horn_cnn, num_nodes: 4}", training="{learning_rate: 1.0e-3, epochs: 20}"),
        one("{name: horn_cnn, num_nodes: 4, heterogeneity: 0}"),
        one("{name: horn_cnn, num_nodes: 4, heterogeneity: -0.0}", structure="{name: static}"),
        one("{name: horn_cnn, num_nodes: 4, arm: ring, data: {root: /elsewhere}}"),
    ],
)
def test_equal_values_have_one_name_however_they_are_written(grid_from, same):
    plain = grid_from(one("{name: horn_cnn, timesteps: 8, num_nodes: 4}", training="{learning_rate: 1e-3}"))
    assert list(grid_from(same).cells) == list(plain.cells)


def test_a_whole_axis_added_keeps_the_cells_at_its_default(grid_from):
    before = grid_from(one("{name: horn_cnn, timesteps: [2, 4]}"))
    after = grid_from(
        one("{name: horn_cnn, timesteps: [2, 4], heterogeneity: [0, 1], recurrence_gain: [0.5, 1]}")
    )
    assert len(after.cells) == 8 and set(before.cells) < set(after.cells)


def test_jobs_hold_the_wanted_seeds_beside_what_is_there(grid_from):
    grid = grid_from("results: out\nper_job: 2\nseeds: 5\n" + one("{name: cnn}"))
    (name,) = grid.cells
    jobs = grid.jobs({name: [Range(0, 2)]})
    assert jobs == [Job(name, Range(0, 2)), Job(name, Range(3, 4))]
    assert str(grid.run_path(jobs[1])) == f"out/runs/{name}.seeds-3-4.nc"
    assert grid.jobs({}, cells=[]) == []


# matches


def test_a_matched_rival_gets_the_nearest_width_and_identical_rivals_merge(grid_from):
    grid = grid_from(
        one(
            """
      - {name: horn_cnn, num_nodes: [4, 8], timesteps: [2, 4, 8]}
      - {name: cnn, match: {to: horn_cnn, by: parameters}}"""
        )
    )
    horns = [c for c in cells(grid) if c.model.name == "horn_cnn"]
    rivals = [c for c in cells(grid) if c.model.name == "cnn"]
    assert (len(horns), len(rivals)) == (6, 2)  # timesteps cost no parameters
    for match, rival in zip(grid.matches, rivals, strict=True):
        reached = count(network_of(rival), "parameters")
        assert (match.width, match.reached) == (rival.model.width(), reached)
        for other in (match.width - 1, match.width + 1):
            far = count(network_of(rival).with_width(other), "parameters")
            assert abs(far - match.target) >= abs(reached - match.target)


def test_the_width_a_match_settles_on_is_part_of_the_name(grid_from):
    matched = grid_from(
        one(
            """
      - {name: horn_cnn, num_nodes: 4}
      - {name: cnn, channels: 4-8-16, match: {to: horn_cnn, by: parameters}}"""
        )
    )
    rival = cells(matched)[1]
    widths = "-".join(map(str, rival.model.channels))
    assert rival.name in grid_from(one(f"{{name: cnn, channels: {widths}}}")).cells


def test_a_match_by_flops_differs_from_one_by_parameters(grid_from):
    grid = grid_from(
        one(
            """
      - {name: horn_cnn, num_nodes: 4, timesteps: [2, 16]}
      - {name: cnn, arm: as_large, match: {to: horn_cnn, by: parameters}}
      - {name: cnn, arm: as_costly, match: {to: horn_cnn, by: flops}}"""
        )
    )
    by_arm = {arm: [m for m in grid.matches if m.arm == arm] for arm in ("as_large", "as_costly")}
    assert [len(found) for found in by_arm.values()] == [1, 2]


@pytest.mark.parametrize("quantity", ["forward_flops", "training_flops"])
def test_the_spelling_of_a_match_is_in_no_name(grid_from, quantity, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = """
      - {{name: horn_cnn, num_nodes: 4, timesteps: 16}}
      - {{name: cnn, channels: 8-16, match: {{to: horn_cnn, by: {by}}}}}"""
    older, newer = (grid_from(one(model.format(by=by))) for by in ("flops", quantity))
    assert (list(older.cells) == list(newer.cells)) == (quantity == "forward_flops")
    (match,) = newer.matches
    assert match.by == quantity and abs(match.deviation) < 0.05


def test_a_match_that_finds_another_arms_cell_leaves_it_there_and_says_so(grid_from):
    grid = grid_from(
        one(
            """
      - {name: mlp, hidden_nodes: 16}
      - {name: mlp, arm: again, hidden_nodes: 4, match: {to: mlp, by: parameters}}"""
        )
    )
    assert arms(grid) == ["mlp"]
    (warning,) = grid.warnings
    assert (warning.arm, warning.cell) == ("again", next(iter(grid.cells)))
    assert ":5: sweeps.one.model[1].match: again" in warning.place
    assert warning.sentence == "counts under the arm 'mlp', which has it too"


def test_a_match_is_made_on_each_dataset_by_itself(grid_from):
    grid = grid_from(
        one(
            "[{name: horn_cnn, num_nodes: 4}, {name: cnn, match: {to: horn_cnn, by: parameters}}]",
            data="{name: [digits, cifar10]}",
        )
    )
    targets = {match.dataset: match.target for match in grid.matches}
    assert targets.keys() == {"digits", "cifar10"} and targets["cifar10"] > targets["digits"]


def test_a_match_may_follow_another_match_and_other_presentations(grid_from):
    grid = grid_from(
        one(
            """
      - {name: mlp, match: {to: gru, by: parameters}, data: {presentation: image}}
      - {name: rnn, arm: gru, unit: gru, match: {to: horn_cnn, by: parameters}, data: {presentation: rows}}
      - {name: horn_cnn, num_nodes: 8}"""
        )
    )
    assert arms(grid) == ["mlp", "gru", "horn_cnn"]
    assert all(abs(match.deviation) < 0.05 for match in grid.matches)


# several files, and what is imported


def test_sweeps_of_two_files_share_defaults_and_cells(config_file):
    defaults = config_file("defaults: {data: {name: digits}}\n", "defaults.yaml")
    first = config_file("sweeps: {first: {model: {name: cnn}}}\n", "first.yaml")
    second = config_file("sweeps: {second: {extends: first, seeds: 7}}\n", "second.yaml")
    grid = read_grid([defaults, first, second])
    assert len(grid.cells) == 1 and len(grid.sweeps) == 2
    assert grid.files == (defaults, first, second)


@pytest.mark.parametrize(
    "module",
    [
        "hornlib.grid.grid",
        "hornlib.cli",
        "hornlib.plan.table",
        "hornlib.cli.schema",
        "hornlib.grid.shapes",  # these two at every start of the workflow
        "hornlib.mechanism.experiments",
    ],
)
def test_planning_loads_neither_torch_nor_xarray_nor_plotting(module):
    heavy = (
        "torch",
        "torchvision",
        "xarray",
        "netCDF4",
        "pandas",
        "numpy",
        "matplotlib",
        "sklearn",
        "scipy",
        "snakemake",
    )
    command = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# looks


def test_jobs_end_where_a_look_of_any_of_their_sweeps_ends(grid_from):
    text = """
        seeds: 20
        per_job: 5
        sweeps:
          one: {model: {name: cnn}, data: {name: digits}, statistics: {sequential: [7, 10, 15, 20]}}
          two: {extends: one, statistics: {sequential: [12]}}
          three: {model: {name: mlp}, data: {name: digits}}
        """
    grid = grid_from(text)
    ranges = {name: [job.range for job in grid.jobs({}, [name])] for name in grid.cells}
    (both,), (plain,) = grid.sweeps["one"].arms, grid.sweeps["three"].arms
    assert ranges[both] == [
        Range(0, 4),
        Range(5, 6),
        Range(7, 9),
        Range(10, 11),
        Range(12, 14),
        Range(15, 19),
    ]
    assert ranges[plain] == [Range(0, 4), Range(5, 9), Range(10, 14), Range(15, 19)]
