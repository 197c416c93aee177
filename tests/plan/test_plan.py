"""The plan: counts of what is there and what is to come, what that costs, and how it is printed."""

import io
import math
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from hornlib.grid import routes
from hornlib.grid.jobs import Range, scan_runs
from hornlib.kernels.library import why_not
from hornlib.plan.choosing_cells import parse_condition, select
from hornlib.plan.estimates import Estimates, RunTime, training_forward_flops
from hornlib.plan.plan import Plan
from hornlib.plan.table import compact, hours_text, print_plan
from hornlib.results.run_file import RunRecord, write_run_file
from hornlib.results.variables import CURVES

CONFIG = """
    results: {results}
    per_job: 2
    seeds: 3
    defaults:
      data: {{name: digits}}
      training: {{epochs: 2}}
    sweeps:
      one:
        model:
          - {{name: horn_cnn, num_nodes: 4, timesteps: [2, 4]}}
          - {{name: cnn, match: {{to: horn_cnn, by: parameters}}}}
      two:
        seeds: [1, 7]
        data: {{name: [digits, mnist]}}
        model: {{name: horn_cnn, num_nodes: 4, timesteps: 4}}
"""


@pytest.fixture(autouse=True)
def compiler(monkeypatch):
    """Let fused kernels exist, whether or not this machine has a compiler; return what takes it away."""
    monkeypatch.setattr(routes, "obstacle", lambda library, device: "")
    return lambda: monkeypatch.setattr(routes, "obstacle", lambda library, device: "there is no C compiler")


SEAL_LENGTH = len(b"\nhornlib sha256 \n") + 64


@pytest.fixture
def grid(grid_from, tmp_path):
    return grid_from(CONFIG.format(results=tmp_path / "out"))


def plan_of(grid, *conditions, present=None, **options):
    selected = select(grid, [parse_condition(text) for text in conditions], **options)
    return Plan(grid, selected, scan_runs(grid.settings.results) if present is None else present)


def write_run(grid, cell, seeds, seconds=10.0, **attributes):
    """Write a run file whose every run took so many seconds, by fused kernels unless `attributes` say otherwise."""
    steps = np.array(cell.training.evaluation_steps(cell.data.num_train))
    shape = (len(seeds), len(steps))
    curves = {name: np.zeros(shape) for name, variable in CURVES.items() if not variable.optional}
    attributes = {"host": "here"} | (attributes or {"kernel": str(routes.route_of(cell, "auto", "cpu"))})
    curves["seconds"] = np.broadcast_to(np.linspace(0, seconds, len(steps)), shape)
    nothing = np.full(len(seeds), np.nan)
    record = RunRecord(
        list(seeds), steps, curves, ["complete"] * len(seeds), nothing, np.ones(len(seeds)), attributes
    )
    path = grid.run_path(next(job for job in grid.jobs({}) if job.cell == cell.name))
    path = path.with_name(f"{cell.name}.seeds-{seeds[0]}-{seeds[-1]}.nc")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_run_file(path, cell, record)
    return path


def printed(plan, width=None):
    stream = io.StringIO()
    terminal = {"force_terminal": True, "width": width, "color_system": None} if width else {}
    print_plan(plan, Console(file=stream, **terminal))
    return stream.getvalue()


def test_rows_count_cells_runs_and_jobs_of_each_arm_on_each_dataset(grid):
    rows = {(row.sweep, row.dataset, row.arm): row for row in plan_of(grid).rows()}
    assert {key: (row.cells, row.runs, row.done, row.jobs) for key, row in rows.items()} == {
        ("one", "digits", "horn_cnn"): (2, 6, 0, 4),
        ("one", "digits", "cnn"): (1, 3, 0, 2),
        ("two", "digits", "horn_cnn"): (1, 2, 0, 2),  # seeds 0 1 2 7 are cut 0-1, 2-2, 7-7; two hold 1 or 7
        ("two", "mnist", "horn_cnn"): (1, 2, 0, 2),
    }


def test_a_cell_of_two_sweeps_counts_once_in_the_total(grid):
    plan = plan_of(grid)
    assert len(plan.cells) == 4
    assert sum(map(len, plan.seeds.values())) == 3 + 4 + 3 + 2
    assert len(plan.jobs) == len(set(plan.jobs)) == len(plan.to_train)


def test_one_sweep_wants_its_own_seeds_only(grid):
    plan = plan_of(grid, "dataset=digits", sweep="two")
    assert [job.range for job in plan.jobs] == [Range(0, 1), Range(7, 7)]


def test_what_is_on_disk_is_done_and_not_to_train(grid):
    name = next(iter(grid.sweeps["one"].arms))
    plan = plan_of(grid, "timesteps=2", present={name: [Range(0, 1)]})
    assert (plan.done, [job.range for job in plan.to_train]) == (2, [Range(2, 2)])
    assert len(plan.paths()) == 2


def test_sizes_and_matches_stand_in_their_row(grid):
    rows = {row.arm: row for row in plan_of(grid, sweep="one").rows()}
    cells = [grid.cells[name] for name, arm in grid.sweeps["one"].arms.items() if arm == "horn_cnn"]
    flops = [cell.model.forward_flops(cell.task()).total for cell in cells]
    assert rows["horn_cnn"].flops == (min(flops), max(flops))
    (match,) = rows["cnn"].matches
    assert rows["cnn"].parameters == (match.reached, match.reached)
    assert rows["horn_cnn"].parameters == (match.target, match.target)


def test_without_earlier_runs_hours_are_guessed_from_flops_and_marked(grid):
    plan = plan_of(grid)
    flops = sum(len(plan.seeds[name]) * 3 * training_forward_flops(cell) for name, cell in plan.cells.items())
    assert plan.left() == RunTime(pytest.approx(flops / 3e9), is_guess=True)
    assert all(row.left.is_guess and row.left.seconds > 0 for row in plan.rows())
    text = printed(plan)
    assert "device hours: ~" in text and "training FLOPs at 3 GFLOP/s, usual on cpu" in text
    assert all(
        re.search(r" ~[0-9.]+ *$", line) for line in text.splitlines() if re.match(r"horn_cnn +[0-9]", line)
    )


@pytest.mark.parametrize(("device", "rate"), [("auto", 3.0), ("cpu", 3.0), ("cuda:1", 30.0), ("mps", 10.0)])
def test_the_rate_of_a_guess_depends_on_the_device(grid_from, tmp_path, device, rate):
    grid = grid_from(CONFIG.format(results=tmp_path / "out") + f"    device: {device}\n")
    assert plan_of(grid).estimates.gflops == rate


def test_a_model_that_was_never_measured_is_guessed_at_the_rate_of_the_others(grid):
    horn, *_ = (grid.cells[name] for name, arm in grid.sweeps["one"].arms.items() if arm == "horn_cnn")
    cnn = next(grid.cells[name] for name, arm in grid.sweeps["one"].arms.items() if arm == "cnn")
    write_run(grid, horn, [0, 1], seconds=30.0)
    estimates = plan_of(grid).estimates
    assert estimates.gflops == pytest.approx(3 * training_forward_flops(horn) / 30.0 / 1e9)
    assert estimates.run_time(horn) == RunTime(pytest.approx(30.0), is_guess=False)
    ratio = training_forward_flops(cnn) / training_forward_flops(horn)
    assert estimates.run_time(cnn) == RunTime(pytest.approx(30.0 * ratio), is_guess=True)
    text = printed(plan_of(grid, sweep="one"))
    assert re.search(r"^cnn .* ~[0-9.]+ *$", text, re.MULTILINE)
    assert re.search(r"^horn_cnn .* [<0-9.]+ *$", text, re.MULTILINE)
    assert "GFLOP/s, measured in 1 earlier run file" in text


def test_hours_follow_from_the_measured_run_and_scale_with_work_within_a_model(grid):
    small, large = (grid.cells[name] for name, arm in grid.sweeps["one"].arms.items() if arm == "horn_cnn")
    write_run(grid, small, [0, 1], seconds=30.0)
    plan = plan_of(grid, "model=horn_cnn", sweep="one")
    estimates = plan.estimates
    assert estimates.run_seconds(small) == pytest.approx(30.0)
    ratio = training_forward_flops(large) / training_forward_flops(small)
    assert estimates.run_seconds(large) == pytest.approx(30.0 * ratio)
    # one seed of small is left, three of large
    assert plan.left() == RunTime(pytest.approx(30.0 * (1 + 3 * ratio)), is_guess=False)
    assert plan_of(grid, sweep="one").left().is_guess  # cnn was never measured
    mnist = next(cell for cell in grid.cells.values() if cell.data.name == "mnist")
    ratio = training_forward_flops(mnist) / training_forward_flops(small)
    assert estimates.run_seconds(mnist) == pytest.approx(30.0 * ratio)


@pytest.mark.parametrize("attributes", [{"kernel": "loop: there is no C compiler"}, {"host": "an old file"}])
def test_seconds_of_another_route_are_not_taken_for_those_of_this_one(grid, attributes, compiler):
    horn, cnn = (
        next(grid.cells[name] for name, arm in grid.sweeps["one"].arms.items() if arm == label)
        for label in ("horn_cnn", "cnn")
    )
    write_run(grid, horn, [0, 1], seconds=30.0, **attributes)
    plan = plan_of(grid, sweep="one")
    assert plan.estimates.run_seconds(horn) is None and plan.estimates.bytes_per_file > 0
    assert "usual on cpu; not by 1 run file of another route than here)" in printed(plan)
    write_run(grid, cnn, [0, 1], seconds=3.0, host="an old file, too")
    assert plan_of(grid).estimates.run_seconds(cnn) == pytest.approx(3.0)
    compiler()
    assert plan_of(grid).estimates.run_seconds(horn) == pytest.approx(30.0)


def test_seconds_of_a_job_that_took_two_routes_are_those_of_neither(grid, compiler):
    horn = next(grid.cells[name] for name, arm in grid.sweeps["one"].arms.items() if arm == "horn_cnn")
    write_run(grid, horn, [0, 1], seconds=30.0, kernel="loop: there is no C compiler, then fused")
    assert plan_of(grid).estimates.run_seconds(horn) is None
    compiler()
    assert plan_of(grid).estimates.run_seconds(horn) is None


def test_where_the_job_chooses_the_device_seconds_on_a_gpu_are_those_of_its_route(
    grid, monkeypatch, compiler
):
    horn = next(grid.cells[name] for name, arm in grid.sweeps["one"].arms.items() if arm == "horn_cnn")
    write_run(grid, horn, [0, 1], seconds=30.0, kernel="loop: Triton is not installed", device="cuda H200")
    assert plan_of(grid).estimates.run_seconds(horn) is None
    on_gpu = {"cuda": "Triton is not installed"}
    monkeypatch.setattr(routes, "obstacle", lambda library, device: on_gpu.get(device, ""))
    assert plan_of(grid).estimates.run_seconds(horn) == pytest.approx(30.0)


def test_the_route_of_every_arm_stands_in_its_row_and_a_loop_has_its_reason(grid, compiler):
    text = printed(plan_of(grid, sweep="one"))
    assert re.search(r"^horn_cnn .* fused +~", text, re.MULTILINE) and "loop" not in text
    assert "\nroutes are those of this machine; on another one a job may take another route" in text
    compiler()
    text = printed(plan_of(grid, sweep="one"))
    assert re.search(r"^horn_cnn .* loop +~", text, re.MULTILINE)
    assert "\na loop computes the recurrence of horn_cnn: there is no C compiler\n" in text
    assert not re.search(r"^cnn .*(loop|fused)", text, re.MULTILINE)


def test_the_route_is_known_without_torch(grid):
    command = (
        "import sys; from pathlib import Path; from hornlib.grid import read_grid; from hornlib.plan.plan import Plan; "
        "from hornlib.plan.choosing_cells import select; grid = read_grid([Path(sys.argv[1])]); "
        "rows = Plan(grid, select(grid, []), {}).rows(); "
        "print({row.arm: row.routes[0].kind for row in rows}, 'torch' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", command, grid.files[0]], capture_output=True, text=True, check=True
    )
    kind = "loop" if why_not("field", "float") else "fused"
    assert answer.stdout.strip() == f"{{'horn_cnn': '{kind}', 'cnn': 'none'}} False"


def test_an_arm_may_have_two_routes(grid_from):
    grid = grid_from("""
        seeds: 1
        sweeps:
          one:
            data: {name: digits}
            model: {name: horn_cnn, num_nodes: 4, timesteps: 4, readout: [mean, rms]}
    """)
    text = printed(plan_of(grid, present={}))
    assert re.search(r"^horn_cnn .* fused loop +~", text, re.MULTILINE)
    assert "a loop computes the recurrence of horn_cnn: no fused kernel covers readout: rms" in text


def test_fused_kernels_that_cannot_be_had_are_a_warning_of_the_plan(grid_from, tmp_path, compiler):
    compiler()
    grid = grid_from(CONFIG.format(results=tmp_path / "out") + "    kernel: fused\n")
    text = printed(plan_of(grid))
    assert "warning: horn_cnn: kernel: fused, but there is no C compiler. Mend this, or write" in text


def test_a_finished_arm_costs_nothing_more(grid):
    cell = grid.cells[next(iter(grid.sweeps["one"].arms))]
    write_run(grid, cell, [0, 1, 2])
    plan = plan_of(grid, "timesteps=2", sweep="one")
    (row,) = plan.rows()
    assert (row.done, row.runs, row.left) == (3, 3, RunTime(0, is_guess=False))
    assert plan.left() == RunTime(0, is_guess=False) and plan.disk_bytes() == 0
    assert "0 jobs to train" in printed(plan)


def test_a_damaged_run_file_does_not_stop_the_plan(grid):
    cell = grid.cells[next(iter(grid.sweeps["one"].arms))]
    write_run(grid, cell, [0, 1]).write_bytes(b"no netCDF")
    assert plan_of(grid).estimates.num_files == 0


def test_a_diverged_run_says_nothing_about_the_time_of_a_whole_one(grid):
    cell = grid.cells[next(iter(grid.sweeps["one"].arms))]
    write_run(grid, cell, [0, 1], seconds=math.nan)
    assert plan_of(grid).estimates.run_seconds(cell) is None


def test_the_closed_form_of_a_run_files_size_is_near_its_size(grid):
    cell = grid.cells[next(iter(grid.sweeps["one"].arms))]
    for seeds in ([0], [0, 1, 2, 3, 4], list(range(20))):
        actual = write_run(grid, cell, seeds).stat().st_size
        estimated = Estimates().job_bytes(cell, Range(seeds[0], seeds[-1]))
        assert 0.6 < estimated / actual < 1.6


def test_a_file_gets_plain_lines_that_break_nowhere(grid):
    text = printed(plan_of(grid))
    assert "\x1b" not in text and "…" not in text
    assert re.search(r"^horn_cnn +2 +6 +0 +4 ", text, re.MULTILINE)
    assert "one on digits, seeds 0 to 2" in text and "two on mnist, seeds 1, 7" in text
    assert re.search(r"^cnn is matched to horn_cnn by parameters: [+-]\d\.\d%$", text, re.MULTILINE)
    assert "4 cells, 12 runs (0 done); 9 jobs to train" in text


@pytest.mark.parametrize(
    ("by", "first", "other"),
    [
        ("flops", "forward FLOPs", "training FLOPs"),
        ("training_flops", "training FLOPs", "forward FLOPs"),
    ],
)
def test_a_match_by_flops_tells_which_and_the_deviation_in_the_other(
    grid_from, by, first, other, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    grid = grid_from(f"""
        seeds: 1
        sweeps:
          one:
            data: {{name: digits}}
            model:
              - {{name: horn_cnn, num_nodes: 8, timesteps: 16}}
              - {{name: cnn, match: {{to: horn_cnn, by: {by}}}}}
    """)
    (match,) = grid.matches
    text = printed(plan_of(grid, present={}))
    beside = match.deviation_in("training_flops" if by == "flops" else "forward_flops")
    assert f"cnn is matched to horn_cnn by {first}: {match.deviation:+.1%}; {other} {beside:+.1%}" in text
    assert abs(beside) > 0.05 > abs(match.deviation)


def test_many_matches_by_forward_flops_cost_no_torch(grid_from):
    grid = grid_from("""
        seeds: 1
        sweeps:
          one:
            data: {name: digits}
            model:
              - {name: horn_cnn, num_nodes: [1, 2, 3, 4, 5, 6, 7, 8, 9], timesteps: 4}
              - {name: cnn, match: {to: horn_cnn, by: forward_flops}}
    """)
    text = printed(plan_of(grid, present={}))
    assert re.search(r"cnn is matched to horn_cnn by forward FLOPs: \S+ to \S+( \(!\))?$", text, re.MULTILINE)


@pytest.mark.parametrize("width", [80, 160])
def test_tables_fit_a_terminal(grid, width):
    text = printed(plan_of(grid), width)
    tables = [line for line in text.splitlines() if re.match(r"\S+ +\d+ +\d+ +\d+ ", line)]
    assert len(tables) == 4
    assert all(len(line) <= width for line in tables) and "…" not in text


def test_far_matches_are_flagged_and_warnings_counted(grid_from):
    grid = grid_from("""
        seeds: 1
        sweeps:
          one:
            data: {name: digits}
            model:
              - {name: horn_cnn, arm: wild, num_nodes: 1, num_stages: 1, omega: 3, timesteps: [4, 8, 16]}
              - {name: mlp, hidden_nodes: 4, match: {to: wild, by: parameters}}
    """)
    text = printed(plan_of(grid, present={}))
    (match,) = grid.matches
    assert abs(match.deviation) > 0.05
    assert f"{match.deviation:+.1%} (!)" in text
    assert f"warning: one, digits: mlp at width {match.width} has {match.reached:,} parameters" in text
    warnings = [line for line in text.splitlines() if "unstable" in line]
    assert len(warnings) == 1 and warnings[0].endswith("(one of 3 such warnings)")
    assert "sweeps.one.model[0]: wild: " in warnings[0]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (950, "950"),
        (999.6, "1.00k"),
        (1450, "1.45k"),
        (94_762, "94.8k"),
        (377_000, "377k"),
        (999_600, "1.00M"),
        (12_300_000, "12.3M"),
        (4e12, "4.00T"),
    ],
)
def test_counts_have_three_digits(count, text):
    assert compact(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0"), (1, "<0.01"), (900, "0.25"), (11_160, "3.1"), (36_000, "10"), (4.32e6, "1,200")],
)
def test_hours_have_few_digits(seconds, text):
    assert hours_text(seconds) == text


def test_guessed_hours_are_marked():
    assert [hours_text(seconds, is_guess=True) for seconds in (1, 900, 11_160)] == ["~0.01", "~0.25", "~3.1"]


TUNED = """
    results: {results}
    seeds: 2
    defaults:
      data: {{name: digits}}
    sweeps:
      tuned:
        model: [{{name: cnn, channels: 4}}, {{name: mlp}}]
        training: {{learning_rate: {{tune: {{low: 1e-3, high: 1e-1, scale: log}}}}}}
        tuning: {{trials: 4, seeds: 3}}
"""


def test_finalists_are_counted_and_their_cost_is_part_of_the_plan(grid_from, tmp_path):
    finalists = "trials: 4, seeds: 3, finalists: {{trials: 2, seeds: 5}}"
    grid = grid_from(TUNED.replace("trials: 4, seeds: 3", finalists).format(results=tmp_path / "out"))
    plan = plan_of(grid)
    # an arm has at most the 4 trials there are: 2 finalists for each of two objectives
    assert "finalists of 2 arms to be trained next (0 done), at most 40 runs in all" in printed(plan)
    told = "tuning of every arm: 4 trials x 3 seeds, then the best 2 x 5 fresh seeds; trials per tuned parameter: "
    assert told + "cnn 4 (1 parameter), mlp 4 (1 parameter)" in printed(plan)
    plan.estimates.rates = {(model, ""): 1e-12 for model in ("cnn", "mlp")}
    before = plan.left().seconds
    stage = grid.tuning_job(next(iter(grid.finalist_stages)))
    grid.run_path(stage).parent.mkdir(parents=True)
    grid.run_path(stage).touch()
    done = plan_of(grid)
    done.estimates.rates = plan.estimates.rates
    one_run = plan.estimates.run_seconds(grid.finalist_stages[stage.cell].cell)
    assert before - done.left().seconds == pytest.approx(20 * one_run)
    assert "finalists of 2 arms to be trained next (1 done)" in printed(done)
    # finalists are shared by both objectives, and those for time need the baseline's trials
    assert len(plan_of(grid, "arm=mlp", "selected_for=final_metric").tuning_jobs) == 3


def test_what_is_tuned_first_is_counted_with_what_is_done_of_it(grid_from, tmp_path):
    grid = grid_from(TUNED.format(results=tmp_path / "out"))
    assert "2 arms to be tuned first (0 done), 24 runs of trials in all" in printed(plan_of(grid))
    first = grid.run_path(grid.tuning_job(next(iter(grid.tuned_arms))))
    first.parent.mkdir(parents=True)
    first.touch()
    assert "2 arms to be tuned first (1 done)" in printed(plan_of(grid))
    # the untuned cells alone need no trials, and a tuned one needs its baseline's too
    assert "tuned first" not in printed(plan_of(grid, "selected_for=''"))
    assert len(plan_of(grid, "arm=mlp", "selected_for=time_to_target").tuning_jobs) == 2
    assert len(plan_of(grid, "arm=mlp", "selected_for=final_metric").tuning_jobs) == 1


def test_one_line_of_the_plan_says_how_all_files_of_an_earlier_hornlib_are_sealed(grid):
    paths = [write_run(grid, cell, [0, 1]) for cell in list(grid.cells.values())[:3]]
    for path in paths[:2]:
        path.write_bytes(path.read_bytes()[:-SEAL_LENGTH])
    paths[2].write_bytes(paths[2].read_bytes().replace(b"here", b"hare"))
    plan = plan_of(grid)
    assert sorted(plan.unsealed) == sorted(paths[:2]) and len(plan.faults) == 3
    results = shlex.quote(str(grid.settings.results))
    first, second, *_ = (line for line in printed(plan).splitlines() if line.startswith("warning: "))
    assert first.startswith("warning: files without a SHA-256 at their end: 2, the first is ")
    assert f"`hornlib seal {results}/*.nc {results}/*/*.nc`" in first
    assert first.index("hornlib seal") < first.index("Delete")
    assert second.startswith(f"warning: {paths[2]}: damaged")


def test_the_plan_names_a_damaged_run_file_and_what_to_do(grid):
    whole, damaged = list(grid.cells.values())[:2]
    write_run(grid, whole, [0, 1])
    path = write_run(grid, damaged, [0, 1])
    assert not plan_of(grid).faults
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    plan = plan_of(grid)
    assert [job.cell for job in plan.faults] == [damaged.name]
    assert re.search(
        rf"warning: {re.escape(str(path))}: damaged: .*SHA-256.* Delete it and give the same command",
        printed(plan),
    )
