"""Claims about the continuous problem: its source, its material, its parameters and its sensors."""

import numpy as np
import pytest

from hornlib.data.maxwell import problem

XI = np.array([0.4, 0.6, 0.5, 1.3, 0.7])
POINTS = np.random.default_rng(0).uniform(0.1, 0.9, (3, 40))


def derivative(function, axis, step=1e-5):
    """Central difference of a function of points along an axis."""
    shift = step * np.eye(3)[axis][:, None]
    return (function(POINTS + shift) - function(POINTS - shift)) / (2 * step)


def potential(points):
    x, y, z = points - XI[:3, None]
    return problem.SOURCE_WIDTH * XI[3] * np.exp(-(x**2 + y**2 + z**2) / (2 * problem.SOURCE_WIDTH**2))


def test_the_source_is_the_curl_of_a_vertical_potential_and_so_has_no_divergence():
    actual = problem.current_density(POINTS, XI)
    expected = [derivative(potential, 1), -derivative(potential, 0), np.zeros(40)]
    np.testing.assert_allclose(actual, expected, atol=1e-8)
    divergence = sum(
        derivative(lambda at, axis=axis: problem.current_density(at, XI)[axis], axis) for axis in range(3)
    )
    np.testing.assert_allclose(divergence, 0, atol=1e-8)


def test_the_inclusion_is_whole_in_the_middle_and_gone_at_the_walls():
    middle, wall = np.full((3, 1), 0.5), np.array([[0.5], [0.5], [1.0]])
    assert problem.inclusion(middle) == 1
    assert problem.inclusion(wall) < 1e-3
    assert problem.reluctivity_in_inclusion(np.array([0, 0, 0, 0, np.log(5)])) == pytest.approx(5)


def test_parameters_fill_their_ranges_and_standardise_to_mean_0_and_deviation_1():
    xi = problem.draw_parameters(np.random.default_rng(0).random((100_000, 5)))
    low, high = np.array(list(problem.PARAMETERS.values())).T
    assert (xi >= low).all() and (xi < high).all()
    np.testing.assert_allclose([xi.min(0), xi.max(0)], [low, high], atol=1e-3)
    standard = problem.standardised(xi)
    np.testing.assert_allclose(standard.mean(0), 0, atol=0.02)
    np.testing.assert_allclose(standard.std(0), 1, atol=0.01)


def test_sensors_stand_apart_within_the_cube_and_on_one_face():
    for points, apart in ((problem.inner_sensors(), 0.07), (problem.face_sensors(), 0.05)):
        distance = np.linalg.norm(points[:, :, None] - points[:, None, :], axis=0)
        assert distance[~np.eye(points.shape[1], dtype=bool)].min() > apart
    assert problem.inner_sensors().shape == (3, 200)
    assert problem.inner_sensors().min() > 0 and problem.inner_sensors().max() < 1
    assert problem.face_sensors().shape == (3, 50) and (problem.face_sensors()[2] == 1).all()
