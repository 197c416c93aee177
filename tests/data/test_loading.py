"""Claims about the loaded tensors, on digits and on the real files where they are given."""

import dataclasses
import subprocess
import sys

import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from hornlib.data import DATASETS, FileLayout
from hornlib.data.loaders import Raw
from hornlib.data.loading import load
from hornlib.data.parameters import DataParameters
from hornlib.data.presentation import present, resize
from hornlib.data.reading import read
from hornlib.data.scaling import moments
from hornlib.errors import DataError


def levels(inputs, highest):
    """Undo the standardisation: black and white, which every part holds, become 0 and `highest`."""
    black, white = inputs.min(), inputs.max()
    return ((inputs - black) / (white - black) * highest).round().to(torch.uint8)


def as_set(examples):
    """The examples as sorted byte strings, to compare without regard to their order."""
    return sorted(example.numpy().tobytes() for example in examples)


@pytest.fixture(scope="module")
def digits():
    return load(DataParameters(name="digits"), "cpu")


@pytest.fixture(scope="module")
def mnist(real):
    data = real("mnist")
    return read(data.declaration, data.root_path()), load(data, "cpu")


def test_digits_splits_are_disjoint_and_together_scikit_learns_digits(digits):
    stored = torch.from_numpy(load_digits().images).to(torch.uint8)
    assert as_set(torch.cat([levels(part.inputs, 16) for part in digits])) == as_set(stored)


def test_digits_without_scikit_learn_are_refused_with_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        DataError, match=r"scikit-learn, .*, is not installed; run `pip install scikit-learn`"
    ):
        read(DATASETS["digits"], None)


def test_digits_test_part_is_stratified(digits):
    assert len(digits.test.targets) == 360
    shares = torch.from_numpy(load_digits().target).bincount() * 360 / 1797
    assert (digits.test.targets.bincount() - shares).abs().max() <= 1


def test_standardisation_reads_the_training_part_alone(digits):
    assert digits.train.inputs.mean().abs() < 1e-6
    assert abs(digits.train.inputs.std(correction=0) - 1) < 1e-5
    assert digits.test.inputs.mean().abs() > 1e-6
    subset = load(DataParameters(name="digits", train_subset=50), "cpu")
    assert subset.train.inputs.mean().abs() < 1e-6
    assert abs(subset.train.inputs.std(correction=0) - 1) < 1e-5


@pytest.mark.parametrize("presentation", ["rows", "pixels", "permuted_pixels"])
def test_the_split_does_not_depend_on_the_presentation(digits, presentation):
    other = load(DataParameters(name="digits", presentation=presentation), "cpu")
    for part, expected in zip(other, digits, strict=True):
        assert torch.equal(part.inputs, present(expected.inputs, presentation))
        assert torch.equal(part.targets, expected.targets)


@pytest.mark.parametrize("fields", [{"train_subset": 100}, {"root": "elsewhere"}])
def test_validation_and_test_do_not_depend_on_what_is_trained_on(digits, fields):
    other = load(DataParameters(name="digits", **fields), "cpu")
    for part, expected in zip(other[1:], digits[1:], strict=True):
        assert torch.equal(levels(part.inputs, 16), levels(expected.inputs, 16))
        assert torch.equal(part.targets, expected.targets)


def test_the_split_does_not_depend_on_the_image_size(digits):
    other = load(DataParameters(name="digits", image_size=4), "cpu")
    for part, expected in zip(other, digits, strict=True):
        assert torch.equal(part.targets, expected.targets)
        pair = torch.stack([part.inputs.flatten(), resize(expected.inputs, 4).flatten()])
        assert torch.corrcoef(pair)[0, 1] > 0.99999


@pytest.mark.parametrize(
    "fields", [{}, {"validation": 0}, {"validation": 0.25, "train_subset": 77}, {"presentation": "rows"}]
)
def test_loaded_sizes_shapes_and_types_are_the_declared_ones(fields):
    data = DataParameters(name="digits", **fields)
    splits = load(data, "cpu")
    for part, size in zip(splits, (data.num_train, data.num_validation, data.num_test), strict=True):
        assert part.inputs.shape == (size, *data.task().input_shape)
        assert part.inputs.dtype == torch.float32
        assert part.targets.shape == (size,)
        assert part.targets.dtype == torch.int64


def test_a_training_subset_is_balanced_over_the_classes():
    splits = load(DataParameters(name="digits", train_subset=100), "cpu")
    assert splits.train.targets.bincount().tolist() == [10] * 10


def test_a_second_call_reads_no_file_again():
    data = DataParameters(name="digits", validation=0.2)
    assert load(data, "cpu") is load(data, "cpu")


def test_a_channel_that_never_changes_is_only_centred():
    images = torch.rand(5, 2, 3, 3)
    images[:, 1] = 0.25
    mean, std = moments(images, (0, 2, 3))
    torch.testing.assert_close(mean.flatten(), torch.stack([images[:, 0].mean(), torch.tensor(0.25)]))
    assert std[1] == 1


def test_moments_of_the_whole_mnist_are_the_known_ones(mnist):
    mean, std = moments(mnist[0].train_inputs.float() / 255, (0, 2, 3))
    assert abs(mean.item() - 0.1307) < 1e-4
    assert abs(std.item() - 0.3081) < 1e-4


def test_mnist_is_standardised_with_nearly_the_known_moments(mnist):
    _, splits = mnist
    black, white = splits.train.inputs.min(), splits.train.inputs.max()
    std = 1 / (white - black)
    assert abs(std - 0.3081) < 0.002
    assert abs(-black * std - 0.1307) < 0.002


def test_mnist_splits_are_disjoint_and_together_the_whole(mnist):
    raw, splits = mnist
    train, validation, test = (levels(part.inputs, 255) for part in splits)
    assert torch.equal(test, raw.test_inputs)
    assert as_set(torch.cat([train, validation])) == as_set(raw.train_inputs)


def test_mnist_validation_is_stratified(mnist):
    raw, splits = mnist
    shares = raw.train_targets.bincount() / 10
    assert (splits.validation.targets.bincount() - shares).abs().max() <= 1


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10", "photo_patches"])
def test_real_files_load_at_their_declared_sizes(real, name):
    data = real(name, train_subset=500)
    splits = load(data, "cpu")
    assert splits.train.inputs.shape == (500, *data.task().input_shape)
    assert splits.train.targets.bincount().tolist() == [50] * 10
    for channel in splits.train.inputs.unbind(1):
        assert channel.mean().abs() < 1e-5
        assert abs(channel.std(correction=0) - 1) < 1e-4


LOADED_IN_A_NEW_PROCESS = """
import dataclasses, torch
from hornlib.data import DATASETS, FileLayout
from hornlib.data.loaders import Raw
from hornlib.data.loading import load
from hornlib.data.parameters import DataParameters

def stored(root, download):
    images, classes = torch.randint(256, (50_000, 1, 28, 28), dtype=torch.uint8), torch.arange(50_000) % 10
    return Raw(images[:40_000], classes[:40_000], images[40_000:], classes[40_000:])

def resident(kind):
    (line,) = (line for line in open("/proc/self/status") if line.startswith(kind))
    return 1024 * int(line.split()[1])

sizes = {"example_shape": (1, 28, 28), "num_train": 40_000, "num_test": 10_000}
layouts = (FileLayout("__main__:stored"),)
DATASETS["large"] = dataclasses.replace(DATASETS["digits"], name="large", layouts=layouts, **sizes)
load(DataParameters(name="digits"), "cpu")
before = resident("VmRSS")
splits = load(DataParameters(name="large"), "cpu")
num_bytes = sum(part.inputs.nbytes + part.targets.nbytes for part in splits)
print((resident("VmHWM") - before) / num_bytes)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_bytes_are_loaded_in_little_more_memory_than_their_tensors_take():
    command = [sys.executable, "-c", LOADED_IN_A_NEW_PROCESS]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert float(output) < 1.6


def test_the_loaders_own_tensors_are_not_changed(monkeypatch):
    raw = Raw(torch.rand(40, 2), torch.arange(40) % 2, torch.rand(10, 2), torch.arange(10) % 2)
    before = [tensor.clone() for tensor in raw]
    declaration = dataclasses.replace(DATASETS["spirals"], name="kept", num_train=40, num_test=10)
    monkeypatch.setitem(DATASETS, "kept", declaration)
    monkeypatch.setattr("hornlib.data.loading.read", lambda declaration, root: raw)
    load(DataParameters(name="kept"), "cpu")
    assert all(torch.equal(*pair) for pair in zip(raw, before, strict=True))


def waves(root, download):
    """A small regression: sines of a random phase, the phase's cosine and sine as targets."""
    phase = torch.rand(50, generator=torch.Generator().manual_seed(0)) * 6.28
    inputs = torch.sin(torch.arange(12) + phase[:, None])[:, None, :, None]
    targets = torch.stack([phase.cos(), phase.sin()], dim=1)
    return Raw(inputs[:40], targets[:40], inputs[40:], targets[40:])


@pytest.fixture
def waves_declared(monkeypatch):
    declaration = dataclasses.replace(
        DATASETS["digits"],
        **{"name": "waves", "example_shape": (1, 12, 1), "num_outputs": 2, "num_train": 40, "num_test": 10},
        **{"loss": "mse", "metric": "relative_l2", "layouts": (FileLayout(f"{__name__}:waves"),)},
    )
    monkeypatch.setitem(DATASETS, "waves", declaration)


def test_a_regression_rides_the_same_rails(waves_declared):
    data = DataParameters(name="waves", presentation="rows", validation=0.25)
    assert (data.loss, data.metric, data.direction, data.chance) == ("mse", "relative_l2", "minimise", 1.0)
    splits = load(data, "cpu")
    assert [part.inputs.shape for part in splits] == [(30, 12, 1), (10, 12, 1), (10, 12, 1)]
    stored = waves(None, False)
    assert torch.equal(splits.test.targets, stored.test_targets)
    together = torch.cat([splits.train.targets, splits.validation.targets])
    assert as_set(together) == as_set(stored.train_targets)


def test_a_regression_without_its_declared_outputs_is_refused(waves_declared, monkeypatch):
    monkeypatch.setitem(DATASETS, "waves", dataclasses.replace(DATASETS["waves"], num_outputs=3))
    with pytest.raises(DataError, match=r"training part: expected targets of shape \(3,\), got \(2,\)"):
        load(DataParameters(name="waves"), "cpu")


def test_vectors_are_standardised_feature_by_feature():
    raw = read(DATASETS["peaks"], None)
    actual = load(DataParameters(name="peaks", validation=0), "cpu").train.inputs
    stored = raw.train_inputs.numpy()
    mean, std = torch.from_numpy(stored.mean(0)), torch.from_numpy(stored.std(0))
    torch.testing.assert_close(actual, (raw.train_inputs - mean) / std, atol=1e-5, rtol=0)
    assert mean[0] != mean[1] and actual.mean(0).abs().max() < 1e-5


def test_raw_inputs_are_pixels_between_0_and_1_and_features_as_given():
    images = load(DataParameters(name="digits", input_scaling="raw"), "cpu")
    assert images.train.inputs.min() == 0 and images.train.inputs.max() == 1
    assert as_set((images.test.inputs * 16).to(torch.uint8)) == as_set(
        levels(load(DataParameters(name="digits"), "cpu").test.inputs, 16)
    )
    vectors = load(DataParameters(name="spirals", input_scaling="raw", validation=0), "cpu")
    assert torch.equal(vectors.train.inputs, read(DATASETS["spirals"], None).train_inputs)


def test_per_feature_inputs_are_those_of_scikit_learns_scaler():
    data = DataParameters(name="digits", input_scaling="per_feature")
    splits, pixels = load(data, "cpu"), load(DataParameters(name="digits", input_scaling="raw"), "cpu")
    scaler = StandardScaler().fit(pixels.train.inputs.flatten(1).numpy().astype(float))
    for part, unscaled in zip(splits, pixels, strict=True):
        expected = torch.from_numpy(
            scaler.transform(unscaled.inputs.flatten(1).numpy().astype(float))
        ).float()
        torch.testing.assert_close(part.inputs.flatten(1), expected, atol=1e-4, rtol=1e-4)
    assert (splits.train.inputs == 0).all(0).any()  # pixels that are never used are only centred


def test_per_feature_does_to_vectors_what_standardisation_does():
    one, other = (
        load(DataParameters(name="spirals", input_scaling=scaling), "cpu")
        for scaling in ("per_feature", "standardised")
    )
    assert all(torch.equal(first.inputs, second.inputs) for first, second in zip(one, other, strict=True))


def test_unscaled_inputs_are_the_numbers_of_the_files():
    images = load(DataParameters(name="digits", input_scaling="unscaled", validation=0), "cpu")
    stored = torch.from_numpy(load_digits().images).float()
    assert as_set(torch.cat([images.train.inputs, images.test.inputs]).squeeze(1)) == as_set(stored)
    vectors = load(DataParameters(name="spirals", input_scaling="unscaled", validation=0), "cpu")
    raw = load(DataParameters(name="spirals", input_scaling="raw", validation=0), "cpu")
    assert torch.equal(vectors.train.inputs, raw.train.inputs)


def test_unscaled_bytes_are_grey_levels_to_255(mnist, real):
    unscaled = load(real("mnist", input_scaling="unscaled"), "cpu")
    torch.testing.assert_close(unscaled.test.inputs, mnist[0].test_inputs.float(), atol=1e-4, rtol=0)


def test_raw_bytes_are_divided_by_255(mnist, real):
    raw = load(real("mnist", input_scaling="raw"), "cpu")
    assert torch.equal(raw.test.inputs, mnist[0].test_inputs.float() / 255)


@pytest.mark.parametrize("name", ["spirals", "peaks", "sine", "teacher_student"])
@pytest.mark.parametrize("validation", [0, 0.1])
def test_vectors_load_at_their_declared_sizes(name, validation):
    data = DataParameters(name=name, validation=validation)
    splits = load(data, "cpu")
    for part, number in zip(splits, (data.num_train, data.num_validation, data.num_test), strict=True):
        assert part.inputs.shape == (number, *data.task().input_shape)
        outputs = () if data.loss == "cross_entropy" else (data.task().num_outputs,)
        assert part.targets.shape == (number, *outputs)
        assert part.inputs.dtype == torch.float32
