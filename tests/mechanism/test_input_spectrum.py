"""Spectra of inputs, and an oscillator's response against its own simulation."""

import numpy as np
import pytest

from hornlib.data.loading import load
from hornlib.dynamics.parameters import Oscillator
from hornlib.grid.cell import parse_specification
from hornlib.mechanism.input_spectrum import input_power, resonant_share, squared_response


@pytest.mark.parametrize("frequency", [0.0, 0.05, 0.13, 0.3])
def test_the_response_is_that_of_the_step_run_to_its_steady_state(frequency):
    omega, damping, alpha, h = oscillator = Oscillator(0.7, 0.1, 0.3, 0.9)
    steps = np.arange(1, 1201)
    x = y = 0.0
    positions = []
    for force in np.exp(2j * np.pi * frequency * steps):
        y = y + h * (alpha * force - omega**2 * x - 2 * damping * y)
        x = x + h * y
        positions.append(x)
    measured = abs(np.mean(positions[600:] * np.exp(-2j * np.pi * frequency * steps[600:]))) ** 2
    expected = squared_response(oscillator, np.array([frequency]))[0] * (alpha / omega**2) ** 2
    assert measured == pytest.approx(expected, rel=1e-8)


def test_the_response_peaks_near_the_warped_frequency_and_starts_at_one():
    frequencies = np.linspace(0, 0.5, 5001)
    found = squared_response(Oscillator(0.8, 0.01, 1.0, 1.0), frequencies)
    assert found[0] == pytest.approx(1)
    assert frequencies[found.argmax()] == pytest.approx(np.arcsin(0.4) / np.pi, abs=1e-3)


def test_the_power_of_rows_is_that_of_the_padded_fourier_transform():
    cell = parse_specification(
        {"data": {"name": "digits", "presentation": "rows"}, "model": {"name": "horn"}}
    )
    frequencies, power = input_power(cell)
    inputs = load(cell.data, "cpu").train.inputs.double().numpy()
    padded = (np.abs(np.fft.rfft(inputs, 2 * (len(frequencies) - 1), axis=1)) ** 2).mean((0, 2))
    assert power == pytest.approx(padded / padded.sum())


def test_an_image_drives_at_frequency_zero_and_no_oscillator_gains_from_it():
    cell = parse_specification({"data": {"name": "digits"}, "model": {"name": "horn_cnn"}})
    frequencies, power = input_power(cell)
    assert power[0] == 1 and power[1:].sum() == 0
    assert resonant_share(Oscillator(0.5, 0.05, 2.0, 1.0), frequencies, power) == pytest.approx(1)
