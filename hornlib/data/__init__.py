"""The table of datasets: what each declares about itself, known without its files and without torch."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["DATASETS", "DatasetDeclaration"]


@dataclass(frozen=True, kw_only=True)
class DatasetDeclaration:
    """What a dataset promises; a file that breaks the promise is refused when it is read.

    Attributes:
        name: its key in `DATASETS`.
        channels, height, width: shape of one example as stored.
        num_outputs: classes, or regressed components.
        num_train, num_test: examples in each part, before the validation split.
        loader: `module:function`, called as `function(root, download)` for a `hornlib.data.loaders.Raw`.
        description: what it is, and its terms.
        files: what must lie under the data root, relative to it; empty if a library ships the examples.
        served: whether torchvision can download the files.
        loss: what training minimises.
        metric: what evaluation reports beside the loss.
    """

    name: str
    channels: int
    height: int
    width: int
    num_outputs: int
    num_train: int
    num_test: int
    loader: str
    description: str
    files: tuple[str, ...] = ()
    served: bool = True
    loss: Literal["cross_entropy", "mse"] = "cross_entropy"
    metric: Literal["accuracy", "relative_l2"] = "accuracy"

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
    channels=1,
    height=8,
    width=8,
    num_outputs=10,
    num_train=1437,
    num_test=360,
    loader="hornlib.data.loaders:digits",
    description="1,797 handwritten digits of 8x8 pixels, shipped with scikit-learn (UCI, CC BY 4.0); "
    "the test part is a fixed stratified fifth",
)

MNIST = DatasetDeclaration(
    name="mnist",
    channels=1,
    height=28,
    width=28,
    num_outputs=10,
    num_train=60_000,
    num_test=10_000,
    loader="hornlib.data.vision:mnist",
    description="Handwritten digits, 28x28 grey (LeCun, Cortes, Burges)",
    files=_idx_files("MNIST"),
)

FASHION_MNIST = DatasetDeclaration(
    name="fashion_mnist",
    channels=1,
    height=28,
    width=28,
    num_outputs=10,
    num_train=60_000,
    num_test=10_000,
    loader="hornlib.data.vision:fashion_mnist",
    description="Articles of clothing, 28x28 grey (Zalando, MIT licence)",
    files=_idx_files("FashionMNIST"),
)

CIFAR10 = DatasetDeclaration(
    name="cifar10",
    channels=3,
    height=32,
    width=32,
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
    channels=3,
    height=32,
    width=32,
    num_outputs=100,
    num_train=50_000,
    num_test=10_000,
    loader="hornlib.data.vision:cifar100",
    description="Colour photographs of 32x32 pixels in 100 fine classes (Krizhevsky 2009)",
    files=tuple(f"cifar-100-python/{part}" for part in ("train", "test", "meta")),
)

PHOTO_PATCHES = DatasetDeclaration(
    name="photo_patches",
    channels=3,
    height=32,
    width=32,
    num_outputs=10,
    num_train=5_000,
    num_test=1_000,
    loader="hornlib.data.loaders:photo_patches",
    description="32x32 colour patches, the class being which of ten photographs a patch was cut from; "
    "a stand-in for shape and speed, used only where its file is given",
    files=("photo_patches.npz",),
    served=False,
)

DATASETS: dict[str, DatasetDeclaration] = {
    "digits": DIGITS,
    "mnist": MNIST,
    "fashion_mnist": FASHION_MNIST,
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "photo_patches": PHOTO_PATCHES,
}
