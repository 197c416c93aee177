"""Claims about fetching: what is there is left alone, what is not is downloaded, or told."""

import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torchvision

from hornlib.data import DATASETS
from hornlib.data.prepare import prepare
from hornlib.errors import DataError


def snapshot(folder):
    """Every path below the folder with its time of change."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture
def offline(monkeypatch):
    """No network, as urllib tells it."""

    def refuse(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def test_digits_need_no_folder(tmp_path, offline):
    assert prepare("digits", tmp_path / "absent") == tmp_path / "absent"
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("name", ["mnist", "cifar10", "photo_patches"])
def test_files_that_are_there_are_used_as_they_are(real, name, offline):
    root = real(name).root_path()
    before = snapshot(root)
    assert prepare(name, root) == root
    assert snapshot(root) == before


@pytest.mark.parametrize("name", ["mnist", "cifar10", "photo_patches"])
def test_without_a_network_the_missing_files_are_listed(name, tmp_path, offline):
    with pytest.raises(DataError) as error:
        prepare(name, tmp_path)
    for words in (*DATASETS[name].files, str(tmp_path), "HORNLIB_DATA", "data.root"):
        assert words in str(error.value)
    assert ("Name or service not known" in str(error.value)) == (DATASETS[name].origin == "served")


def test_a_folder_that_cannot_be_written_is_reported(tmp_path, offline):
    (tmp_path / "MNIST").write_text("a file where a folder should be")
    with pytest.raises(DataError, match=r"mnist: not found in .*Error"):
        prepare("mnist", tmp_path)


def test_missing_files_are_downloaded_once(
    tmp_path, monkeypatch, without_checksums, write_cifar, declare_small
):
    dataset = without_checksums(torchvision.datasets.CIFAR10)
    monkeypatch.setattr(dataset, "download", lambda served: write_cifar(Path(served.root), dataset, 2))
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", dataset)
    declaration = declare_small("cifar10", 10, 2)
    root = tmp_path / "new"
    assert prepare("cifar10", root) == root
    assert all((root / file).exists() for file in declaration.files)
    before = snapshot(root)
    prepare("cifar10", root)
    assert snapshot(root) == before


def test_damaged_files_are_reported_and_left_alone(tmp_path, offline):
    for file in DATASETS["cifar100"].files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"half a download")
    before = snapshot(tmp_path)
    with pytest.raises(DataError, match="cifar100: wrong files in"):
        prepare("cifar100", tmp_path)
    assert snapshot(tmp_path) == before


def test_an_unknown_dataset_is_refused_with_the_nearest_right_name(tmp_path):
    with pytest.raises(DataError, match="did you mean 'cifar100'"):
        prepare("cifar_100", tmp_path)
