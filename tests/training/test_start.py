"""The start of a job: it loads what training needs, and nothing that takes seconds or memory beside that."""

import json
import subprocess
import sys

from hornlib.grid.cell import parse_specification

SPECIFICATION = {
    "data": {"name": "digits"},
    "model": {"name": "cnn", "channels": "4-8"},
    "training": {"steps": 2},
}
TOO_LARGE = (
    "torch._dynamo",
    "torch._inductor",
    "sympy",
    "sklearn",
    "scipy",
    "pandas",
    "xarray",
    "matplotlib",
)


def test_a_job_loads_no_compiler_no_scikit_learn_and_no_tables(tmp_path):
    cell = parse_specification(SPECIFICATION)
    output = tmp_path / "runs" / f"{cell.name}.seeds-0-1.nc"
    words = ["hornlib", "train", str(output), "--cell", json.dumps(SPECIFICATION), "--device", "cpu"]
    code = (
        f"import sys; sys.argv = {words!r}\n"
        "from hornlib.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        f"print(*set({TOO_LARGE!r}) & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0 and output.exists(), run.stderr
    assert run.stdout.split() == []
