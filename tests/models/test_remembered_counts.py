"""Remembered counts: a cache that is never needed, where it is missing, damaged or cannot be written."""

import pytest

from hornlib.models.efficient import counts
from hornlib.models.efficient.parameters import SqueezeNetParameters
from hornlib.models.remembered_counts import cache_path, read_counts, remember_counts
from hornlib.parameters import Task


@pytest.fixture
def unknown_user(monkeypatch):
    """A user without HOME whom the user database does not know, as in a container."""

    def unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)


@pytest.mark.usefixtures("unknown_user")
def test_a_user_without_a_home_folder_has_no_cache_and_counts_anew():
    path = cache_path("counts.json")
    assert path is None
    remember_counts(path, "code", "key", [1])
    assert read_counts(path, "code", 1) == {}
    counts.counted_cost.cache_clear()
    cost = counts.counted_cost(SqueezeNetParameters(width_multiplier=0.05), Task((1, 8, 8), 10))
    assert cost.num_parameters > 0


def test_the_cache_lies_in_the_home_folder_or_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_path("counts.json") == tmp_path / ".cache/hornlib/counts.json"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert cache_path("counts.json") == tmp_path / "elsewhere/hornlib/counts.json"


def test_counts_are_remembered_for_the_same_code_only(tmp_path):
    path = tmp_path / "new/counts.json"
    remember_counts(path, "code", "key", [1, 2])
    remember_counts(path, "code", "other", [3, 4])
    assert read_counts(path, "code", 2) == {"key": [1, 2], "other": [3, 4]}
    assert read_counts(path, "changed", 2) == {}
    path.write_text("{")
    assert read_counts(path, "code", 2) == {}


def test_a_count_that_was_changed_in_the_cache_is_counted_anew(tmp_path):
    path = tmp_path / "counts.json"
    remember_counts(path, "code", "key", [1, 2])
    path.write_text(path.read_text().replace("[1, 2]", "[1, 3]"))
    assert read_counts(path, "code", 2) == {}
