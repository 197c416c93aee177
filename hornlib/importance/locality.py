"""Locality: whether the connections of a unit stand closer together in the image than those of random masks."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = ["Locality", "PixelPlaces", "anywhere", "exchanged", "locality", "mean_distances", "places_of"]


class PixelPlaces(NamedTuple):
    """The pixels that units are connected to, one entry for each connection.

    Attributes:
        unit: index of the unit, (connections,).
        row, column: of the pixel, (connections,).
    """

    unit: np.ndarray
    row: np.ndarray
    column: np.ndarray


class Locality(NamedTuple):
    """Locality of a layer beside that of random layers.

    Attributes:
        locality_index: mean over units of 1 - d / E[d]: d is the mean distance of the unit's connections from their
            centroid, and E[d] that of random connections. 0 as at random, 1 if all connections of a unit meet one
            pixel.
        percentile: share of the random layers whose index is smaller, %; equal ones count half.
        units_above: share of the units whose index exceeds the 95th percentile of their own random connections; .05 at
            random.
        num_units: units with at least two connections; the others have no distance and are left out.
    """

    locality_index: float
    percentile: float
    units_above: float
    num_units: int


def places_of(masks: np.ndarray) -> PixelPlaces:
    """Return the pixels that the units of a layer are connected to.

    Args:
        masks: True where a connection exists, (units, channels, height, width).
    """
    unit, _, row, column = np.nonzero(masks)
    return PixelPlaces(unit, row, column)


def mean_distances(places: PixelPlaces, num_units: int) -> np.ndarray:
    """Return the mean distance of every unit's connections from their centroid, pixels, (units,).

    d = mean_i |x_i - mean_k x_k|, where x_i is the pixel of connection i. NaN for a unit with fewer than two of them.

    Args:
        places: of the connections.
        num_units: of the layer.
    """
    number = np.bincount(places.unit, minlength=num_units)
    shared = np.maximum(number, 1)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(places.unit, values, minlength=num_units) / shared

    rows, columns = mean(places.row), mean(places.column)
    distances = np.hypot(places.row - rows[places.unit], places.column - columns[places.unit])
    return np.where(number >= 2, mean(distances), np.nan)


def anywhere(masks: np.ndarray, generator: np.random.Generator) -> PixelPlaces:
    """Return as many random connections of every unit, at any places without repetition.

    Args:
        masks: (units, channels, height, width) bool.
        generator: draws the places.
    """
    shuffled = generator.permuted(masks.reshape(len(masks), -1), axis=1)
    return places_of(shuffled.reshape(masks.shape))


def exchanged(masks: np.ndarray, generator: np.random.Generator) -> PixelPlaces:
    """Return the connections with their pixels dealt out anew among all units of the layer.

    Every unit keeps its number of connections, and every pixel its number of readers. A layer that only prefers some
    region of the image, such as its middle, is no more local than this. A unit may get a pixel twice.

    Args:
        masks: (units, channels, height, width) bool.
        generator: deals the pixels.
    """
    places = places_of(masks)
    order = generator.permutation(len(places.unit))
    return PixelPlaces(places.unit, places.row[order], places.column[order])


def locality(
    masks: np.ndarray,
    draw: Callable[[np.ndarray, np.random.Generator], PixelPlaces],
    generator: np.random.Generator,
    num_draws: int = 200,
) -> Locality:
    """Return the locality of a layer; NaN where no unit has two connections.

    Args:
        masks: True where a connection exists, (units, channels, height, width).
        draw: what random connections are: `anywhere` or `exchanged`.
        generator: draws the random layers.
        num_draws: number of random layers.
    """
    num_units = len(masks)
    observed = mean_distances(places_of(masks), num_units)
    has_distance = np.isfinite(observed)
    if not has_distance.any():
        return Locality(np.nan, np.nan, np.nan, 0)
    draws = [mean_distances(draw(masks, generator), num_units)[has_distance] for _ in range(num_draws)]
    expected = np.mean(draws, axis=0)
    of_units = 1 - observed[has_distance] / expected
    of_draws = 1 - np.stack(draws) / expected  # (draws, units)
    index, of_layers = of_units.mean(), of_draws.mean(1)
    percentile = 100 * ((of_layers < index).mean() + (of_layers == index).mean() / 2)
    above = of_units > np.quantile(of_draws, 0.95, axis=0)
    return Locality(float(index), float(percentile), float(above.mean()), int(has_distance.sum()))
