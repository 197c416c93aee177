"""What tests of the configuration share: a file in a folder of its own, and the grid read from it."""

import textwrap

import pytest
from hypothesis import settings

from hornlib.grid import read_grid

# The same examples at every call, and no limit of time: a slow machine is no wrong answer.
settings.register_profile("hornlib", derandomize=True, deadline=None)
settings.load_profile("hornlib")


@pytest.fixture
def config_file(tmp_path):
    """Write a configuration and return its path."""

    def write(text, name="config.yaml"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write


@pytest.fixture
def grid_from(config_file):
    """Return the grid of a configuration given as text."""
    return lambda text: read_grid([config_file(text)])
