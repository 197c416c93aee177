"""The training loop: lanes are independent, divergence is contained, an interrupted run ends as if undisturbed."""

import pytest
import torch

from hornlib.data import DATASETS, DatasetDeclaration, FileLayout
from hornlib.data.loaders import Raw
from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.training.batches import Batches
from hornlib.training.chunk import start_chunk
from hornlib.training.evaluation import evaluate, relative_l2
from hornlib.training.loop import train_chunk, train_step

CPU = torch.device("cpu")
DATA = {"name": "digits", "train_subset": 200}
MODELS = [
    {"name": "cnn", "channels": "4-8"},
    {"name": "cnn", "channels": "4-8", "normalisation": "group"},
    {"name": "horn_cnn", "num_nodes": 4, "num_stages": 2, "timesteps": 3, "heterogeneity": 1.0},
    {"name": "leaky_cnn", "num_nodes": 4, "num_stages": 2, "timesteps": 3},
    {"name": "mlp", "hidden_nodes": "16-16", "dropout": 0.3},
    {"name": "horn", "num_nodes": 8, "heterogeneity": 1.0},
    {"name": "rnn", "unit": "gru", "num_nodes": 8},
    {"name": "rnn", "unit": "lstm", "num_nodes": 8},
    {"name": "resnet", "channels": "4-8"},
    {"name": "mobilenet_v3", "width_multiplier": 0.05, "dropout": 0.2},
    {"name": "cnn_horn", "channels": "4-8", "num_nodes": 8, "heterogeneity": 1.0},
]
OTHERS = [
    {"name": "rnn", "unit": "tanh", "num_nodes": 8},
    {"name": "cnn_horn", "channels": "4-8", "num_nodes": 8, "unit": "gru"},
    {"name": "horn_cnn", "num_nodes": 4, "num_stages": 2, "timesteps": 3, "recurrence": "full"},
    {"name": "horn_cnn", "num_nodes": 4, "num_stages": 3, "timesteps": 3, "recurrence": "depthwise"},
    {"name": "leaky_cnn", "num_nodes": 4, "num_stages": 3, "timesteps": 3, "recurrence": "depthwise"},
    {"name": "vgg", "channels": "4-8", "strides": "1-2"},
    {
        "name": "resnet",
        "channels": "4-8",
        "block": "preactivation",
        "inner_channels": "3-5",
        "norms": "trunk",
    },
    {"name": "shufflenet_v2", "width_multiplier": 0.1},
    {"name": "squeezenet", "width_multiplier": 0.1},
    {"name": "efficientnet", "width_multiplier": 0.1},
]
"""Further families and variants, which the quicker tests run too."""
PHOTO = {"name": "photo", "augmentation": "crop_flip", "validation": 0.2}


def label(model):
    return "-".join(map(str, model.values()))


def photo(root, download):
    """Return noisy colour patches whose class is their mean colour."""
    draw = torch.Generator().manual_seed(0)
    targets = torch.arange(90) % 3
    images = torch.randn(90, 3, 8, 8, generator=draw) + 2 * torch.eye(3)[targets][..., None, None]
    return Raw(images[:60], targets[:60], images[60:], targets[60:])


def field(root, download):
    """Return images and the two numbers they are made of, row and column of a Gaussian bump."""
    draw = torch.Generator().manual_seed(0)
    targets = 1 + 6 * torch.rand(300, 2, generator=draw)
    axis = torch.arange(8)
    rows, columns = ((axis - place[:, None]).square() for place in targets.T)
    images = torch.exp(-(rows[:, :, None] + columns[:, None, :]) / 4).unsqueeze(1)
    return Raw(images[:200], targets[:200], images[200:], targets[200:])


@pytest.fixture(autouse=True)
def synthetic(monkeypatch):
    """Two small datasets in the table: `photo` in colour, `field` a regression."""
    shared = {"description": "drawn for these tests"}
    for loader, shapes in (
        (photo, {"example_shape": (3, 8, 8), "num_outputs": 3, "num_train": 60, "num_test": 30}),
        (
            field,
            {"example_shape": (1, 8, 8), "num_outputs": 2, "num_train": 200, "num_test": 100, "loss": "mse"},
        ),
    ):
        name = loader.__name__
        monkeypatch.setattr(f"hornlib.data.loaders.{name}", loader, raising=False)
        metric = "relative_l2" if shapes.get("loss") == "mse" else "accuracy"
        declaration = DatasetDeclaration(
            name=name,
            layouts=(FileLayout(f"hornlib.data.loaders:{name}"),),
            metric=metric,
            **shared,
            **shapes,
        )
        monkeypatch.setitem(DATASETS, name, declaration)


def cell_of(model, data=None, **training):
    presentation = "rows" if model["name"] in ("horn", "rnn") else "image"
    return parse_specification(
        {
            "data": {**(data if "name" in (data or {}) else DATA), "presentation": presentation},
            "model": model,
            "training": {
                "steps": 5,
                "batch_size": 16,
                "learning_rate": 0.01,
                "schedule": "constant",
                **training,
            },
        }
    )


def trained(cell, seeds, after_step=lambda chunk: None):
    chunk = start_chunk(cell, seeds, CPU)
    train_chunk(chunk, load(cell.data, CPU), after_step)
    return chunk


def assert_lanes_are_alone(cell, seeds):
    together = trained(cell, seeds)
    for lane, seed in enumerate(together.seeds):
        alone = trained(cell, [seed])
        for name, tensor in alone.lanes.parameters.items():
            torch.testing.assert_close(together.lanes.parameters[name][lane], tensor[0], rtol=2e-3, atol=2e-4)
        for curve in ("training_loss", "validation_loss", "test_loss"):
            torch.testing.assert_close(
                together.curves[curve][lane, :3], alone.curves[curve][0, :3], rtol=1e-4, atol=1e-5
            )


@pytest.mark.parametrize("model", MODELS, ids=label)
def test_a_lane_is_what_its_seed_is_alone(model):
    # Rounding errors grow fast in mobilenet_v3 (in float64 its lanes agree to 1e-8 after five steps): a bias that
    # the next batch norm takes out again has a gradient of nothing else, and adamw would scale that up.
    training = {"optimizer": "sgd", "steps": 2} if model["name"] == "mobilenet_v3" else {}
    assert_lanes_are_alone(cell_of(model, **training), [3, 11, 5])


@pytest.mark.parametrize(
    ("data", "training"),
    [
        (PHOTO, {}),
        ({**PHOTO, "augmentation": "rotate_shift_flip"}, {}),
        ({}, {"gradient_clip": 0.5}),
        ({}, {"label_smoothing": 0.2}),
        ({}, {"evaluation_examples": 20}),
        ({}, {"optimizer": "sgd", "weight_decay": 0.01}),
        (PHOTO, {"gradient_clip": 0.5, "label_smoothing": 0.2, "evaluation_examples": 5}),
    ],
    ids=["crop_flip", "rotate", "gradient_clip", "label_smoothing", "evaluation_examples", "sgd", "all"],
)
def test_a_lane_is_what_its_seed_is_alone_in_every_way_of_training(data, training):
    assert_lanes_are_alone(cell_of(MODELS[0], data, **training), [3, 11, 5])


@pytest.mark.parametrize(
    ("data", "training"),
    [
        (PHOTO, {}),
        ({}, {"gradient_clip": 0.05}),
        ({}, {"label_smoothing": 0.5}),
    ],
    ids=["crop_flip", "gradient_clip", "label_smoothing"],
)
def test_each_way_of_training_changes_what_is_trained(data, training):
    bare = {**data, "augmentation": "none"} if data else {}
    model = {**MODELS[0], "readout_norm": "none"}
    settings = {"optimizer": "sgd", "steps": 3}
    changed = trained(cell_of(model, data, **settings, **training), [0])
    plain = trained(cell_of(model, bare, **settings), [0])
    apart = [
        (tensor - plain.lanes.parameters[name]).abs().max()
        for name, tensor in changed.lanes.parameters.items()
    ]
    assert max(apart) > 1e-4


def test_evaluations_in_between_take_fewer_examples_and_the_last_takes_all():
    whole, thin = (
        trained(cell_of(MODELS[0], evaluation_examples=limit), [0, 1]).curves["test_loss"]
        for limit in (None, 20)
    )
    assert (whole[:, :-1] != thin[:, :-1]).all()
    assert torch.equal(whole[:, -1], thin[:, -1])


def interrupted(cell, seeds, at, after_step=lambda chunk: None):
    """Return the chunk trained undisturbed, and one restored into a fresh chunk from the state after step `at`."""
    saved = {}

    def save(chunk):
        after_step(chunk)
        if chunk.step == at:
            saved.update(torch.load(_serialised(chunk.state()), weights_only=True))

    undisturbed = trained(cell, seeds, save)
    resumed = start_chunk(cell, seeds, CPU)
    resumed.restore_(saved, CPU)
    assert resumed.step == at
    train_chunk(resumed, load(cell.data, CPU))
    return undisturbed, resumed


def assert_same_end(undisturbed, resumed):
    assert resumed.lanes.seeds == undisturbed.lanes.seeds
    assert torch.equal(resumed.diverged_at.nan_to_num(-1), undisturbed.diverged_at.nan_to_num(-1))
    for name, curve in undisturbed.curves.items():
        if name != "seconds":
            assert torch.equal(curve.nan_to_num(-1), resumed.curves[name].nan_to_num(-1)), name
    for kept in ("parameters", "buffers"):
        for name, tensor in getattr(undisturbed.lanes, kept).items():
            assert torch.equal(tensor, getattr(resumed.lanes, kept)[name]), name


@pytest.mark.parametrize(
    ("model", "data"),
    [
        *((MODELS[index], {}) for index in (0, 2, 4, 8, 9, 10)),
        (MODELS[0], {**PHOTO, "train_subset": 40}),
    ],
    ids=["cnn", "horn_cnn", "mlp", "resnet", "mobilenet_v3", "cnn_horn", "crop_flip"],
)
def test_a_chunk_restored_in_mid_epoch_ends_bit_identical(model, data):
    # step 11 lies within an epoch, of 13 steps or of 3, and between two evaluations
    assert_same_end(*interrupted(cell_of(model, data, steps=20), [0, 1], at=11))


@pytest.mark.parametrize("at", [2, 3, 5])
def test_a_chunk_restored_around_a_divergence_ends_bit_identical(at):
    def poison(chunk):
        if chunk.step == 2:
            with torch.no_grad():
                next(iter(chunk.lanes.parameters.values()))[1] = torch.nan

    undisturbed, resumed = interrupted(cell_of(MODELS[0], steps=20), [0, 1, 2], at, poison)
    assert resumed.lanes.seeds == [0, 2]
    assert_same_end(undisturbed, resumed)


def _serialised(state):
    import io

    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return buffer


def test_an_exploding_lane_is_frozen_and_marked_and_the_others_go_on_unharmed():
    cell = cell_of(MODELS[0], steps=8)
    undisturbed = trained(cell, [0, 1, 2])
    chunk = start_chunk(cell, [0, 1, 2], CPU)

    def poison(chunk):
        if chunk.step == 2:
            with torch.no_grad():
                next(iter(chunk.lanes.parameters.values()))[1] = torch.nan

    train_chunk(chunk, load(cell.data, CPU), poison)
    assert chunk.lanes.seeds == [0, 2]
    assert chunk.diverged_at.nan_to_num(-1).tolist() == [-1, 3, -1]
    curve = chunk.curves["validation_loss"]
    assert torch.isfinite(curve[[0, 2]]).all() and torch.isnan(curve[1, 2:]).all()
    torch.testing.assert_close(
        curve[[0, 2]], undisturbed.curves["validation_loss"][[0, 2]], rtol=1e-3, atol=1e-4
    )


def test_a_learning_rate_that_explodes_every_lane_ends_the_chunk_early():
    cell = cell_of(
        {"name": "mlp", "hidden_nodes": "8", "readout_norm": "none"},
        optimizer="sgd",
        learning_rate=1e12,
        steps=500,
    )
    chunk = trained(cell, [0, 1])
    assert torch.isfinite(chunk.diverged_at).all() and len(chunk.lanes) == 0
    assert torch.isnan(chunk.curves["test_metric"][:, -1]).all()
    assert chunk.step < 500


def test_every_seed_visits_each_example_once_an_epoch_in_its_own_order():
    cell = cell_of(MODELS[0], steps=13)
    splits = load(cell.data, CPU)
    chunk = start_chunk(cell, [0, 1], CPU)
    batches = Batches(chunk, splits.train)
    inputs = torch.cat([batches.at(step, [0, 1])[0] for step in range(13)], dim=1)
    assert inputs.shape[:2] == (2, 200)
    expected = splits.train.inputs.flatten(1).sort(0).values
    for lane in range(2):
        torch.testing.assert_close(inputs[lane].flatten(1).sort(0).values, expected)
    assert not torch.equal(inputs[0], inputs[1])


def test_training_learns():
    cell = cell_of({"name": "cnn", "channels": "8-16"}, steps=60, batch_size=32)
    chunk = trained(cell, [0, 1])
    assert (chunk.curves["test_metric"][:, -1] > 0.6).all()
    assert (chunk.curves["training_loss"][:, -1] < chunk.curves["training_loss"][:, 0]).all()


def test_evaluation_leaves_no_trace_in_the_network():
    cell = cell_of(MODELS[0])
    chunk = start_chunk(cell, [0, 1], CPU)
    before = {name: tensor.clone() for name, tensor in chunk.lanes.buffers.items()}
    evaluate(chunk.lanes, load(cell.data, CPU).test, "cross_entropy", "accuracy")
    assert all(torch.equal(before[name], tensor) for name, tensor in chunk.lanes.buffers.items())


@pytest.mark.parametrize("average", ["recent", "exponential"])
def test_running_statistics_are_the_weighted_mean_of_the_batches_seen(average):
    cell = cell_of(MODELS[0], steps=4, batch_norm_statistics=average)
    chunk = start_chunk(cell, [0, 1], CPU)
    features, expected, found = [], torch.zeros(2, 8), []
    normalised = type(chunk.lanes.network.readout.norm)

    def record(module, inputs):
        features.append(inputs[0])

    # the mean of each training batch, seen at the read-out by a copy of the networks run lane by lane
    splits = load(cell.data, CPU)
    batches = Batches(chunk, splits.train)
    for step in range(4):
        inputs, targets = batches.at(step, [0, 1])
        batch_means = []
        for lane in range(2):
            alone = chunk.lanes.keep([lane])
            norms = [m for m in alone.network.modules() if isinstance(m, normalised)]
            handle = norms[0].register_forward_pre_hook(record)
            alone.forward(inputs[lane : lane + 1], training=True)
            handle.remove()
            batch_means.append(features.pop().detach().mean(0))
        momentum = {"recent": 9 / (step + 9), "exponential": 0.1}[average]
        expected = (1 - momentum) * expected + momentum * torch.stack(batch_means)
        train_step(chunk, chunk.groups[0], inputs, targets, 4)
        chunk.step += 1
        found = chunk.lanes.buffers["readout.norm.running_mean"]
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_a_penalty_of_the_network_is_trained_on_and_kept_apart(monkeypatch):
    from hornlib.models.mlp.network import Mlp

    monkeypatch.setattr(
        Mlp, "penalty", lambda self: 0.1 * sum(p.square().sum() for p in self.parameters()), raising=False
    )
    chunk = trained(cell_of({"name": "mlp", "hidden_nodes": "8"}), [0, 1])
    clean, total = chunk.curves["training_loss"], chunk.curves["training_total_loss"]
    assert (total > clean + 0.01).all()


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("model", [*MODELS, *OTHERS], ids=label)
def test_bf16_trains_every_model_and_keeps_fp32_weights(model, lanes):
    found, expected = (
        trained(cell_of(model, steps=2, precision=precision), [*range(lanes)])
        for precision in ("bf16", "fp32")
    )
    assert all(tensor.dtype == torch.float32 for tensor in found.lanes.parameters.values())
    first = "training_loss"
    torch.testing.assert_close(found.curves[first][:, 0], expected.curves[first][:, 0], rtol=0.03, atol=0.03)
    assert torch.isfinite(found.curves["test_loss"]).all()


def test_tf32_trains_and_keeps_fp32_weights():
    chunk = trained(cell_of(MODELS[0], precision="tf32"), [0, 1])
    assert all(tensor.dtype == torch.float32 for tensor in chunk.lanes.parameters.values())
    assert torch.isfinite(chunk.curves["test_loss"][:, -1]).all()


@pytest.mark.parametrize(
    "model", [{"name": "mlp", "hidden_nodes": "32"}, {"name": "horn", "num_nodes": 16}], ids=label
)
def test_a_regression_learns_and_reports_its_relative_error(model):
    cell = cell_of(model, {"name": "field"}, steps=150, batch_size=32, learning_rate=0.05)
    assert (cell.data.loss, cell.data.metric, cell.data.direction) == ("mse", "relative_l2", "minimise")
    chunk = trained(cell, [0, 1])
    loss, metric = chunk.curves["training_loss"], chunk.curves["test_metric"]
    assert (loss[:, -1] < 0.1 * loss[:, 0]).all()
    splits = load(cell.data, CPU)
    of_mean = relative_l2(splits.train.targets.mean(0), splits.test.targets)
    assert torch.isfinite(metric).all() and of_mean < cell.data.chance
    assert (metric[:, -1] < 0.7 * of_mean).all()


def test_dropout_gets_a_new_key_a_lane_and_step():
    cell = cell_of({"name": "mlp", "hidden_nodes": "16", "dropout": 0.3}, steps=4)
    chunk = start_chunk(cell, [0, 1], CPU)
    seen = set()

    def record(chunk):
        for name, buffer in chunk.lanes.buffers.items():
            if name.endswith("dropout_key"):
                seen.update(buffer.tolist())

    train_chunk(chunk, load(cell.data, CPU), record)
    assert len(seen) == 2 * 4


def test_a_full_batch_holds_every_example_once_for_every_lane_and_smaller_ones_each_lane_s_own():
    cell = parse_specification(
        {"data": DATA, "model": MODELS[4], "training": {"batch_size": 500, "epochs": 2}}
    )
    chunk, train = start_chunk(cell, [0, 1, 2], CPU), load(cell.data, CPU).train
    inputs, targets = Batches(chunk, train).at(1, [0, 2])
    assert inputs.shape == (2, *train.inputs.shape) and targets.shape == (2, len(train.targets))
    for lane in range(2):
        torch.testing.assert_close(inputs[lane].sum(0), train.inputs.sum(0))
        assert torch.equal(targets[lane].sort().values, train.targets.sort().values)
    smaller = parse_specification({"data": DATA, "model": MODELS[4], "training": {"batch_size": 50}})
    _, targets = Batches(start_chunk(smaller, [0, 1], CPU), train).at(0, [0, 1])
    assert targets.shape == (2, 50) and not torch.equal(targets[0], targets[1])
