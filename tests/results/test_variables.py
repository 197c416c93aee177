"""The list of variables: results.nc holds what it says, its sources exist, and the page of the folder follows it."""

import importlib
import re
from pathlib import Path

import pytest

from hornlib.cli.overrides import FOLDER as CONFIGURATIONS_FOLDER
from hornlib.grid.cell import parse_specification
from hornlib.grid.shapes import shape_name
from hornlib.report.evidence import FIGURES_FOLDER
from hornlib.results.calibration_file import Calibration, Measurement, calibration_path, write_calibration
from hornlib.results.gather import gather
from hornlib.results.readme import readme
from hornlib.results.variables import RESULTS_VARIABLES, RUN_VARIABLES, SWEEP_COORDINATES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "results" / "README.md"


def resolved(source):
    """Return the object of a dotted name; its longest importable prefix is the module."""
    parts = source.split(".")
    for end in range(len(parts), 0, -1):
        try:
            target = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError as error:
            if not source.startswith(f"{error.name}"):
                raise  # the module is there, but what it imports is not: torch on the lowest versions
            continue
        for name in parts[end:]:
            target = getattr(target, name)
        return target
    raise AssertionError(f"no module in {source}")


@pytest.mark.parametrize(
    "source", sorted({variable.source for variable in {**RESULTS_VARIABLES, **RUN_VARIABLES}.values()} - {""})
)
def test_the_source_of_a_variable_exists(source):
    assert resolved(source) is not None


def test_results_hold_the_variables_of_the_list_and_parameters(grid, write_run, tmp_path):
    given = {"data": {"name": "digits"}, "model": {"name": "mlp", "hidden_nodes": "4"}}
    small = parse_specification(given)
    grown = parse_specification({**given, "structure": {"name": "layer_insertion", "insert_at": 1}})
    for cell in (small, grown):
        write_run(cell, 0, 1)
    shapes = {shape_name(small): Measurement("{}", "", (0.1,), 5, 1e6)}
    write_calibration(calibration_path(tmp_path, "cpu"), Calibration("cpu", shapes))
    ds = gather(grid({"one": ({"small": [small], "grown": [grown]}, range(2))}))
    for name, variable in ds.variables.items():
        if name in RESULTS_VARIABLES:
            declared = RESULTS_VARIABLES[name]
        elif name.startswith(tuple(SWEEP_COORDINATES)):
            declared = next(own for prefix, own in SWEEP_COORDINATES.items() if name == f"{prefix}one")
        else:
            assert "kind" in variable.attrs and variable.dims == ("cell",), name
            continue
        assert (variable.dims, variable.attrs["units"]) == (declared.dims, declared.units), name
    expected = {name for name, variable in RESULTS_VARIABLES.items() if "trial" not in variable.dims}
    missing = expected - set(ds.variables)
    optional = {name for name, variable in RESULTS_VARIABLES.items() if variable.optional}
    tuned = {name for name, variable in RESULTS_VARIABLES.items() if "tuning" in variable.source}
    assert missing <= optional | tuned and "calibrated_seconds" in ds and "final_forward_flops" in ds


def test_the_page_of_the_results_folder_follows_the_list():
    assert PAGE.read_text() == readme(), "write it anew: python -m hornlib.results.readme > results/README.md"


def test_the_page_names_every_file_and_folder_that_the_workflow_makes():
    rules = "".join(path.read_text() for path in [ROOT / "Snakefile", *ROOT.glob("workflow/rules/*.smk")])
    made = set(re.findall(r"{(?:RESULTS|results)}/([a-z]+(?:\.[a-z]+|/))", rules))
    made |= {f"{folder}/" for folder in (CONFIGURATIONS_FOLDER, FIGURES_FOLDER.as_posix())}
    assert {"runs/", "digests/", "results.nc", "logs/", "figures/report/", "configurations/"} <= made
    assert {name for name in made if f"`{name}" not in readme()} == set()
