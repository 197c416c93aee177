"""Distances from the centroid against loops, and the locality of layers that are local, random, or merely central."""

import math

import numpy as np
import pytest

from hornlib.importance.locality import anywhere, exchanged, locality, mean_distances, places_of

UNITS, CHANNELS, SIDE = 40, 3, 12


def random_masks(generator, share=0.1, shape=(UNITS, CHANNELS, SIDE, SIDE)):
    return generator.random(shape) < share


def windows(generator, side=4, share=0.5):
    """Return masks whose connections stand within a square somewhere in the image, another one for each unit."""
    masks = np.zeros((UNITS, CHANNELS, SIDE, SIDE), bool)
    for unit in masks:
        row, column = generator.integers(0, SIDE - side + 1, 2)
        unit[:, row : row + side, column : column + side] = generator.random((CHANNELS, side, side)) < share
    return masks


def looped_distance(mask):
    """Return the mean distance from the centroid, one connection after the other."""
    places = [
        (row, column)
        for channel in range(mask.shape[0])
        for row in range(mask.shape[1])
        for column in range(mask.shape[2])
        if mask[channel, row, column]
    ]
    if len(places) < 2:
        return math.nan
    centre = [sum(axis) / len(places) for axis in zip(*places, strict=True)]
    return sum(math.dist(place, centre) for place in places) / len(places)


def test_distances_are_those_of_a_loop():
    masks = random_masks(np.random.default_rng(0), share=0.02)
    masks[0], masks[1] = False, False
    masks[1, 0, 3, 4] = True
    distances = mean_distances(places_of(masks), UNITS)
    np.testing.assert_allclose(distances, [looped_distance(mask) for mask in masks], rtol=1e-12)
    assert np.isnan(distances[:2]).all()


def test_the_distance_of_a_pair_is_half_of_what_lies_between_and_does_not_depend_on_the_place():
    masks = np.zeros((2, 1, 8, 8), bool)
    masks[0, 0, 0, 0] = masks[0, 0, 3, 4] = True
    masks[1, 0, 4, 2] = masks[1, 0, 7, 6] = True
    assert mean_distances(places_of(masks), 2) == pytest.approx([2.5, 2.5])


@pytest.mark.parametrize("draw", [anywhere, exchanged])
def test_every_draw_keeps_the_number_of_connections_of_each_unit(draw):
    masks = windows(np.random.default_rng(1))
    places = draw(masks, np.random.default_rng(2))
    numbers = np.bincount(places.unit, minlength=UNITS)
    assert numbers.tolist() == masks.reshape(UNITS, -1).sum(1).tolist()


def test_an_exchange_keeps_the_readers_of_each_pixel():
    masks = windows(np.random.default_rng(1))
    places = exchanged(masks, np.random.default_rng(2))
    readers = np.bincount(places.row * SIDE + places.column, minlength=SIDE**2)
    assert readers.tolist() == masks.sum((0, 1)).flatten().tolist()
    assert (places.row != places_of(masks).row).any()


@pytest.mark.parametrize("draw", [anywhere, exchanged])
def test_windows_are_local_against_both_kinds_of_random_masks(draw):
    local = locality(windows(np.random.default_rng(3)), draw, np.random.default_rng(4))
    assert local.locality_index > 0.5 and local.percentile == 100 and local.units_above == 1
    assert local.num_units == UNITS


def test_units_that_all_read_the_middle_are_local_only_against_masks_anywhere():
    generator, masks = np.random.default_rng(5), np.zeros((UNITS, CHANNELS, SIDE, SIDE), bool)
    masks[:, :, 4:8, 4:8] = random_masks(generator, share=0.4, shape=(UNITS, CHANNELS, 4, 4))
    assert locality(masks, anywhere, generator).locality_index > 0.5
    central = locality(masks, exchanged, generator)
    assert abs(central.locality_index) < 0.05 and central.units_above < 0.3


def test_the_percentile_of_random_masks_is_uniform():
    """A quarter of 60 random layers within each quarter, to four standard deviations; 5 % of the units above."""
    generator = np.random.default_rng(6)
    results = [locality(random_masks(generator), anywhere, generator, num_draws=60) for _ in range(60)]
    quarters = np.histogram([result.percentile for result in results], [0, 25, 50, 75, 100.1])[0]
    assert (np.abs(quarters - 15) < 4 * math.sqrt(60 * 0.25 * 0.75)).all()
    assert np.mean([result.units_above for result in results]) == pytest.approx(0.05, abs=0.02)
    assert np.mean([result.locality_index for result in results]) == pytest.approx(0, abs=0.005)


def test_a_dense_layer_is_as_local_as_its_only_permutation_and_an_empty_one_has_no_locality():
    dense = locality(np.ones((3, 1, 4, 4), bool), anywhere, np.random.default_rng(7), num_draws=5)
    assert dense == (0, 50, 0, 3)
    empty = locality(np.zeros((3, 1, 4, 4), bool), anywhere, np.random.default_rng(7), num_draws=5)
    assert np.isnan(empty.locality_index) and empty.num_units == 0
