"""Checkpoints: atomic, verified, and safe to load."""

import errno
import os
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hornlib.errors import CheckpointError
from hornlib.training.checkpoint import load_checkpoint, save_checkpoint, set_aside

STATE = {
    "step": 7,
    "weights": torch.arange(1000.0),
    "names": ["a", "b"],
    "nested": {"rate": 0.1, "none": None},
}


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / "deep" / "folder" / "job.checkpoint"
    save_checkpoint(path, STATE)
    loaded = load_checkpoint(path)
    assert torch.equal(loaded.pop("weights"), STATE["weights"])
    assert loaded == {key: value for key, value in STATE.items() if key != "weights"}


def test_no_checkpoint_is_no_error(tmp_path):
    assert load_checkpoint(tmp_path / "none") is None


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_changed_or_missing_byte_is_noticed(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("checkpoint") / "job"
    save_checkpoint(path, STATE)
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[position] ^= data.draw(st.integers(1, 255))
    else:
        del content[position:]
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=str(path.name)):
        load_checkpoint(path)


def test_a_damaged_checkpoint_is_set_aside_and_kept(tmp_path):
    path = tmp_path / "job"
    path.write_bytes(b"rubbish")
    aside = set_aside(path)
    assert not path.exists() and aside.read_bytes() == b"rubbish"


def test_a_checkpoint_with_code_in_it_is_not_run(tmp_path):
    class Harm:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "harm"),))

    path = tmp_path / "job"
    save_checkpoint(path, {"harm": Harm()})
    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(path)
    assert not (tmp_path / "harm").exists()


def test_a_full_disk_is_told_and_the_last_checkpoint_survives(tmp_path, monkeypatch):
    path = tmp_path / "job"
    save_checkpoint(path, {"step": 1})

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"No space left on device.*checkpoints:"):
        save_checkpoint(path, {"step": 2})
    assert load_checkpoint(path) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["job"]
