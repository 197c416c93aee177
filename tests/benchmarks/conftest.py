"""Tests of benchmarks import their modules as the scripts do: by the folder that the scripts lie in."""

import sys
from pathlib import Path

# Last: some scripts have the name of an installed package.
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
