"""Claims about data parameters: closed forms, names, and what is refused."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hornlib.data import DATASETS
from hornlib.data.parameters import DataParameters

NAMES = st.sampled_from(list(DATASETS))


def test_parameters_and_table_load_without_torch():
    code = "import sys, hornlib.data.parameters; print(*{'torch', 'numpy', 'sklearn'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "\n"


@pytest.mark.parametrize("name", DATASETS)
def test_every_declaration_stands_under_its_own_name_with_chance_of_its_metric(name):
    declaration = DATASETS[name]
    assert declaration.name == name
    if declaration.loss == "cross_entropy":
        assert (declaration.metric, declaration.direction) == ("accuracy", "maximise")
        assert declaration.chance == pytest.approx(1 / declaration.num_outputs)
    else:
        assert (declaration.metric, declaration.direction) == ("relative_l2", "minimise")
        assert declaration.chance == 1


def test_digits_and_formulas_come_without_files():
    without = {name for name, declaration in DATASETS.items() if not declaration.needs_files}
    assert without == {"digits", "spirals", "peaks", "sine", "teacher_student"}


@pytest.mark.parametrize(
    "fields, shape",
    [
        ({"name": "mnist"}, (1, 28, 28)),
        ({"name": "mnist", "image_size": 14, "presentation": "rows"}, (14, 14)),
        ({"name": "mnist", "presentation": "permuted_pixels"}, (784, 1)),
        ({"name": "cifar10"}, (3, 32, 32)),
        ({"name": "cifar10", "presentation": "rows"}, (32, 96)),
        ({"name": "cifar100", "image_size": 8, "presentation": "pixels"}, (64, 3)),
        ({"name": "spirals"}, (2,)),
        ({"name": "sine", "presentation": "vector"}, (1,)),
    ],
)
def test_task_has_the_shape_of_the_presentation(fields, shape):
    data = DataParameters(**fields)
    assert data.task() == (shape, DATASETS[data.name].num_outputs)


@given(name=NAMES, share=st.floats(0, 0.5))
def test_training_and_validation_sizes_add_up_to_the_training_set(name, share):
    data = DataParameters(name=name, validation=share)
    assert data.num_train + data.num_validation == DATASETS[name].num_train
    assert math.isclose(data.num_validation, share * DATASETS[name].num_train, abs_tol=0.5)


def test_train_subset_is_the_number_of_training_examples():
    data = DataParameters(name="mnist", train_subset=1000)
    assert (data.num_train, data.num_validation, data.num_test) == (1000, 6000, 10_000)


def test_unknown_dataset_is_refused_with_the_nearest_right_name():
    with pytest.raises(
        ValidationError, match=r"unknown dataset 'minst'; valid: digits.*did you mean 'mnist'"
    ):
        DataParameters(name="minst")


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"name": "digits", "train_subset": 1294}, "more than the 1293 training examples"),
        ({"name": "mnist", "augmentation": "crop_flip"}, "crop_flip is for colour images"),
        ({"name": "cifar10", "augmentation": "crop_flip", "presentation": "rows"}, "presentation: rows"),
        ({"name": "mnist", "augmentation": "rotate_shift_flip"}, "rotate_shift_flip is for colour images"),
        ({"name": "mnist", "validation": 0.6}, "less than or equal to 0.5"),
        ({"name": "mnist", "image_size": 0}, "greater than or equal to 1"),
        ({"name": "mnist", "colour": "red"}, "Extra inputs are not permitted"),
        (
            {"name": "mnist", "presentation": "vector"},
            "mnist holds images, got 'vector'; valid here: image, rows, pixels, permuted_pixels",
        ),
        (
            {"name": "spirals", "presentation": "rows"},
            "spirals holds vectors, got 'rows'; valid here: vector",
        ),
        ({"name": "spirals", "image_size": 2}, "image_size: spirals holds vectors"),
        ({"name": "peaks", "augmentation": "crop_flip"}, "crop_flip is for colour images"),
        (
            {"name": "maxwell_forward", "noise": 0.01},
            "noise: maxwell_forward holds no measurements, got 0.01; valid here: 0; noise is for maxwell_inverse",
        ),
        ({"name": "maxwell_inverse", "noise": -0.1}, "greater than or equal to 0"),
        ({"name": "mnist", "input_scaling": "scaled"}, "'standardised', 'per_feature', 'raw' or 'unscaled'"),
    ],
)
def test_what_cannot_be_is_refused_in_words(fields, words):
    with pytest.raises(ValidationError, match=words):
        DataParameters(**fields)


def test_root_is_not_part_of_the_name_and_defaults_are_pinned():
    data = DataParameters(name="mnist", root="/anywhere")
    assert data.changed() == {"name": "mnist"}
    assert data.canonical() == {
        "name": "mnist",
        "presentation": "image",
        "image_size": None,
        "train_subset": None,
        "validation": 0.1,
        "input_scaling": "standardised",
        "noise": 0.0,
        "augmentation": "none",
    }


def test_vectors_need_no_presentation_and_go_by_one_name_with_it():
    assert DataParameters(name="spirals").presentation == "vector"
    assert DataParameters(name="spirals") == DataParameters(name="spirals", presentation="vector")
    assert DataParameters(name="spirals").changed() == {"name": "spirals", "presentation": "vector"}
    assert DataParameters(**DataParameters(name="spirals").canonical()).task().num_features == 2


def test_root_goes_from_field_to_environment_to_working_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("HORNLIB_DATA", str(tmp_path))
    assert DataParameters(name="mnist", root="elsewhere").root_path().parts == ("elsewhere",)
    assert DataParameters(name="mnist").root_path() == tmp_path
    monkeypatch.delenv("HORNLIB_DATA")
    assert DataParameters(name="mnist").root_path().parts == ("data",)


@given(name=NAMES, share=st.floats(0, 0.5), size=st.none() | st.integers(1, 64))
def test_canonical_values_give_the_same_parameters_again(name, share, size):
    fields = {} if DATASETS[name].is_vector else {"image_size": size}
    data = DataParameters(name=name, validation=share, **fields)
    assert DataParameters(**data.canonical()) == data
