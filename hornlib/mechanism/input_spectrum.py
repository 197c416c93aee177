"""Power spectrum of the input that drives the oscillators, and their response to it."""

import numpy as np

from hornlib.data.loading import load
from hornlib.dynamics.parameters import Oscillator
from hornlib.grid.cell import Cell

__all__ = ["input_power", "resonant_share", "squared_response"]

NUM_FREQUENCIES = 129
"""Number of frequencies from 0 to half a cycle per step."""

NUM_EXAMPLES = 2048


def input_power(cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies, cycles per step, and the power of the input there, both (frequencies,). The powers sum to 1.

    The power of a sequence s is |sum_t s_t exp(-2 pi i f t)|^2, t = 1 .. T, averaged over training examples and
    features. The sequence counts as 0 before and after. A constant drive has all its power at frequency 0.
    """
    frequencies = np.linspace(0, 0.5, NUM_FREQUENCIES)
    if not cell.task().is_sequence:
        return frequencies, np.eye(NUM_FREQUENCIES)[0]
    inputs = load(cell.data, "cpu").train.inputs[:NUM_EXAMPLES].double().numpy()
    waves = np.exp(-2j * np.pi * frequencies[:, None] * np.arange(1, inputs.shape[1] + 1))
    spectra = np.einsum("ft,etd->efd", waves, inputs)
    power = (np.abs(spectra) ** 2).mean((0, 2))
    return frequencies, power / power.sum()


def squared_response(oscillator: Oscillator, frequencies: np.ndarray) -> np.ndarray:
    """Return |x / force|^2 of the symplectic step under a force exp(2 pi i f t), over its square at f = 0.

    z = exp(2 pi i f):  (z - 1) y = -h omega^2 x - 2 h damping y + h alpha F;  (z - 1) x = h z y, which gives
    x / F = h^2 alpha z / ((z - 1) (z - 1 + 2 h damping) + h^2 omega^2 z), alpha / omega^2 at f = 0.

    Args:
        oscillator: omega, damping, alpha and integration step h.
        frequencies: cycles per step, (frequencies,).
    """
    omega, damping, _, h = oscillator
    z = np.exp(2j * np.pi * frequencies)
    response = h**2 * omega**2 * z / ((z - 1) * (z - 1 + 2 * h * damping) + h**2 * omega**2 * z)
    squared: np.ndarray = np.abs(response) ** 2
    return squared


def resonant_share(oscillator: Oscillator, frequencies: np.ndarray, power: np.ndarray) -> float:
    """Return the factor by which the oscillator raises the power of the drive: sum |H|^2 S / |H(0)|^2, with sum S = 1.

    Args:
        oscillator: omega, damping, alpha and integration step.
        frequencies: cycles per step, (frequencies,).
        power: power S of the drive, (frequencies,).
    """
    return float((squared_response(oscillator, frequencies) * power).sum() / power.sum())
