"""Claims about the edge elements: first order, and the identities of curl-curl problems."""

import numpy as np
import pytest
import skfem

from hornlib.data.maxwell import problem
from hornlib.data.maxwell.edge_elements import EdgeElements

MEASURED = {4: 0.313, 6: 0.212, 8: 0.159}


def manufactured(points):
    """A field without divergence whose tangential part is zero on the walls; curl curl of it is 2 pi^2 times it."""
    x, y, z = points
    return np.stack([np.sin(np.pi * y) * np.sin(np.pi * z), np.zeros_like(x), np.zeros_like(x)])


def rotating(points):
    """A field of the discrete space, (1, 2, -1) + b x points with b = (0.5, -1, 2): its curl is 2 b."""
    turn = np.array([0.5, -1.0, 2.0])
    shift = np.array([1.0, 2.0, -1.0]).reshape(3, *[1] * (points.ndim - 1))
    return shift + np.cross(turn, points, axisb=0, axisc=0)


@pytest.fixture(scope="module")
def elements():
    return EdgeElements(3)


@pytest.fixture(scope="module")
def gradients(elements):
    """The gradients of the mesh's hat functions as fields, (edges, vertices): their differences along the edges."""
    starts, ends = elements.basis.mesh.edges
    number = np.arange(elements.num_edges)
    actual = np.zeros((elements.num_edges, elements.basis.mesh.nvertices))
    actual[number, starts], actual[number, ends] = -1, 1
    return actual


def relative_error(elements, field, exact):
    """Return ||u - exact|| / ||exact|| in L2 of the cube, by quadrature."""
    truth = exact(np.asarray(elements.basis.global_coordinates()))
    difference = np.asarray(elements.basis.interpolate(field)) - truth
    error, whole = (((part**2).sum(0) * elements.basis.dx).sum() for part in (difference, truth))
    return float(np.sqrt(error / whole))


@pytest.fixture(scope="module")
def solved():
    def solve(cells_a_side):
        own = EdgeElements(cells_a_side)
        load = own.load(lambda points: (2 * np.pi**2 + 1) * manufactured(points))
        return own, own.solve(own.curl_curl() + own.mass, load)

    return {cells: solve(cells) for cells in MEASURED}


def test_the_error_of_a_manufactured_solution_falls_like_the_mesh_width(solved):
    errors = {cells: relative_error(own, field, manufactured) for cells, (own, field) in solved.items()}
    for cells, expected in MEASURED.items():
        assert errors[cells] == pytest.approx(expected, abs=0.0015)
    assert np.log(errors[4] / errors[8]) / np.log(2) == pytest.approx(1, abs=0.05)


def test_a_solution_has_the_energy_that_its_source_gives(solved):
    own, field = solved[4]
    load = own.load(lambda points: (2 * np.pi**2 + 1) * manufactured(points))
    assert field @ ((own.curl_curl() + own.mass) @ field) == pytest.approx(load @ field, rel=1e-12)


def test_the_tangential_field_is_zero_on_the_walls_and_the_curl_has_no_normal_part(solved):
    own, field = solved[8]
    value, rotation = own.sampling(problem.face_sensors())
    assert np.abs((value @ field).reshape(3, -1)[:2]).max() < 1e-13
    curl = (rotation @ field).reshape(3, -1)
    assert np.abs(curl[2]).max() < 1e-12 < np.abs(curl[:2]).min()


def test_sampling_reads_the_field_within_the_error_of_the_solution(solved):
    own, field = solved[8]
    points = problem.inner_sensors()
    actual = (own.sampling(points)[0] @ field).reshape(3, -1)
    exact = manufactured(points)
    assert np.linalg.norm(actual - exact) / np.linalg.norm(exact) < 0.2


def test_gradients_are_the_kernel_of_the_curl_curl_matrix(elements, gradients):
    matrix = elements.curl_curl(problem.inclusion)
    assert np.abs(matrix @ gradients).max() < 1e-13
    dense = elements.curl_curl().toarray()
    kernel = (np.linalg.eigvalsh(dense) < 1e-10).sum()
    assert kernel == elements.basis.mesh.nvertices - 1 == np.linalg.matrix_rank(gradients)


def test_matrices_are_symmetric_and_the_mass_is_positive(elements):
    for matrix in (elements.curl_curl(), elements.curl_curl(problem.inclusion), elements.mass):
        assert abs(matrix - matrix.T).max() < 1e-14
    assert np.linalg.eigvalsh(elements.mass.toarray()).min() > 0


def test_a_field_of_the_space_is_met_exactly_in_norm_in_curl_and_at_points(elements):
    field = np.linalg.solve(elements.mass.toarray(), elements.load(rotating))
    assert relative_error(elements, field, rotating) < 1e-12
    curl = 2 * np.array([0.5, -1.0, 2.0])
    assert field @ (elements.curl_curl() @ field) == pytest.approx(curl @ curl, rel=1e-12)
    assert field @ (elements.curl_curl(lambda x: np.full(x.shape[1:], 3.0)) @ field) == pytest.approx(
        3 * curl @ curl, rel=1e-12
    )
    points = problem.inner_sensors()
    value, rotation = elements.sampling(points)
    np.testing.assert_allclose((value @ field).reshape(3, -1), rotating(points), atol=1e-12)
    np.testing.assert_allclose((rotation @ field).reshape(3, -1), curl[:, None] * np.ones(200), atol=1e-11)


def test_a_solution_is_that_of_scikit_fems_own_solver(elements):
    matrix = elements.curl_curl() + 2 * elements.mass
    load = elements.load(rotating)
    condensed = skfem.condense(matrix, load, D=elements.basis.get_dofs())
    np.testing.assert_allclose(elements.solve(matrix, load), skfem.solve(*condensed), atol=1e-13)


def test_the_source_does_no_work_on_gradients_of_potentials_that_vanish_on_the_walls(gradients):
    own = EdgeElements(3)
    xi = np.array([0.45, 0.5, 0.6, 1.0, 0.0])
    load = own.load(lambda points: problem.current_density(points, xi))
    x = own.basis.mesh.p
    inner = ((x > 1e-9) & (x < 1 - 1e-9)).all(0)
    work = np.abs(gradients.T @ load)
    assert inner.sum() == 8
    assert work[inner].max() < 0.05 * (np.abs(gradients).T @ np.abs(load))[inner].min()
