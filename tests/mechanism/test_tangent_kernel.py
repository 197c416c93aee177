"""The tangent kernel against an explicit Jacobian and a linear model; its predictions against gradient flow."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import nn

from hornlib.grid.cell import parse_specification
from hornlib.mechanism.initialisation import hold_statistics_
from hornlib.mechanism.tangent_kernel import _relation, _summary_of, measure, summary, tangent_kernel
from hornlib.models.build import build_network
from hornlib.models.horn.parameters import HornParameters
from hornlib.models.horn_cnn.parameters import HornCnnParameters
from hornlib.parameters import Task

IMAGE, ROWS = Task((1, 4, 4), 3), Task((5, 2), 3)
NETWORKS = [
    pytest.param(HornCnnParameters(num_nodes=2, num_stages=2, timesteps=3), IMAGE, id="horn_cnn"),
    pytest.param(
        HornCnnParameters(num_nodes=2, num_stages=3, timesteps=2), IMAGE, id="horn_cnn to one pixel"
    ),
    pytest.param(HornParameters(num_nodes=3), ROWS, id="horn"),
]


def explicit_kernel(network, inputs):
    """The trace form from one backward pass an input and output, by plain autograd."""
    hold_statistics_(network, inputs)
    rows = []
    for one in inputs:
        for logit in network(one.unsqueeze(0))[0]:
            gradients = torch.autograd.grad(logit, list(network.parameters()), retain_graph=True)
            rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
    num_outputs = len(rows) // len(inputs)
    jacobian = torch.stack(rows).unflatten(0, (len(inputs), num_outputs))
    return torch.einsum("ikp,jkp->ij", jacobian, jacobian) / num_outputs


@pytest.mark.parametrize(("model", "task"), NETWORKS)
def test_the_kernel_is_that_of_an_explicit_jacobian_in_float64(model, task):
    inputs = torch.randn(7, *task.input_shape, dtype=torch.float64)
    kernels = [
        make(build_network(model, task, 0).double(), inputs) for make in (tangent_kernel, explicit_kernel)
    ]
    torch.testing.assert_close(*kernels, rtol=1e-11, atol=1e-11)


def test_an_explicit_jacobian_by_finite_differences_agrees_too():
    model, inputs = NETWORKS[2].values[0], torch.randn(4, *ROWS.input_shape, dtype=torch.float64)
    network = build_network(model, ROWS, 0).double()
    kernel = tangent_kernel(network, inputs)
    columns = []
    with torch.no_grad():
        for parameter in network.parameters():
            for index in range(parameter.numel()):
                sides = []
                for change in (1e-6, -1e-6):
                    parameter.view(-1)[index] += change
                    sides.append(network(inputs))
                    parameter.view(-1)[index] -= change
                columns.append((sides[0] - sides[1]) / 2e-6)
    jacobian = torch.stack(columns, -1)
    torch.testing.assert_close(
        kernel, torch.einsum("ikp,jkp->ij", jacobian, jacobian) / 3, rtol=1e-6, atol=1e-6
    )


def test_the_kernel_of_a_linear_model_is_the_gram_matrix_of_its_inputs():
    inputs = torch.randn(6, 5, dtype=torch.float64)
    kernel = tangent_kernel(nn.Linear(5, 3).double(), inputs)
    torch.testing.assert_close(kernel, inputs @ inputs.mT + 1)


def test_frozen_weights_are_no_part_of_the_kernel():
    inputs = torch.randn(6, *IMAGE.input_shape, dtype=torch.float64)
    traces = []
    for training in ("learned", "frozen"):
        model = HornCnnParameters(num_nodes=2, num_stages=2, timesteps=3, recurrence_training=training)
        traces.append(tangent_kernel(build_network(model, IMAGE, 0).double(), inputs).trace())
    assert traces[1] < traces[0]


def test_effective_rank_and_condition_of_known_spectra():
    labels = np.eye(4)[[0, 1, 2, 3, 0, 1]]
    even = summary(2 * np.eye(6), labels)
    assert (even.effective_rank, even.condition) == pytest.approx((6, 1))
    vector = np.array([1.0, -1, 2, 0, 1, 3])
    lone = summary(np.outer(vector, vector), labels)
    assert lone.effective_rank == pytest.approx(1)


def test_alignment_is_one_for_the_labels_own_kernel_and_has_no_scale():
    labels = np.eye(3)[[0, 1, 2, 0, 1, 2, 0]]
    centred = labels - labels.mean(0)
    assert summary(centred @ centred.T, labels).alignment == pytest.approx(1)
    rng = np.random.default_rng(0)
    root = rng.normal(size=(7, 7))
    once, thrice = summary(root @ root.T, labels), summary(3 * root @ root.T + 5, labels)
    assert once.alignment == pytest.approx(thrice.alignment)
    assert once.shape_time == pytest.approx(summary(3 * root @ root.T, labels).shape_time)
    assert once.flow_time == pytest.approx(3 * summary(3 * root @ root.T, labels).flow_time)


def test_the_predicted_time_is_when_gradient_flow_gets_there():
    rng = np.random.default_rng(1)
    root, labels = rng.normal(size=(6, 6)), np.eye(2)[[0, 1, 0, 1, 1, 0]]
    kernel = root @ root.T
    found = summary(kernel, labels)
    start = (labels - labels.mean(0)).ravel()

    def flow(time, residual):
        return -(kernel @ residual.reshape(6, 2)).ravel() / 6

    end = solve_ivp(flow, (0, found.flow_time), start, rtol=1e-9, atol=1e-12).y[:, -1]
    assert (end**2).sum() / (start**2).sum() == pytest.approx(0.1, rel=1e-5)


def test_a_kernel_that_cannot_see_the_labels_never_gets_there():
    labels = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    assert summary(np.ones((4, 4)), labels).flow_time == math.inf


@pytest.mark.parametrize(
    "model", [{"name": "cnn", "channels": "2-4"}, {"name": "horn", "num_nodes": 3, "timesteps": 3}]
)
def test_a_cells_kernel_is_one_of_its_seed(model):
    cell = parse_specification({"data": {"name": "digits", "train_subset": 60}, "model": model})
    first, again, other = _summary_of(cell, 0), _summary_of(cell, 0), _summary_of(cell, 1)
    assert np.array_equal(first.eigenvalues, again.eigenvalues)
    assert not np.allclose(first.eigenvalues, other.eigenvalues)
    assert len(first.eigenvalues) == 60


def test_the_experiment_writes_spectra_and_a_sentence_with_n(make_grid, study):
    grid = make_grid("  arms:\n    model:\n      - {name: cnn, channels: [2-4, 4-4]}\n", seeds=2)
    ds = measure(study(grid, "arms"))
    assert ds["eigenvalue"].sizes == {"contender": 2, "seed": 2, "order": 128}
    assert (ds["eigenvalue"].diff("order") <= 0).all()
    assert "n = 2 seeds" in ds.attrs["sentence"]
    assert ds["contender"].values.tolist() == ["cnn channels=2-4", "cnn channels=4-4"]


def test_an_arm_whose_kernel_never_gets_there_ranks_last(trained, study):
    sweeps = "  arms:\n    model:\n      - {name: cnn, channels: [2, 3, 4, 5]}\n"
    grid = trained(sweeps, lambda contender, seed: 20 * contender.cell.model.channels[0], seeds=2)
    look = study(grid, "arms")
    times = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 4.0], [math.inf, math.inf]])
    known, sentence = _relation(look, {name: ((), times, {}) for name in ("flow_time", "shape_time")})
    assert known["relation"][1] == pytest.approx([1, 1]) and known["num_relation"][1].tolist() == [4, 4]
    assert "longer predicted times go with slower learning" in sentence
