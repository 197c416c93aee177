"""What the data tests share: the folder of real files, and small files in CIFAR's layout."""

import dataclasses
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from hornlib.data import DATASETS
from hornlib.data.parameters import DataParameters


@pytest.fixture(scope="session")
def data_root():
    """The folder of real files: HORNLIB_DATA, else shared/data beside the repository."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    return Path(os.environ.get("HORNLIB_DATA") or beside)


@pytest.fixture(scope="session")
def real(data_root):
    """A function that gives the parameters of a real dataset, or skips where its files are not there."""

    def parameters(name, **fields):
        missing = DATASETS[name].missing_files(data_root)
        if missing:
            pytest.skip(f"{name} is not in {data_root}: {', '.join(missing)}")
        return DataParameters(name=name, root=str(data_root), **fields)

    return parameters


@pytest.fixture
def without_checksums():
    """A function that gives a torchvision CIFAR class which reads small files in the same layout."""

    def relaxed(dataset):
        lists = {
            key: [[name, None] for name, _ in getattr(dataset, key)] for key in ("train_list", "test_list")
        }
        return type(dataset.__name__, (dataset,), {**lists, "meta": {**dataset.meta, "md5": None}})

    return relaxed


@pytest.fixture
def declare_small(monkeypatch):
    """A function that declares a dataset with fewer examples, without checksums unless they are given."""

    def declare(name, num_train, num_test, checksums=None):
        layouts = tuple(
            layout._replace(
                files=tuple(file._replace(md5=(checksums or {}).get(file.path)) for file in layout.files)
            )
            for layout in DATASETS[name].layouts
        )
        declaration = dataclasses.replace(
            DATASETS[name], num_train=num_train, num_test=num_test, layouts=layouts
        )
        monkeypatch.setitem(DATASETS, name, declaration)
        return declaration

    return declare


@pytest.fixture
def write_cifar():
    """A function that writes each batch file as the originals are: a pickled dict of (n, 3072) bytes."""

    def write(root, dataset, num_each):
        random = np.random.default_rng(0)
        folder = root / dataset.base_folder
        folder.mkdir(parents=True, exist_ok=True)
        labels = [k % 10 for k in range(num_each)]
        label_key = "fine_labels" if "100" in dataset.base_folder else "labels"
        written = []
        for name, _ in (*dataset.train_list, *dataset.test_list):
            pixels = random.integers(0, 256, (num_each, 3072), dtype=np.uint8)
            written.append((pixels, labels))
            (folder / name).write_bytes(pickle.dumps({"data": pixels, label_key: labels}))
        names = {dataset.meta["key"]: [str(k) for k in range(100)]}
        (folder / dataset.meta["filename"]).write_bytes(pickle.dumps(names))
        return written

    return write
