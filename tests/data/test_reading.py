"""Claims about files: CIFAR's layout on disk, and errors that say what to put where."""

import hashlib
import importlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from hornlib.data import DATASETS
from hornlib.data.checksums import damages
from hornlib.data.loading import load
from hornlib.data.parameters import DataParameters
from hornlib.data.reading import read
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


def test_cifar_files_are_read_plane_by_plane_in_their_order(cifar, relaxed, declare_small):
    name, root, written = cifar
    raw = read(declare_small(name, 20 * (len(written) - 1), 20), root)
    pixels = torch.from_numpy(np.concatenate([pixels for pixels, _ in written[:-1]])).reshape(-1, 3, 32, 32)
    assert torch.equal(raw.train_inputs, pixels)
    assert raw.train_targets.tolist() == [label for _, labels in written[:-1] for label in labels]
    assert torch.equal(raw.test_inputs, torch.from_numpy(written[-1][0]).reshape(-1, 3, 32, 32))
    assert raw.train_inputs.is_contiguous()


def test_cifar_loads_whole_through_the_table(cifar, relaxed, declare_small):
    name, root, written = cifar
    declare_small(name, 20 * (len(written) - 1), 20)
    data = DataParameters(name=name, root=str(root), validation=0.5)
    splits = load(data, "cpu")
    assert splits.train.inputs.shape == (data.num_train, 3, 32, 32)
    assert splits.validation.targets.bincount().tolist() == [data.num_validation // 10] * 10
    for channel in splits.train.inputs.unbind(1):
        assert channel.mean().abs() < 1e-5
        assert abs(channel.std(correction=0) - 1) < 1e-4


def test_cifar_of_another_size_than_declared_is_refused(cifar, relaxed, declare_small):
    name, root, written = cifar
    declaration = declare_small(name, 50_000, 10_000)
    with pytest.raises(DataError, match=f"expected 50,000 examples, got {20 * (len(written) - 1)} "):
        read(declaration, root)


def write_binary(root, name, written):
    """Write the batches again in the binary version; a coarse label that is never the fine one stands first."""
    folder = root / {"cifar10": "cifar-10-batches-bin", "cifar100": "cifar-100-binary"}[name]
    folder.mkdir()
    files = [file.path for file in DATASETS[name].layouts[1].files]
    for file, (pixels, labels) in zip(files, written, strict=True):
        fine = np.array(labels, np.uint8)[:, None]
        labels_of_record = [fine] if name == "cifar10" else [fine + 1, fine]
        (root / file).write_bytes(np.concatenate([*labels_of_record, pixels], axis=1).tobytes())
    return folder


def test_the_pickled_and_the_binary_version_of_cifar_give_the_same_tensors(cifar, relaxed, declare_small):
    name, root, written = cifar
    declaration = declare_small(name, 20 * (len(written) - 1), 20)
    pickled = read(declaration, root)
    binary_root = root / "binary"
    binary_root.mkdir()
    write_binary(binary_root, name, written)
    binary = read(declaration, binary_root)
    for expected, tensor in zip(pickled, binary, strict=True):
        assert torch.equal(tensor, expected) and tensor.dtype == expected.dtype
        assert tensor.is_contiguous()


def test_an_incomplete_pickled_version_gives_way_to_a_complete_binary_one(cifar, relaxed, declare_small):
    name, root, written = cifar
    declaration = declare_small(name, 20 * (len(written) - 1), 20)
    expected = read(declaration, root)
    write_binary(root, name, written)
    (root / declaration.files[0]).unlink()
    assert declaration.missing_files(root) == []
    assert torch.equal(read(declaration, root).train_inputs, expected.train_inputs)


def test_a_binary_file_with_a_piece_of_a_record_is_refused(cifar, declare_small, tmp_path):
    name, _, written = cifar
    declaration = declare_small(name, 20 * (len(written) - 1), 20)
    (tmp_path / "binary").mkdir()
    folder = write_binary(tmp_path / "binary", name, written)
    file = next(folder.glob("*.bin"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"not readable.*{file.name} has .* no multiple of 3,07"):
        read(declaration, tmp_path / "binary")


def test_the_real_cifar10_has_its_published_moments_and_classes(real):
    data = real("cifar10")
    raw = read(data.declaration, data.root_path())
    assert raw.train_inputs.shape == (50_000, 3, 32, 32) and raw.train_inputs.dtype == torch.uint8
    assert raw.train_targets.bincount().tolist() == [5000] * 10
    assert raw.test_targets.bincount().tolist() == [1000] * 10
    pixels = raw.train_inputs.double() / 255
    torch.testing.assert_close(
        pixels.mean((0, 2, 3)), torch.tensor([0.4914, 0.4822, 0.4465]).double(), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(
        pixels.std((0, 2, 3)), torch.tensor([0.2470, 0.2435, 0.2616]).double(), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("name", DATASETS)
def test_every_layout_of_every_dataset_names_a_loader_that_exists(name):
    for layout in DATASETS[name].layouts:
        module, function = layout.loader.split(":")
        assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_checksums_of_the_pickled_version_are_torchvisions(name):
    dataset = getattr(torchvision.datasets, name.upper())
    published = dict(
        [*dataset.train_list, *dataset.test_list, [dataset.meta["filename"], dataset.meta["md5"]]]
    )
    stored = DATASETS[name].layouts[0].files
    assert {file.path: file.md5 for file in stored} == {
        f"{dataset.base_folder}/{file}": md5 for file, md5 in published.items()
    }


@pytest.mark.parametrize("name", [name for name in DATASETS if DATASETS[name].origin != "computed"])
def test_every_file_that_is_not_computed_here_has_a_checksum_of_its_own(name):
    stored = [file for layout in DATASETS[name].layouts for file in layout.files]
    assert all(file.md5 and len(bytes.fromhex(file.md5)) == 16 for file in stored)
    elsewhere = {
        file.md5
        for other, declaration in DATASETS.items()
        for layout in declaration.layouts
        for file in layout.files
        if other != name
    }
    assert not elsewhere & {file.md5 for file in stored}


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "photo_patches"])
def test_real_files_have_the_declared_checksums(real, name):
    data = real(name)
    assert damages(data.declaration.layout_in(data.root_path()), data.root_path(), DATASETS) == []


@pytest.fixture
def swapped(real, tmp_path):
    """Fashion-MNIST's real files under MNIST's names."""
    folder = real("fashion_mnist").root_path() / "FashionMNIST/raw"
    shutil.copytree(folder, tmp_path / "MNIST/raw", copy_function=os.symlink)
    return tmp_path


def test_fashion_mnist_under_mnists_names_is_refused_as_what_it_is(swapped):
    with pytest.raises(DataError) as error:
        read(DATASETS["mnist"], swapped)
    message = str(error.value)
    assert message.startswith(f"mnist: wrong files in {swapped}: ")
    for file in DATASETS["mnist"].files:
        assert f"{file} is fashion_mnist's {Path(file).name}" in message
    assert f"hornlib data mnist --root {swapped}" in message


def changed_pixels(content, header, record):
    """1,000 bytes get another value."""
    content[header :: (len(content) - header) // 1000] ^= 1


def shuffled_images(content, header, record):
    """The images, or the records of image and label, are in the reversed order."""
    content[header:] = content[header:].reshape(-1, record)[::-1].ravel()


def shuffled_labels(content, header, record):
    """The labels are in the reversed order; those of CIFAR stand before each image."""
    records = content[header:].reshape(-1, record)
    records[:, 0] = records[::-1, 0].copy()


@pytest.mark.parametrize("change", [changed_pixels, shuffled_images, shuffled_labels])
@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_changed_files_are_refused_with_both_checksums_and_what_to_do(real, tmp_path, name, part, change):
    data = real(name)
    layout = data.declaration.layout_in(data.root_path())
    is_idx = name != "cifar10"
    kind = "labels" if change is shuffled_labels else "images"
    words = (
        ({"train": "train", "test": "t10k"}[part], kind)
        if is_idx
        else ({"train": "data", "test": "test"}[part],)
    )
    changed = next(file for file in layout.files if all(word in file.path for word in words))
    for file in layout.files:
        (tmp_path / file.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file.path).symlink_to(data.root_path() / file.path)
    content = np.fromfile(tmp_path / changed.path, np.uint8)
    header, record = {"images": (16, 784), "labels": (8, 1)}[kind] if is_idx else (0, 3073)
    change(content, header, record)
    (tmp_path / changed.path).unlink()
    content.tofile(tmp_path / changed.path)
    with pytest.raises(DataError) as error:
        load(real(name).model_copy(update={"root": str(tmp_path)}), "cpu")
    actual = hashlib.md5(content.tobytes()).hexdigest()
    assert f"{changed.path} is damaged or changed" in str(error.value)
    assert f"MD5 {actual}, expected {changed.md5}" in str(error.value)
    assert f"delete them and run `hornlib data {name} --root {tmp_path}`" in str(error.value)


def test_changed_pickles_are_refused_before_they_are_unpickled(cifar, declare_small, monkeypatch):
    name, root, _ = cifar
    layout = DATASETS[name].layouts[0]
    checksums = {file.path: hashlib.md5((root / file.path).read_bytes()).hexdigest() for file in layout.files}
    declaration = declare_small(name, 100, 20, checksums)
    changed = root / layout.files[0].path
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    monkeypatch.setattr("pickle.load", None)
    with pytest.raises(
        DataError,
        match=f"{layout.files[0].path} is damaged or changed .* expected {checksums[layout.files[0].path]}",
    ):
        read(declaration, root)


def test_a_file_that_is_replaced_is_looked_at_again(tmp_path, small_mnist, declare_small):
    declaration, root = small_mnist
    contents = [(root / file).read_bytes() for file in declaration.files]
    checksums = {
        file: hashlib.md5(content).hexdigest()
        for file, content in zip(declaration.files, contents, strict=True)
    }
    declaration = declare_small("mnist", 30, 20, checksums)
    read(declaration, root)
    (root / declaration.files[1]).write_bytes(contents[1][:8] + contents[1][:7:-1])
    with pytest.raises(DataError, match="wrong files"):
        read(declaration, root)
    (root / declaration.files[1]).write_bytes(contents[1])
    read(declaration, root)


def test_files_of_torchvisions_old_layout_change_nothing(small_mnist):
    declaration, root = small_mnist
    (root / "MNIST/processed").mkdir()
    for name, count in (("training.pt", 30), ("test.pt", 20)):
        torch.save(
            (torch.zeros(count, 28, 28, dtype=torch.uint8), torch.zeros(count, dtype=torch.int64)),
            root / "MNIST/processed" / name,
        )
    raw = read(declaration, root)
    assert raw.train_targets.tolist() == [k % 10 for k in range(30)] and raw.train_inputs.any()
    assert raw.test_targets.tolist() == [k % 10 for k in range(20)] and raw.test_inputs.any()


def test_files_of_torchvisions_old_layout_do_not_stand_for_the_raw_ones(small_mnist):
    declaration, root = small_mnist
    shutil.copytree(root / "MNIST/raw", root / "MNIST/processed")
    shutil.rmtree(root / "MNIST/raw")
    with pytest.raises(DataError, match="mnist: not found in"):
        read(declaration, root)


@pytest.mark.parametrize("name", [name for name in DATASETS if DATASETS[name].files])
def test_an_empty_root_is_reported_with_every_file_and_every_remedy(name, tmp_path):
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
def small_mnist(tmp_path, declare_small):
    """A folder with 30 + 20 examples in MNIST's layout, declared so."""
    declaration = declare_small("mnist", 30, 20)
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    for file, num in zip(declaration.files, (30, 30, 20, 20), strict=True):
        shape = (num, 28, 28) if "images" in file else (num,)
        (tmp_path / file).write_bytes(idx(np.arange(np.prod(shape)).reshape(shape).astype(np.uint8) % 10))
    return declaration, tmp_path


def test_small_files_in_mnists_layout_load(small_mnist):
    assert read(*small_mnist).train_targets.tolist() == [k % 10 for k in range(30)]


@pytest.mark.parametrize("length", [0, 3, 16, -1])
@pytest.mark.parametrize("which", range(4))
def test_a_truncated_file_is_reported_with_its_name(small_mnist, which, length):
    declaration, root = small_mnist
    file = root / declaration.files[which]
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(DataError, match=f"not readable .*ValueError: {file.name} "):
        read(declaration, root)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar100", "photo_patches"])
def test_empty_and_foreign_files_are_reported_with_their_names_and_what_to_do(name, tmp_path):
    first, *others = DATASETS[name].files
    for file in (first, *others):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"not what it should be")
    (tmp_path / first).write_bytes(b"")
    with pytest.raises(DataError, match=f"{name}: wrong files in .*: {first} is empty") as error:
        read(DATASETS[name], tmp_path)
    for file in others:
        assert f"{file} is damaged or changed (21 bytes, MD5 " in str(error.value)
    assert "Replace these files by the originals" in str(error.value)


def test_classes_beyond_the_declared_are_refused(small_mnist):
    declaration, root = small_mnist
    (root / declaration.files[1]).write_bytes(idx(np.full(30, 10, dtype=np.uint8)))
    with pytest.raises(DataError, match="training part: expected classes 0 to 9, got 10 to 10"):
        read(declaration, root)


def test_images_of_another_shape_are_refused(small_mnist):
    declaration, root = small_mnist
    (root / declaration.files[2]).write_bytes(idx(np.zeros((20, 14, 14), dtype=np.uint8)))
    with pytest.raises(DataError, match=r"test part: expected examples of shape \(1, 28, 28\), got"):
        read(declaration, root)


def test_a_foreign_npz_is_refused(tmp_path, declare_small):
    declaration = declare_small("photo_patches", 5000, 1000)
    (tmp_path / "photo_patches.npz").write_bytes(b"not a zip file")
    with pytest.raises(DataError, match="photo_patches: not readable"):
        read(declaration, tmp_path)
    np.savez(tmp_path / "photo_patches.npz", images=np.zeros(3))
    with pytest.raises(DataError, match=r"photo_patches: not readable .*KeyError"):
        read(declaration, tmp_path)
