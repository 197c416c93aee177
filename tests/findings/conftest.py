"""Tests of the scripts behind docs/findings import them as the scripts do: by the folder that they lie in."""

import sys
from pathlib import Path

# Last: a script may have the name of an installed package.
sys.path.append(str(Path(__file__).parents[2] / "docs" / "findings"))
