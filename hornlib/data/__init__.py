"""The table of datasets: what each declares about itself, without its files and without torch."""

from collections.abc import Mapping
from typing import NamedTuple

from hornlib.data.declaration import DatasetDeclaration, FileLayout, StoredFile

__all__ = [
    "DATASETS",
    "MAXWELL",
    "MAXWELL_SMALL",
    "DatasetDeclaration",
    "FileLayout",
    "MaxwellFile",
    "StoredFile",
]


def _layout(loader: str, folder: str = "", files: Mapping[str, str] | None = None) -> FileLayout:
    """Return a layout.

    Args:
        loader: `module:function` within hornlib.data.
        folder: of the files, relative to the data root.
        files: name of each file to its MD5 as published.
    """
    stored = tuple(StoredFile(f"{folder}/{name}", md5) for name, md5 in (files or {}).items())
    return FileLayout(f"hornlib.data.{loader}", stored)


DIGITS = DatasetDeclaration(
    name="digits",
    example_shape=(1, 8, 8),
    num_outputs=10,
    num_train=1437,
    num_test=360,
    layouts=(_layout("loaders:digits"),),
    description="1,797 handwritten digits of 8x8 pixels, shipped with scikit-learn (UCI, CC BY 4.0); "
    "the test part is a fixed stratified fifth",
    white_level=16.0,
)

MNIST = DatasetDeclaration(
    name="mnist",
    example_shape=(1, 28, 28),
    num_outputs=10,
    num_train=60_000,
    num_test=10_000,
    layouts=(
        _layout(
            "idx:mnist",
            "MNIST/raw",
            {
                "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
                "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
                "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
                "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
            },
        ),
    ),
    description="Handwritten digits, 28x28 grey (LeCun, Cortes, Burges)",
)

FASHION_MNIST = DatasetDeclaration(
    name="fashion_mnist",
    example_shape=(1, 28, 28),
    num_outputs=10,
    num_train=60_000,
    num_test=10_000,
    layouts=(
        _layout(
            "idx:fashion_mnist",
            "FashionMNIST/raw",
            {
                "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
                "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
                "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
                "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
            },
        ),
    ),
    description="Articles of clothing, 28x28 grey (Zalando, MIT licence)",
)

CIFAR10 = DatasetDeclaration(
    name="cifar10",
    example_shape=(3, 32, 32),
    num_outputs=10,
    num_train=50_000,
    num_test=10_000,
    layouts=(
        _layout(
            "cifar:cifar10",
            "cifar-10-batches-py",
            {
                "data_batch_1": "c99cafc152244af753f735de768cd75f",
                "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
                "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
                "data_batch_4": "634d18415352ddfa80567beed471001a",
                "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
                "test_batch": "40351d587109b95175f43aff81a1287e",
                "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
            },
        ),
        _layout(
            "cifar:cifar10_binary",
            "cifar-10-batches-bin",
            {
                "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
                "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
                "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
                "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
                "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
                "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
            },
        ),
    ),
    description="Colour photographs of 32x32 pixels in 10 classes (Krizhevsky 2009)",
)

CIFAR100 = DatasetDeclaration(
    name="cifar100",
    example_shape=(3, 32, 32),
    num_outputs=100,
    num_train=50_000,
    num_test=10_000,
    layouts=(
        _layout(
            "cifar:cifar100",
            "cifar-100-python",
            {
                "train": "16019d7e3df5f24257cddd939b257f8d",
                "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
                "meta": "7973b15100ade9c7d40fb424638fde48",
            },
        ),
        _layout(
            "cifar:cifar100_binary",
            "cifar-100-binary",
            {
                "train.bin": "6172c7755cfe09b2fe270c85cebc1b15",
                "test.bin": "4499cfba6c016c1be1438163640a0898",
            },
        ),
    ),
    description="Colour photographs of 32x32 pixels in 100 fine classes (Krizhevsky 2009)",
)

PHOTO_PATCHES = DatasetDeclaration(
    name="photo_patches",
    example_shape=(3, 32, 32),
    num_outputs=10,
    num_train=5_000,
    num_test=1_000,
    layouts=(
        FileLayout(
            "hornlib.data.loaders:photo_patches",
            (StoredFile("photo_patches.npz", "86ba1741d7373c3b92407c60457168b2"),),
        ),
    ),
    description="32x32 colour patches, where the class says from which of ten photographs a patch was cut; "
    "a stand-in for measurements of speed, to be used only where its file is given",
    origin="given",
)

SPIRALS = DatasetDeclaration(
    name="spirals",
    example_shape=(2,),
    num_outputs=2,
    num_train=450,
    num_test=150,
    layouts=(_layout("functions:spirals"),),
    description="Points of two interleaved spirals of one turn, 300 each, radius 0.5 to 1.5",
)

PEAKS = DatasetDeclaration(
    name="peaks",
    example_shape=(2,),
    num_outputs=1,
    num_train=10_000,
    num_test=1_000,
    layouts=(_layout("functions:peaks"),),
    description="MATLAB's function `peaks` of two numbers, drawn uniformly from [-3, 3] x [-3, 3]",
    loss="mse",
    metric="relative_l2",
)

SINE = DatasetDeclaration(
    name="sine",
    example_shape=(1,),
    num_outputs=1,
    num_train=10_000,
    num_test=1_000,
    layouts=(_layout("functions:sine"),),
    description="The sine of a number drawn uniformly from [-3, 3]",
    loss="mse",
    metric="relative_l2",
)

TEACHER_STUDENT = DatasetDeclaration(
    name="teacher_student",
    example_shape=(10,),
    num_outputs=10,
    num_train=1_000,
    num_test=1_000,
    layouts=(_layout("functions:teacher_student"),),
    description="Outputs of a fixed random network of 10 relu units without biases at standard normal points of 10 "
    "numbers; a student grows towards its size (GradMax, Evci et al. 2022)",
    loss="mse",
    metric="relative_l2",
)


class MaxwellFile(NamedTuple):
    """The file of examples that a forward and an inverse dataset share.

    Attributes:
        file: name of the file.
        cells_a_side: cells of the mesh along an edge of the cube.
        num_train, num_test: number of examples.
    """

    file: str
    cells_a_side: int
    num_train: int
    num_test: int


MAXWELL = MaxwellFile("maxwell_n8_1200.npz", 8, 1000, 200)
MAXWELL_SMALL = MaxwellFile("maxwell_n3_40.npz", 3, 32, 8)


def _maxwell(
    name: str,
    stored: MaxwellFile,
    num_features: int,
    num_outputs: int,
    description: str,
    takes_noise: bool = False,
) -> DatasetDeclaration:
    return DatasetDeclaration(
        name=name,
        example_shape=(num_features,),
        num_outputs=num_outputs,
        num_train=stored.num_train,
        num_test=stored.num_test,
        layouts=(
            FileLayout(
                f"hornlib.data.maxwell.loaders:{name.removeprefix('maxwell_')}", (StoredFile(stored.file),)
            ),
        ),
        description=f"{description}; {stored.cells_a_side} cells a side",
        origin="computed",
        loss="mse",
        metric="relative_l2",
        takes_noise=takes_noise,
    )


def _maxwell_forward(name: str, stored: MaxwellFile) -> DatasetDeclaration:
    description = (
        "A Maxwell problem of our own: place and strength of a current loop and the contrast of an inclusion, to 20 "
        "POD coefficients of the field in the unit cube"
    )
    return _maxwell(name, stored, 5, 20, description)


def _maxwell_inverse(name: str, stored: MaxwellFile) -> DatasetDeclaration:
    description = (
        "The ill-posed inverse of a Maxwell problem of our own: magnetic field along one face at 50 points, to place "
        "and strength of a current loop and the contrast of an inclusion, standardised"
    )
    return _maxwell(name, stored, 100, 5, description, takes_noise=True)


DATASETS: dict[str, DatasetDeclaration] = {
    "digits": DIGITS,
    "mnist": MNIST,
    "fashion_mnist": FASHION_MNIST,
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "photo_patches": PHOTO_PATCHES,
    "spirals": SPIRALS,
    "peaks": PEAKS,
    "sine": SINE,
    "teacher_student": TEACHER_STUDENT,
    "maxwell_forward": _maxwell_forward("maxwell_forward", MAXWELL),
    "maxwell_inverse": _maxwell_inverse("maxwell_inverse", MAXWELL),
    "maxwell_forward_small": _maxwell_forward("maxwell_forward_small", MAXWELL_SMALL),
    "maxwell_inverse_small": _maxwell_inverse("maxwell_inverse_small", MAXWELL_SMALL),
}
