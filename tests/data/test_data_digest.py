"""The digest of the examples: the same on every machine and in every presentation, another one for other examples."""

import os
import subprocess
import sys

import pytest
import torch

from hornlib.data.checksums import digest_of
from hornlib.data.loaders import Raw
from hornlib.data.loading import load_with_digest
from hornlib.data.parameters import DataParameters

DIGESTS = {
    "digits": "0575a86989383c97",
    "spirals": "ece1181303d21177",
    "peaks": "52e3b658b6b50fb6",
    "sine": "8be48895d926db64",
    "teacher_student": "70f12bb076cd55a5",
    "mnist": "26ee894202914825",
    "fashion_mnist": "be0078da19eb64b1",
    "cifar10": "a80fa8f81411b75e",
    "photo_patches": "bff17fe0ac482939",
}
"""With the default validation split. A change means that runs of before were trained on other examples."""

PARTS = ("train_inputs", "train_targets", "test_inputs", "test_targets")


def digest_of_data(data):
    return load_with_digest(data, "cpu")[1]


@pytest.mark.parametrize("name", DIGESTS)
def test_the_examples_of_a_dataset_are_the_same_as_ever(real, name):
    assert digest_of_data(real(name)) == DIGESTS[name]


@pytest.mark.parametrize("name", ["maxwell_forward_small", "maxwell_inverse_small"])
def test_computed_examples_have_a_digest_that_noise_does_not_change(name, tmp_path_factory):
    from hornlib.data.prepare import prepare

    root = str(prepare(name, tmp_path_factory.mktemp("data")))
    digest = digest_of_data(DataParameters(name=name, root=root))
    assert len(bytes.fromhex(digest)) == 8
    if name == "maxwell_inverse_small":
        assert digest_of_data(DataParameters(name=name, root=root, noise=0.1)) == digest


def test_other_instructions_of_the_processor_and_more_threads_give_the_same_digests():
    names = ["digits", "spirals", "peaks", "sine", "teacher_student"]
    program = (
        "import sys; from hornlib.data.loading import load_with_digest; "
        "from hornlib.data.parameters import DataParameters; "
        "print(*(load_with_digest(DataParameters(name=name), 'cpu')[1] for name in sys.argv[1:]))"
    )
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "2"}
    answer = subprocess.run(
        [sys.executable, "-c", program, *names], capture_output=True, text=True, check=True, env=environment
    )
    assert answer.stdout.split() == [DIGESTS[name] for name in names]


@pytest.mark.parametrize(
    "fields",
    [
        {"presentation": "rows"},
        {"presentation": "permuted_pixels"},
        {"image_size": 4},
        {"input_scaling": "raw"},
        {"root": "elsewhere"},
    ],
)
def test_the_same_examples_have_the_same_digest_in_every_presentation(fields):
    assert digest_of_data(DataParameters(name="digits", **fields)) == DIGESTS["digits"]


@pytest.mark.parametrize("fields", [{"validation": 0.2}, {"validation": 0}, {"train_subset": 100}])
def test_another_choice_of_examples_has_another_digest(fields):
    assert digest_of_data(DataParameters(name="digits", **fields)) != DIGESTS["digits"]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("change", ["one number", "the order"])
def test_other_inputs_and_other_targets_have_another_digest(monkeypatch, part, change):
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randint(17, (1797, 1, 8, 8), generator=draw) / 16
    targets = torch.arange(1797) % 10
    raw = Raw(inputs[:1437], targets[:1437], inputs[1437:], targets[1437:])
    changed = getattr(raw, part).clone()
    if change == "one number":
        changed[0] = 1 - changed[0]
    else:
        changed = changed.flip(0)
    digests = []
    for examples in (raw, raw._replace(**{part: changed})):
        monkeypatch.setattr(
            "hornlib.data.loading.read", lambda declaration, root, examples=examples: examples
        )
        # a folder of its own for each set of examples, since a process keeps the datasets that it has read
        digests.append(digest_of_data(DataParameters(name="digits", root=f"{part}/{change}/{len(digests)}")))
    assert digests[0] != digests[1]


def test_tensors_that_differ_in_type_or_shape_alone_have_different_digests():
    zeros = torch.zeros(4, dtype=torch.int32)
    digests = {digest_of([tensor]) for tensor in (zeros, zeros.view(torch.float32), zeros.view(2, 2))}
    assert len(digests) == 3
