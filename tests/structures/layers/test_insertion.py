"""Layer insertion: virtual layers change nothing, scores are gradients, and what is inserted trains on."""

import math

import pytest
import torch
from scipy.sparse.linalg import ArpackError

from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.grid.refusals import refusals
from hornlib.models.build import build_network
from hornlib.models.layered import with_layer
from hornlib.structures.interface import LaneView, make_structure
from hornlib.structures.layers import scores
from hornlib.structures.layers.insertion_parameters import LayerInsertionParameters
from hornlib.structures.layers.scores import spectral_norm
from hornlib.structures.layers.sensitivity import sensitivity
from hornlib.training.batches import Batches
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk
from hornlib.training.restructuring import restructure, view_of

CPU = torch.device("cpu")

MODELS = {
    "mlp": {"name": "mlp", "hidden_nodes": "7-5", "readout_norm": "none"},
    "mlp_normalised_readout": {"name": "mlp", "hidden_nodes": "6"},
    "cnn": {"name": "cnn", "channels": "3-4", "normalisation": "none"},
    "one_weight": {
        "name": "time_resnet", "num_layers": 3, "num_nodes": 5, "layer_steps": "fixed", "initial_horizon": 3.0,
        "activation": "tanh", "readout_norm": "none",
    },
    "two_weight": {
        "name": "time_resnet", "num_layers": 2, "num_nodes": 5, "block": "two_weight", "opening_step": "without",
        "activation": "tanh", "readout_norm": "none",
    },
    "convolutional": {
        "name": "time_resnet", "num_layers": 2, "num_nodes": 4, "layer_type": "convolutional", "activation": "tanh",
        "opening_pool": 2, "readout_norm": "none",
    },
}  # fmt: skip
RESNETS = ("one_weight", "two_weight", "convolutional")


def cell_of(model, structure=None, **training):
    return parse_specification(
        {
            "data": {"name": "digits", "train_subset": 100, "validation": 0.2},
            "model": MODELS[model] if isinstance(model, str) else model,
            "structure": {"name": "layer_insertion", **(structure or {"insert_at": 1})},
            "training": {
                "epochs": 3,
                "batch_size": 25,
                "schedule": "constant",
                "learning_rate": 0.01,
                **training,
            },
        }
    )


def view(cell, seeds=(0, 1), chunk=None):
    chunk = chunk or start_chunk(cell, list(seeds), CPU)
    return view_of(chunk, chunk.groups[0], Batches(chunk, load(cell.data, CPU).train))


@pytest.mark.parametrize(
    ("name", "position"), [(name, 0) for name in MODELS] + [("mlp", 1), ("cnn", 1), ("one_weight", 2)]
)
def test_a_virtual_layer_leaves_the_function_as_it_is(name, position):
    cell = cell_of(name)
    network = build_network(cell.model, cell.task(), 3).eval()
    larger = build_network(cell.model.with_layer(position), cell.task(), 4).eval()
    own = {key: tensor.detach() for key, tensor in network.state_dict().items()}
    larger.load_state_dict(
        with_layer(own, network, position, network.neutral_layer(position, 0.8).parameters), strict=False
    )
    inputs = torch.randn(20, *cell.task().input_shape)
    before, after = network(inputs), larger(inputs)
    if name in RESNETS:
        assert torch.equal(before, after)
    else:
        assert (before - after).abs().max() <= 1e-5
    assert len(larger.state_dict()) > len(network.state_dict())


def slopes(cell, seen, position):
    """Return the slopes of the mean loss as the virtual weight moves along its gradient, and against it."""
    network, tensors = seen.lanes.network, seen.lanes.tensors(0)
    batches = list(seen.batches(2))
    neutral = network.neutral_layer(position, 0.8)
    larger = build_network(cell.model.with_layer(position), cell.task(), 0).double()
    values = with_layer({**tensors.parameters, **tensors.buffers}, network, position, neutral.parameters)
    values = {
        key: tensor.double() if tensor.is_floating_point() else tensor for key, tensor in values.items()
    }

    def loss(weight):
        own = {**values, neutral.scored: weight}
        outputs = [torch.func.functional_call(larger, own, (inputs[0].double(),)) for inputs, _ in batches]
        of_batches = zip(outputs, batches, strict=True)
        return sum(torch.nn.functional.cross_entropy(out, targets[0]) for out, (_, targets) in of_batches) / 2

    weight = values[neutral.scored].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(weight), weight)
    with torch.no_grad():
        h = 1e-5 / gradient.norm()
        return [float((loss(weight + side * h * gradient) - loss(weight)) / (side * h)) for side in (1, -1)]


@pytest.mark.parametrize("name", MODELS)
def test_a_score_is_the_finite_difference_of_the_loss_along_the_gradient(name):
    """||G||_F^2 is the derivative of the mean loss as the virtual weight moves along G."""
    cell = cell_of({**MODELS[name], "readout_norm": "none"}, {"insert_at": 1, "score_batches": 2})
    seen = view(cell, [5])
    for (
        key,
        tensor,
    ) in seen.lanes.parameters.items():  # away from the kink of relu, where there is no derivative
        if key.endswith("bias") and "readout" not in key and cell.model.activation == "relu":
            tensor.data += 20
    actual = sensitivity(seen, cell.structure)
    for position in range(actual.virtual.shape[1]):
        slope = sum(slopes(cell, seen, position)) / 2
        assert actual.virtual[0, position] == pytest.approx(slope, rel=2e-3)


def test_at_the_kinks_of_relu_the_loss_has_no_derivative_and_the_score_is_none():
    """Dead units leave zeros, and the virtual relu layer's pre-activations are these zeros."""
    cell = cell_of({**MODELS["cnn"], "readout_norm": "none"}, {"insert_at": 1, "score_batches": 2})
    seen = view(cell, [5])
    score = float(sensitivity(seen, cell.structure).virtual[0, 0])
    along, against = slopes(cell, seen, 0)
    assert along > 1.5 * against
    assert abs(score / ((along + against) / 2) - 1) > 0.2


def test_scores_of_a_lane_are_those_it_has_alone():
    cell = cell_of("mlp")
    together = sensitivity(view(cell, [0, 1, 2]), cell.structure)
    alone = sensitivity(view(cell, [1]), cell.structure)
    torch.testing.assert_close(together.virtual[1:2], alone.virtual, rtol=1e-4, atol=0)
    torch.testing.assert_close(together.existing[1:2], alone.existing, rtol=1e-4, atol=0)


@pytest.mark.parametrize(("channels", "pixels"), [((4, 4), (8, 8)), ((3, 5), (6, 4)), ((1, 1), (1, 1))])
def test_the_spectral_norm_of_a_convolution_is_that_of_its_dense_operator(channels, pixels):
    weight = torch.randn(channels[1], channels[0], 3, 3, generator=torch.Generator().manual_seed(0))
    size = channels[0] * math.prod(pixels)
    basis = torch.eye(size, dtype=torch.float64).view(size, channels[0], *pixels)
    dense = torch.nn.functional.conv2d(basis, weight.double(), padding=1).flatten(1).T
    assert spectral_norm(weight, pixels) == pytest.approx(
        float(torch.linalg.matrix_norm(dense, ord=2)), rel=1e-4
    )


@pytest.mark.parametrize("kernel", [1, 3])
def test_the_spectral_norm_of_a_multiple_of_the_identity_is_its_factor(kernel):
    """ARPACK gives up for a few of these, where the operator's one singular value leaves no new direction."""
    for seed in range(200):
        weight = torch.zeros(1, 1, kernel, kernel)
        weight[0, 0, kernel // 2, kernel // 2] = torch.randn(
            (), generator=torch.Generator().manual_seed(seed)
        )
        assert spectral_norm(weight, (7, 7)) == pytest.approx(float(weight.abs().max()), rel=1e-12)


@pytest.mark.parametrize("channels", [(1, 2), (2, 1), (3, 3), (2, 5), (5, 2)])
def test_the_spectral_norm_of_a_kernel_of_one_pixel_is_that_of_its_matrix(channels):
    """Its operator has at most as many distinct singular values as channels; some of them are 0 or equal."""
    for seed in range(40):
        weight = torch.randn(*channels, 1, 1, generator=torch.Generator().manual_seed(seed))
        if seed % 2:
            weight[0] = 0
        expected = float(torch.linalg.matrix_norm(weight[:, :, 0, 0].double(), ord=2))
        assert spectral_norm(weight, (7, 7)) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("shape", [(12, 7), (7, 12), (9, 9)])
def test_where_arpack_gives_up_the_norm_is_still_that_of_the_operator(monkeypatch, shape):
    def gives_up(*arguments, **options):
        raise ArpackError(3)

    monkeypatch.setattr(scores, "svds", gives_up)
    weight = torch.randn(*shape, 3, 3, generator=torch.Generator().manual_seed(0))
    basis = torch.eye(shape[1] * 12, dtype=torch.float64).view(-1, shape[1], 3, 4)
    dense = torch.nn.functional.conv2d(basis, weight.double(), padding=1).flatten(1)
    assert spectral_norm(weight, (3, 4)) == pytest.approx(
        float(torch.linalg.matrix_norm(dense, ord=2)), rel=1e-9
    )


def test_the_spectral_norm_of_a_matrix_is_its_largest_singular_value():
    weight = torch.randn(5, 7, dtype=torch.float64)
    assert spectral_norm(weight, (1, 1)) == pytest.approx(float(torch.linalg.svdvals(weight)[0]))
    assert spectral_norm(torch.zeros(2, 2, 3, 3), (4, 4)) == 0


def trained(cell, seeds=(0, 1, 2), at=lambda chunk: None):
    chunk = start_chunk(cell, list(seeds), CPU)
    train_chunk(chunk, load(cell.data, CPU), at)
    return chunk


@pytest.mark.parametrize("name", MODELS)
def test_a_network_grows_in_training_and_goes_on(name):
    chunk = trained(cell_of(name))
    depth = len(chunk.cell.model.layer_widths())
    assert [event[1:3] for event in chunk.events] == [(4, "inserted")] * 3
    assert {group.model.layer_widths() == chunk.cell.model.layer_widths() for group in chunk.groups} == {
        False
    }
    curve = chunk.curves["depth"][:, [0, -1]]
    assert curve.tolist() == [[depth, depth + 1]] * 3
    parameters = chunk.curves["num_parameters"]
    assert (parameters[:, -1] > parameters[:, 0]).all()
    assert torch.isfinite(chunk.curves["test_loss"][:, -1]).all()


def test_lanes_that_grow_at_different_times_are_each_what_they_are_alone():
    # the threshold lies between the scores of the seeds, so that some grow and some do not
    probe = sensitivity(view(cell_of("mlp"), [0, 1, 2]), cell_of("mlp").structure).virtual.amax(1)
    structure = {
        "trigger": "absolute_threshold", "insert_at": "0-1", "threshold": float(probe.median()), "choice": "largest",
    }  # fmt: skip
    cell = cell_of("mlp", structure)
    together = trained(cell)
    assert len({tuple(event.step for event in together.events if event.row == row) for row in range(3)}) > 1
    for row, seed in enumerate(together.seeds):
        alone = trained(cell, [seed])
        assert [event[1:4] for event in alone.events] == [
            event[1:4] for event in together.events if event.row == row
        ]
        torch.testing.assert_close(
            together.curves["test_loss"][row],
            alone.curves["test_loss"][0],
            rtol=1e-4,
            atol=1e-5,
            equal_nan=True,
        )
        assert together.flops[row] == alone.flops[0]


def test_flops_count_the_epoch_of_gradients_and_the_larger_network():
    plain, grown, nowhere = (
        trained(cell_of("mlp", structure)).flops[0]
        for structure in (
            {"insert_at": 2, "choice": "nowhere"},
            {"insert_at": 2, "choice": "largest"},
            {"insert_at": 2, "choice": "random"},
        )
    )
    static = trained(
        parse_specification({**cell_of("mlp").specification(), "structure": {"name": "static"}})
    ).flops[0]
    assert plain == static < nowhere < grown


def test_the_optimiser_of_old_weights_goes_on_and_that_of_new_ones_starts_at_zero():
    cell = cell_of("mlp")
    chunk = start_chunk(cell, [0], CPU)
    draw = torch.Generator().manual_seed(0)
    for moment in chunk.groups[0].optimizer.state["first_moment"]:
        moment.copy_(torch.rand(moment.shape, generator=draw))
    before = moments(chunk)
    batches = Batches(chunk, load(cell.data, CPU).train)
    structure = LayerInsertionParameters(insert_at=(1,), choice="position", position=0)
    restructure(chunk, make_structure(structure), batches)
    after = moments(chunk)
    assert torch.equal(after["linears.0.weight"], before["linears.0.weight"])
    assert torch.equal(after["linears.2.weight"], before["linears.1.weight"])
    assert not after["linears.1.weight"].any() and after["linears.1.weight"].shape == (1, 7, 7)
    fresh = structure.model_copy(update={"optimizer_state": "fresh", "insertions": 2})
    restructure(chunk, make_structure(fresh), batches)
    assert not any(moment.any() for moment in moments(chunk).values())


def moments(chunk):
    (group,) = chunk.groups
    names = list(group.lanes.parameters)
    return dict(zip(names, group.optimizer.state["first_moment"], strict=True))


def test_control_arms_choose_as_they_say():
    cells = {
        choice: cell_of("mlp", {"insert_at": 1, "choice": choice})
        for choice in ("largest", "smallest", "random")
    }
    events = {choice: trained(cell, range(8)).events for choice, cell in cells.items()}
    for large, small in zip(events["largest"], events["smallest"], strict=True):
        assert large.position != small.position and large.score > small.score
    assert {event.position for event in events["random"]} == {1, 2}
    placed = trained(cell_of("mlp", {"insert_at": 1, "choice": "position", "position": 0})).events
    assert {event.position for event in placed} == {1}
    assert [
        event.kind for event in trained(cell_of("mlp", {"insert_at": 1, "choice": "nowhere"})).events
    ] == ["reset"] * 3


def test_a_plateau_fires_once_the_validation_loss_has_stopped_falling():
    still = {"trigger": "plateau", "patience": 1, "least_improvement": 0.0}
    falling = trained(
        cell_of("mlp", {**still}, learning_rate=1e-3, optimizer="sgd", momentum=0.0, acceleration="none")
    )
    stopped = trained(cell_of("mlp", {**still, "least_improvement": 0.5}, learning_rate=1e-9))
    assert not falling.events
    assert [event.kind for event in stopped.events] == ["inserted"] * 3


@pytest.mark.parametrize(
    ("model", "structure", "words"),
    [
        ({"name": "mlp", "hidden_nodes": "5", "activation": "tanh"}, {"insert_at": 1}, "activation: tanh"),
        ({"name": "cnn", "channels": "4"}, {"insert_at": 1}, "normalisation: batch"),
        ({"name": "time_resnet", "num_nodes": 4}, {"insert_at": 1}, "activation: relu"),
        (
            {"name": "time_resnet", "layer_steps": "simplex", "activation": "tanh"},
            {"insert_at": 1},
            "simplex",
        ),
        ({"name": "horn_cnn"}, {"insert_at": 1}, "horn_cnn has no layers"),
        (
            {"name": "mlp", "hidden_nodes": "5"},
            {"insert_at": 1, "choice": "position", "position": 1},
            "position: 1",
        ),
        ({"name": "mlp", "hidden_nodes": "5"}, {"insert_at": 3}, "training ends after 3 epochs"),
        ({"name": "mlp", "hidden_nodes": "5"}, {"insert_at": "1-2"}, "insertions: 1"),
        ({"name": "mlp", "hidden_nodes": "5"}, {"insert_at": 1, "insertions": 3}, "insertions: 3"),
        ({"name": "mlp", "hidden_nodes": "5"}, {"insert_at": 1, "score_batches": 9}, "an epoch has 4"),
        (
            {**MODELS["two_weight"], "num_layers": 3, "layer_steps": "partly_fixed"},
            {"insert_at": 1},
            "take over the step that is fixed",
        ),
        (
            {**MODELS["two_weight"], "num_layers": 1, "opening_step": "with"},
            {"trigger": "relative_threshold", "threshold": 1.0, "insert_at": 1},
            "needs a block to compare with",
        ),
    ],
)
def test_what_cannot_be_inserted_is_refused_before_training(model, structure, words):
    actual = refusals(cell_of(model, structure))
    assert any(words in sentence and sentence.startswith("layer_insertion") for sentence in actual), actual


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "needs `insert_at:`"),
        ({"trigger": "relative_threshold", "insert_at": (1,)}, "needs `threshold:`"),
        ({"trigger": "plateau", "insert_at": (1,), "patience": 2}, "insert_at means nothing"),
        ({"insert_at": (1,), "choice": "position"}, "needs `position:`"),
        ({"insert_at": (2, 1)}, "ascend"),
        (
            {"insert_at": (1,), "trigger": "absolute_threshold", "threshold": 1.0, "choice": "random"},
            "largest",
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(values, words):
    with pytest.raises(ValueError, match=words):
        LayerInsertionParameters(**values)


def test_a_trigger_that_never_fired_is_said():
    parameters = LayerInsertionParameters(insert_at=(1,))
    assert parameters.remarks(1, 3) == [] and "never fired in 3 run(s)" in parameters.remarks(0, 3)[0]
    assert make_structure(parameters) is not None and LaneView is not None


def test_the_first_updates_of_an_inserted_weight_are_as_large_as_a_new_network_s():
    """Adam's first step is the learning rate in the gradient's direction, however old the other weights are."""
    kept = {}

    def look(chunk):
        kept[chunk.step] = {
            name: tensor.detach().clone() for name, tensor in chunk.groups[0].lanes.parameters.items()
        }

    cell = cell_of("mlp", {"insert_at": 2, "choice": "position", "position": 0}, learning_rate=1e-3)
    trained(cell, [0], look)
    neutral = torch.eye(7)
    update = (kept[9]["linears.1.weight"][0] - neutral).abs()
    moved = update[update > 0]
    torch.testing.assert_close(moved, torch.full_like(moved, 1e-3), rtol=0.01, atol=0)
    old = (kept[9]["linears.0.weight"] - kept[8]["linears.0.weight"]).abs()
    assert not torch.allclose(old[old > 0], torch.full_like(old[old > 0], 1e-3), rtol=0.01, atol=0)


def test_a_lane_pays_for_its_own_looks_alone():
    structure = {"trigger": "plateau", "patience": 1, "least_improvement": 0.02}
    cell = cell_of("mlp", structure, epochs=8, learning_rate=0.03)
    together = trained(cell, range(6))
    assert len({event.step for event in together.events}) > 1
    for row, seed in enumerate(together.seeds):
        alone = trained(cell, [seed])
        assert [event.step for event in alone.events] == [e.step for e in together.events if e.row == row]
        assert together.flops[row] == alone.flops[0]


def test_lanes_that_diverge_around_an_event_are_taken_out_and_the_others_grow():
    def poison(chunk):
        if chunk.step == 3:
            with torch.no_grad():
                next(iter(chunk.groups[0].lanes.parameters.values()))[1] = torch.nan

    chunk = trained(cell_of("mlp"), [0, 1, 2], poison)
    assert sorted(event.row for event in chunk.events) == [0, 2]
    assert chunk.diverged_at.nan_to_num(-1).tolist() == [-1, 4, -1]

    def poison_all(chunk):
        if chunk.step == 3:
            with torch.no_grad():
                next(iter(chunk.groups[0].lanes.parameters.values()))[:] = torch.nan

    gone = trained(cell_of("mlp"), [0, 1], poison_all)
    assert gone.diverged_at.tolist() == [4, 4] and not gone.events


def test_a_block_with_two_weights_is_inserted_where_there_was_none():
    model = {**MODELS["two_weight"], "num_layers": 1, "opening_step": "with"}
    chunk = trained(cell_of(model), [0])
    assert [event.position for event in chunk.events] == [1]


def test_the_spectral_score_of_a_convolutional_resnet_is_that_on_its_maps():
    cell = cell_of("convolutional", {"insert_at": 1, "score": "squared_spectral_norm", "score_batches": 1})
    plain = cell_of("convolutional", {"insert_at": 1, "score_batches": 1})
    seen = view(cell, [0])
    spectral, squared = (sensitivity(seen, own.structure).virtual for own in (cell, plain))
    assert cell.model.map_size(0, cell.task()) == (8, 8) and cell.model.map_size(1, cell.task()) == (4, 4)
    assert (
        spectral > squared / 4
    ).all()  # nine taps, of which a map of one pixel would see the middle one alone
