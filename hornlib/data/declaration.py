"""What a dataset declares about itself: shapes, sizes, files with their checksums, loss and metric; free of torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

__all__ = ["DatasetDeclaration", "FileLayout", "StoredFile"]


class StoredFile(NamedTuple):
    """One file of a dataset.

    Attributes:
        path: relative to the data root.
        md5: checksum of the published file, in hexadecimal; None where the file is computed on each machine.
    """

    path: str
    md5: str | None = None


class FileLayout(NamedTuple):
    """One form in which a dataset is stored, with the function that reads it.

    Attributes:
        loader: `module:function`, called as `function(root, download)`; it returns a `hornlib.data.loaders.Raw`.
        files: all files that the loader needs; empty if the examples come without files.
    """

    loader: str
    files: tuple[StoredFile, ...] = ()

    def missing(self, root: Path) -> list[str]:
        """Return the paths of the files that do not exist below `root`."""
        return [file.path for file in self.files if not (root / file.path).exists()]


@dataclass(frozen=True, kw_only=True)
class DatasetDeclaration:
    """What a dataset promises. A file that breaks the promise is refused when it is read.

    Attributes:
        name: its key in `DATASETS`.
        example_shape: one example as stored: (channels, height, width) of an image, (features,) of a vector.
        num_outputs: classes, or regressed components.
        num_train, num_test: examples in each part, before the validation split.
        layouts: the forms in which the dataset may be stored. The first one whose files all exist is read. If there
            is none, the first layout is downloaded or computed.
        description: what the examples are, their source and licence.
        origin: how `hornlib data` gets missing files. served: it downloads them. computed: it solves for the examples
            and writes them. given: it cannot get them.
        loss: what training minimises.
        metric: what evaluation reports beside the loss.
        takes_noise: whether the inputs are measurements, to which `data.noise` may add.
        white_level: grey level of white in the files of images, which loading makes 1.
    """

    name: str
    example_shape: tuple[int, ...]
    num_outputs: int
    num_train: int
    num_test: int
    layouts: tuple[FileLayout, ...]
    description: str
    origin: Literal["served", "computed", "given"] = "served"
    loss: Literal["cross_entropy", "mse"] = "cross_entropy"
    metric: Literal["accuracy", "relative_l2"] = "accuracy"
    takes_noise: bool = False
    white_level: float = 255.0

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of the first layout's files, relative to the data root."""
        return tuple(file.path for file in self.layouts[0].files)

    @property
    def is_vector(self) -> bool:
        """Whether an example is a vector of features, and no image."""
        return len(self.example_shape) == 1

    @property
    def needs_files(self) -> bool:
        """Whether files must exist below the data root before a job trains."""
        return bool(self.files)

    @property
    def direction(self) -> Literal["maximise", "minimise"]:
        """The direction in which the metric improves."""
        return "maximise" if self.metric == "accuracy" else "minimise"

    @property
    def chance(self) -> float:
        """The metric of an untrained guess: accuracy 1 / classes, or relative L2 error 1 of the answer zero."""
        return 1 / self.num_outputs if self.metric == "accuracy" else 1.0

    def layout_in(self, root: Path) -> FileLayout:
        """Return the first layout whose files all exist below `root`, else the one that misses the smallest share."""
        return min(self.layouts, key=lambda layout: len(layout.missing(root)) / max(len(layout.files), 1))

    def missing_files(self, root: Path) -> list[str]:
        """Return the paths that `layout_in(root)` lacks; empty if the dataset can be read."""
        return self.layout_in(root).missing(root)
