"""Claims about files: CIFAR's layout on disk, and errors that say what to put where."""

import dataclasses

import numpy as np
import pytest
import torch
import torchvision

from hornlib.data import DATASETS
from hornlib.data.loading import load
from hornlib.data.parameters import DataParameters
from hornlib.data.reading import read
from hornlib.data.vision import from_torchvision
from hornlib.errors import DataError


@pytest.fixture(params=["cifar10", "cifar100"])
def cifar(request, tmp_path, write_cifar):
    """A small CIFAR on disk: its name, its folder, and what was written, batch by batch."""
    written = write_cifar(tmp_path, getattr(torchvision.datasets, request.param.upper()), 20)
    return request.param, tmp_path, written


@pytest.fixture
def relaxed(cifar, monkeypatch, without_checksums):
    """The dataset class without checksums, also put where the table's loader finds it."""
    name = cifar[0].upper()
    dataset = without_checksums(getattr(torchvision.datasets, name))
    monkeypatch.setattr(torchvision.datasets, name, dataset)
    return dataset


def test_cifar_files_are_read_plane_by_plane_in_their_order(cifar, relaxed):
    _, root, written = cifar
    raw = from_torchvision(relaxed, root, download=False)
    pixels = torch.from_numpy(np.concatenate([pixels for pixels, _ in written[:-1]])).reshape(-1, 3, 32, 32)
    assert torch.equal(raw.train_inputs, pixels)
    assert raw.train_targets.tolist() == [label for _, labels in written[:-1] for label in labels]
    assert torch.equal(raw.test_inputs, torch.from_numpy(written[-1][0]).reshape(-1, 3, 32, 32))
    assert raw.train_inputs.is_contiguous()


def test_cifar_loads_whole_through_the_table(cifar, relaxed, monkeypatch):
    name, root, written = cifar
    declaration = dataclasses.replace(DATASETS[name], num_train=20 * (len(written) - 1), num_test=20)
    monkeypatch.setitem(DATASETS, name, declaration)
    data = DataParameters(name=name, root=str(root), validation=0.5)
    splits = load(data, "cpu")
    assert splits.train.inputs.shape == (data.num_train, 3, 32, 32)
    assert splits.validation.targets.bincount().tolist() == [data.num_validation // 10] * 10
    for channel in splits.train.inputs.unbind(1):
        assert channel.mean().abs() < 1e-5
        assert abs(channel.std(correction=0) - 1) < 1e-4


def test_cifar_of_another_size_than_declared_is_refused(cifar, relaxed):
    name, root, written = cifar
    with pytest.raises(DataError, match=f"expected 50,000 examples, found {20 * (len(written) - 1)} "):
        load(DataParameters(name=name, root=str(root)), "cpu")


def test_cifar_files_with_a_wrong_checksum_are_refused(cifar):
    name, root, _ = cifar
    with pytest.raises(DataError, match=rf"{name}: not readable .* replace the damaged ones of .*corrupted"):
        load(DataParameters(name=name, root=str(root)), "cpu")


@pytest.mark.parametrize("name", [name for name in DATASETS if DATASETS[name].files])
def test_an_empty_root_is_told_with_every_file_and_every_remedy(name, tmp_path):
    with pytest.raises(DataError) as error:
        load(DataParameters(name=name, root=str(tmp_path)), "cpu")
    message = str(error.value)
    for words in (name, str(tmp_path), *DATASETS[name].files, "data.root", "HORNLIB_DATA"):
        assert words in message
    assert ("hornlib data" in message) == (DATASETS[name].origin != "given")


def test_declared_files_are_the_ones_torchvision_wants():
    vision = torchvision.datasets
    for name, dataset in (("mnist", vision.MNIST), ("fashion_mnist", vision.FashionMNIST)):
        wanted = {f"{dataset.__name__}/raw/{file.removesuffix('.gz')}" for file, _ in dataset.resources}
        assert set(DATASETS[name].files) == wanted
    for name, dataset in (("cifar10", vision.CIFAR10), ("cifar100", vision.CIFAR100)):
        wanted = [file for file, _ in (*dataset.train_list, *dataset.test_list)] + [dataset.meta["filename"]]
        assert set(DATASETS[name].files) == {f"{dataset.base_folder}/{file}" for file in wanted}


def idx(array):
    """The bytes of an idx file (big-endian sizes, then the numbers)."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.tobytes()


@pytest.fixture
def small_mnist(tmp_path, monkeypatch):
    """A folder with 30 + 20 examples in MNIST's layout, declared so."""
    declaration = dataclasses.replace(DATASETS["mnist"], num_train=30, num_test=20)
    monkeypatch.setitem(DATASETS, "mnist", declaration)
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    for file, num in zip(declaration.files, (30, 30, 20, 20), strict=True):
        shape = (num, 28, 28) if "images" in file else (num,)
        (tmp_path / file).write_bytes(idx(np.arange(np.prod(shape)).reshape(shape).astype(np.uint8) % 10))
    return declaration, tmp_path


def test_small_files_in_mnists_layout_load(small_mnist):
    assert read(*small_mnist).train_targets.tolist() == [k % 10 for k in range(30)]


@pytest.mark.parametrize("length", [0, 3, 16, -1])
@pytest.mark.parametrize("which", range(4))
def test_a_truncated_file_is_told_with_its_name(small_mnist, which, length):
    declaration, root = small_mnist
    file = root / declaration.files[which]
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(DataError, match=f"not readable .*{file.name}"):
        read(declaration, root)


def test_classes_beyond_the_declared_are_refused(small_mnist):
    declaration, root = small_mnist
    (root / declaration.files[1]).write_bytes(idx(np.full(30, 10, dtype=np.uint8)))
    with pytest.raises(DataError, match="training part: expected classes 0 to 9, found 10 to 10"):
        read(declaration, root)


def test_images_of_another_shape_are_refused(small_mnist):
    declaration, root = small_mnist
    (root / declaration.files[2]).write_bytes(idx(np.zeros((20, 14, 14), dtype=np.uint8)))
    with pytest.raises(DataError, match=r"test part: expected examples of shape \(1, 28, 28\), found"):
        read(declaration, root)


def test_a_foreign_npz_is_refused(tmp_path):
    (tmp_path / "photo_patches.npz").write_bytes(b"not a zip file")
    with pytest.raises(DataError, match="photo_patches: not readable"):
        read(DATASETS["photo_patches"], tmp_path)
    np.savez(tmp_path / "photo_patches.npz", images=np.zeros(3))
    with pytest.raises(DataError, match=r"photo_patches: not readable .*KeyError"):
        read(DATASETS["photo_patches"], tmp_path)
