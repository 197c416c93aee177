"""Efficient networks: torchvision's at full width, fitted to small images, counted once and remembered."""

import json
import os
import subprocess
import sys

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hornlib.models import MODELS
from hornlib.models.build import build_network
from hornlib.models.efficient import counts
from hornlib.models.efficient.parameters import (
    EfficientNetParameters,
    MobileNetV3Parameters,
    ShuffleNetV2Parameters,
    SqueezeNetParameters,
)
from hornlib.models.layers import BatchNorm
from hornlib.parameters import Task

PUBLISHED = {
    MobileNetV3Parameters: torchvision.models.mobilenet_v3_small,
    ShuffleNetV2Parameters: torchvision.models.shufflenet_v2_x0_5,
    SqueezeNetParameters: torchvision.models.squeezenet1_1,
    EfficientNetParameters: torchvision.models.efficientnet_b0,
}
every_model = pytest.mark.parametrize("parameters", PUBLISHED, ids=lambda p: p.model_fields["name"].default)
MOBILENET = MobileNetV3Parameters(width_multiplier=0.05)
DIGITS = Task((1, 8, 8), 10)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    counts.counted_cost.cache_clear()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield counts.cache_file()
    torch.set_num_threads(threads)


@every_model
def test_batch_norm_is_the_one_for_lanes_with_torchvisions_constants(parameters):
    def norms(network):
        return [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]

    ours, theirs = norms(build_network(parameters(), DIGITS, 0)), norms(PUBLISHED[parameters]())
    assert {type(layer) for layer in ours} <= {BatchNorm}
    assert {(layer.eps, layer.momentum) for layer in ours} == {
        (layer.eps, layer.momentum) for layer in theirs
    }


def products(network, size):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.to("meta").eval()(torch.zeros(1, 3, size, size, device="meta"))
    return counter.get_total_flops()


@every_model
def test_at_full_width_and_size_parameters_and_products_are_torchvisions(parameters):
    network = build_network(parameters(width_multiplier=1.0), Task((3, 224, 224), 10), 0)
    published = PUBLISHED[parameters](num_classes=10)
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in published.parameters())
    head = 0
    if parameters is SqueezeNetParameters:
        # its stem is padded here; published, each of the 14 x 14 positions is classified, then averaged
        published.features[0].padding = (1, 1)
        head = 2 * 512 * 10 * (14 * 14 - 1)
    assert products(network, 224) == products(published, 224) - head


@every_model
def test_default_sizes_are_fifty_to_two_hundred_thousand_parameters(parameters):
    assert 50_000 < parameters().num_parameters(Task((3, 32, 32), 10)) < 200_000


@every_model
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 3, 5)])
def test_small_images_keep_a_map_of_some_four_pixels_a_side(parameters, shape):
    task = Task(shape, 10)
    network = build_network(parameters(width_multiplier=0.1), task, 0)
    maps = network.features(torch.randn(2, *shape))
    smallest = min(shape[1:])
    assert min(maps.shape[-2:]) in ((3, 4) if smallest >= 8 else (smallest,))
    network(torch.randn(4, *shape)).sum().backward()


@pytest.mark.parametrize(
    ("size", "halvings"), [(3, 0), (6, 0), (7, 1), (8, 1), (14, 2), (28, 3), (32, 3), (64, 4), (224, 5)]
)
def test_images_are_halved_down_to_four_pixels_and_not_more_often_than_published(size, halvings):
    assert MobileNetV3Parameters().num_halvings(Task((3, size, size), 10)) == halvings


def test_the_stem_runs_at_full_resolution_up_to_64_pixels():
    for size, stride in [(8, 1), (32, 1), (64, 1), (224, 2)]:
        network = build_network(MOBILENET, Task((1, size, size), 10), 0)
        assert network.features[0][0].stride == (stride, stride)


def test_squeezenet_keeps_its_signal_without_normalisation():
    torch.manual_seed(0)
    network = build_network(SqueezeNetParameters(), Task((3, 32, 32), 10), 0)
    features = network.features(torch.randn(16, 3, 32, 32))
    assert 0.1 < features.std().item() < 10


def test_dropout_acts_on_the_features_in_training_only():
    plain, dropping = (
        build_network(MobileNetV3Parameters(width_multiplier=0.1, dropout=p), DIGITS, 0) for p in (0.0, 0.5)
    )
    inputs = torch.randn(8, 1, 8, 8)
    assert torch.equal(plain.eval()(inputs), dropping.eval()(inputs))
    assert not torch.allclose(plain.train()(inputs), dropping.train()(inputs))


def test_no_layer_draws_from_the_global_generator():
    for name in ("mobilenet_v3", "shufflenet_v2", "squeezenet", "efficientnet"):
        network = build_network(MODELS[name](width_multiplier=0.1, dropout=0.3), DIGITS, 0)
        state = torch.get_rng_state()
        network(torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
        assert torch.equal(state, torch.get_rng_state()), name


def test_a_remembered_count_is_read_without_torch(cache):
    first = MOBILENET.num_parameters(DIGITS)
    code = (
        "import sys\n"
        "from hornlib.models.efficient.parameters import MobileNetV3Parameters\n"
        "from hornlib.parameters import Task\n"
        "print(MobileNetV3Parameters(width_multiplier=0.05).num_parameters(Task((1, 8, 8), 10)))\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=True
    )
    assert int(done.stdout) == first
    assert [path.name for path in cache.parent.iterdir()] == ["counts.json"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"counts": 3}', '{"code": "older", "counts": {"a": [1, 2, 3]}}']
)
def test_a_damaged_or_older_cache_is_ignored_and_replaced(cache, text):
    expected = sum(p.numel() for p in build_network(MOBILENET, DIGITS, 0).parameters())
    cache.parent.mkdir(parents=True)
    cache.write_text(text)
    assert MOBILENET.num_parameters(DIGITS) == expected
    assert len(json.loads(cache.read_text())["counts"]) == 1


def test_a_cache_of_wrong_numbers_is_not_believed(cache):
    expected = MOBILENET.num_parameters(DIGITS)
    known = json.loads(cache.read_text())
    cache.write_text(json.dumps({**known, "counts": {key: ["many"] for key in known["counts"]}}))
    counts.counted_cost.cache_clear()
    assert MOBILENET.num_parameters(DIGITS) == expected


def test_counting_works_where_no_cache_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert MOBILENET.num_parameters(DIGITS) > 0


def test_entries_are_added_to_those_that_are_there(cache):
    MOBILENET.num_parameters(DIGITS)
    MOBILENET.with_width(7).forward_flops(DIGITS)
    assert len(json.loads(cache.read_text())["counts"]) == 2
