"""Parameters of the data of a cell, and what follows from them without the files; free of torch."""

import os
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from hornlib.data import DATASETS, DatasetDeclaration
from hornlib.errors import nearest
from hornlib.parameters import Parameters, Task
from hornlib.parameters.paths import Folder, given_path

__all__ = ["DataParameters", "Presentation", "default_root"]

Presentation = Literal["image", "rows", "pixels", "permuted_pixels", "vector"]


def default_root() -> Path:
    """Return the folder that the environment variable HORNLIB_DATA names, else `data` here.

    Raises:
        ConfigError: HORNLIB_DATA is no path that a configuration could have.
    """
    return given_path(os.environ.get("HORNLIB_DATA") or "data", "HORNLIB_DATA")


class DataParameters(Parameters):
    """A dataset, the presentation of its examples, and the split of its training part.

    The validation part is drawn first. This draw is fixed and stratified by class; it depends only on the dataset and
    on `validation`. Then `train_subset` is drawn from the remaining examples.
    """

    name: str = Field(json_schema_extra={"enum": list(DATASETS)})
    """The dataset: a key of `hornlib.data.DATASETS`."""
    presentation: Presentation = "image"
    """image: (channels, height, width) at once. rows: one row of the image in each time step, with channels x width
    features. pixels: one pixel in each time step, in reading order, with channels features. permuted_pixels: pixels in
    one fixed random order, the same for every seed. vector: (features,) at once, the default of datasets of vectors."""
    image_size: int | None = Field(default=None, ge=1)
    """Height and width after an anti-aliased bilinear resize, pixels; null keeps the stored size."""
    train_subset: int | None = Field(default=None, ge=1)
    """Number of training examples, a fixed class-balanced draw; smaller subsets are parts of larger ones. null keeps
    all."""
    validation: float = Field(default=0.1, ge=0, le=0.5)
    """Share of the training set that is split off for validation; with 0 there are no validation curves."""
    input_scaling: Literal["standardised", "per_feature", "raw", "unscaled"] = "standardised"
    """standardised: mean 0 and standard deviation 1 of each channel or feature over the training examples. per_feature:
    the same of each pixel alone; of vectors it is `standardised`. raw: pixels between 0 and 1, features as stored.
    unscaled: the numbers as they stand in the files, such as grey levels from 0 to 255, and from 0 to 16 in digits."""
    noise: float = Field(default=0.0, ge=0, le=1)
    """Measurement noise on the inputs of all parts: its standard deviation, relative to the root mean square of an
    example's inputs. Each level has one fixed draw. Only for datasets of measurements."""
    augmentation: Literal["none", "crop_flip", "rotate_shift_flip"] = "none"
    """Random changes of each training image, new in every epoch; both mirror it with probability 1/2. crop_flip: a
    crop of the image, padded by 4 zero pixels. rotate_shift_flip: a rotation by up to 10 degrees and a shift by up to
    10 % of the sides, as in SET's training on CIFAR-10."""
    root: Folder | None = Field(default=None, json_schema_extra={"in_name": False})
    """Folder that holds the files (~, $NAME and ${NAME} are expanded); null: the environment's HORNLIB_DATA, else
    `data`. Not part of a name."""

    @field_validator("name")
    @classmethod
    def _is_in_the_table(cls, name: str) -> str:
        if name not in DATASETS:
            raise ValueError(
                f"unknown dataset {name!r}; valid: {', '.join(DATASETS)}{nearest(name, DATASETS)}"
            )
        return name

    @model_validator(mode="before")
    @classmethod
    def _vectors_present_themselves(cls, given: Any) -> Any:
        """Fill in the one presentation that a dataset of vectors has."""
        if not isinstance(given, dict) or "presentation" in given:
            return given
        declaration = DATASETS.get(given["name"]) if isinstance(given.get("name"), str) else None
        return (
            given if declaration is None or not declaration.is_vector else {**given, "presentation": "vector"}
        )

    @model_validator(mode="after")
    def _fits_the_examples(self) -> "DataParameters":
        if self.declaration.is_vector != (self.presentation == "vector"):
            valid = ", ".join(
                presentation
                for presentation in get_args(Presentation)
                if (presentation == "vector") == self.declaration.is_vector
            )
            kind = "vectors" if self.declaration.is_vector else "images"
            raise ValueError(
                f"presentation: {self.name} holds {kind}, got {self.presentation!r}; valid here: {valid}"
            )
        if self.declaration.is_vector and self.image_size is not None:
            raise ValueError(
                f"image_size: {self.name} holds vectors, which have no height and width; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _fits_the_dataset(self) -> "DataParameters":
        available = self.declaration.num_train - self.num_validation
        if self.train_subset is not None and self.train_subset > available:
            raise ValueError(
                f"train_subset: {self.train_subset} is more than the {available} training examples that "
                f"{self.name} has with validation: {self.validation}"
            )
        if self.augmentation != "none" and (
            self.presentation != "image" or self.declaration.example_shape[0] != 3
        ):
            raise ValueError(
                f"augmentation: {self.augmentation} is for colour images in presentation: image, "
                f"got {self.name} in presentation: {self.presentation}; valid here: none"
            )
        if self.noise and not self.declaration.takes_noise:
            measured = ", ".join(name for name, declaration in DATASETS.items() if declaration.takes_noise)
            raise ValueError(
                f"noise: {self.name} holds no measurements, got {self.noise}; valid here: 0; noise is for {measured}"
            )
        return self

    @property
    def declaration(self) -> DatasetDeclaration:
        """What the dataset declares about itself."""
        return DATASETS[self.name]

    @property
    def num_validation(self) -> int:
        """Number of examples of the validation part."""
        return round(self.validation * self.declaration.num_train)

    @property
    def num_train(self) -> int:
        """Number of training examples, after the validation split and `train_subset`."""
        return self.train_subset or self.declaration.num_train - self.num_validation

    @property
    def num_test(self) -> int:
        """Number of examples of the test part."""
        return self.declaration.num_test

    @property
    def loss(self) -> str:
        """What training minimises: cross_entropy or mse."""
        return self.declaration.loss

    @property
    def metric(self) -> str:
        """What evaluation reports: accuracy or relative_l2."""
        return self.declaration.metric

    @property
    def direction(self) -> str:
        """The direction in which the metric improves: maximise or minimise."""
        return self.declaration.direction

    @property
    def chance(self) -> float:
        """The metric of an untrained guess; see `DatasetDeclaration.chance`."""
        return self.declaration.chance

    def task(self) -> Task:
        """Return the shapes a network sees: image (C, H, W); rows (H, C W); pixels (H W, C); vector (features,)."""
        stored = self.declaration.example_shape
        if self.presentation == "vector":
            return Task(stored, self.declaration.num_outputs)
        channels = stored[0]
        height, width = (self.image_size or side for side in stored[1:])
        shapes = {
            "image": (channels, height, width),
            "rows": (height, channels * width),
            "pixels": (height * width, channels),
            "permuted_pixels": (height * width, channels),
        }
        return Task(shapes[self.presentation], self.declaration.num_outputs)

    def root_path(self) -> Path:
        """Return the folder of the files: `root`, else the environment's HORNLIB_DATA, else `data` here.

        Raises:
            ConfigError: HORNLIB_DATA is no path that `root` could be.
        """
        return Path(self.root) if self.root else default_root()
