"""The table of datasets: what each declares about itself, known without its files and without torch."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = ["DATASETS", "MAXWELL", "MAXWELL_SMALL", "DatasetDeclaration", "MaxwellFile"]


@dataclass(frozen=True, kw_only=True)
class DatasetDeclaration:
    """What a dataset promises; a file that breaks the promise is refused when it is read.

    Attributes:
        name: its key in `DATASETS`.
        example_shape: one example as stored: (channels, height, width) of an image, (features,) of a vector.
        num_outputs: classes, or regressed components.
        num_train, num_test: examples in each part, before the validation split.
        loader: `module:function`, called as `function(root, download)` for a `hornlib.data.loaders.Raw`.
        description: what it is, and its terms.
        files: what must lie under the data root, relative to it; empty if the examples come without files.
        origin: how `hornlib data` comes by the files: served, torchvision downloads them; computed, they are solved
            for and written; given, not at all.
        loss: what training minimises.
        metric: what evaluation reports beside the loss.
        takes_noise: whether the inputs are measurements, to which `data.noise` may add.
    """

    name: str
    example_shape: tuple[int, ...]
    num_outputs: int
    num_train: int
    num_test: int
    loader: str
    description: str
    files: tuple[str, ...] = ()
    origin: Literal["served", "computed", "given"] = "served"
    loss: Literal["cross_entropy", "mse"] = "cross_entropy"
    metric: Literal["accuracy", "relative_l2"] = "accuracy"
    takes_noise: bool = False

    @property
    def is_vector(self) -> bool:
        """Whether an example is a vector of features, and no image."""
        return len(self.example_shape) == 1

    @property
    def needs_download(self) -> bool:
        """Whether files must lie under the data root before a job trains: what `prepare` sees to."""
        return bool(self.files)

    @property
    def direction(self) -> Literal["maximise", "minimise"]:
        """Which way the metric gets better."""
        return "maximise" if self.metric == "accuracy" else "minimise"

    @property
    def chance(self) -> float:
        """The metric of a network that knows nothing: accuracy 1/K; relative L2 of the answer zero, 1."""
        return 1 / self.num_outputs if self.metric == "accuracy" else 1.0


def _idx_files(folder: str) -> tuple[str, ...]:
    parts = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    return tuple(f"{folder}/raw/{part}-ubyte" for part in parts)


DIGITS = DatasetDeclaration(
    name="digits",
    example_shape=(1, 8, 8),
    num_outputs=10,
    num_train=1437,
    num_test=360,
    loader="hornlib.data.loaders:digits",
    description="1,797 handwritten digits of 8x8 pixels, shipped with scikit-learn (UCI, CC BY 4.0); "
    "the test part is a fixed stratified fifth",
)

MNIST = DatasetDeclaration(
    name="mnist",
    example_shape=(1, 28, 28),
    num_outputs=10,
    num_train=60_000,
    num_test=10_000,
    loader="hornlib.data.vision:mnist",
    description="Handwritten digits, 28x28 grey (LeCun, Cortes, Burges)",
    files=_idx_files("MNIST"),
)

FASHION_MNIST = DatasetDeclaration(
    name="fashion_mnist",
    example_shape=(1, 28, 28),
    num_outputs=10,
    num_train=60_000,
    num_test=10_000,
    loader="hornlib.data.vision:fashion_mnist",
    description="Articles of clothing, 28x28 grey (Zalando, MIT licence)",
    files=_idx_files("FashionMNIST"),
)

CIFAR10 = DatasetDeclaration(
    name="cifar10",
    example_shape=(3, 32, 32),
    num_outputs=10,
    num_train=50_000,
    num_test=10_000,
    loader="hornlib.data.vision:cifar10",
    description="Colour photographs of 32x32 pixels in 10 classes (Krizhevsky 2009)",
    files=tuple(
        f"cifar-10-batches-py/{part}"
        for part in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")
    ),
)

CIFAR100 = DatasetDeclaration(
    name="cifar100",
    example_shape=(3, 32, 32),
    num_outputs=100,
    num_train=50_000,
    num_test=10_000,
    loader="hornlib.data.vision:cifar100",
    description="Colour photographs of 32x32 pixels in 100 fine classes (Krizhevsky 2009)",
    files=tuple(f"cifar-100-python/{part}" for part in ("train", "test", "meta")),
)

PHOTO_PATCHES = DatasetDeclaration(
    name="photo_patches",
    example_shape=(3, 32, 32),
    num_outputs=10,
    num_train=5_000,
    num_test=1_000,
    loader="hornlib.data.loaders:photo_patches",
    description="32x32 colour patches, the class being which of ten photographs a patch was cut from; "
    "a stand-in for shape and speed, used only where its file is given",
    files=("photo_patches.npz",),
    origin="given",
)

SPIRALS = DatasetDeclaration(
    name="spirals",
    example_shape=(2,),
    num_outputs=2,
    num_train=450,
    num_test=150,
    loader="hornlib.data.functions:spirals",
    description="Points of two interleaved spirals of one turn, 300 each, radius 0.5 to 1.5",
)

PEAKS = DatasetDeclaration(
    name="peaks",
    example_shape=(2,),
    num_outputs=1,
    num_train=10_000,
    num_test=1_000,
    loader="hornlib.data.functions:peaks",
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
    loader="hornlib.data.functions:sine",
    description="The sine of a number drawn uniformly from [-3, 3]",
    loss="mse",
    metric="relative_l2",
)


class MaxwellFile(NamedTuple):
    """The file of examples that a forward and an inverse dataset share.

    Attributes:
        file: its name.
        cells_a_side: cells of the mesh along an edge of the cube.
        num_train, num_test: examples.
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
        loader=f"hornlib.data.maxwell.loaders:{name.removeprefix('maxwell_')}",
        description=f"{description}; {stored.cells_a_side} cells a side",
        files=(stored.file,),
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
    "maxwell_forward": _maxwell_forward("maxwell_forward", MAXWELL),
    "maxwell_inverse": _maxwell_inverse("maxwell_inverse", MAXWELL),
    "maxwell_forward_small": _maxwell_forward("maxwell_forward_small", MAXWELL_SMALL),
    "maxwell_inverse_small": _maxwell_inverse("maxwell_inverse_small", MAXWELL_SMALL),
}
