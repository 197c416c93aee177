"""The pretend device stands beside the tests of training."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
