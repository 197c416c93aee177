"""Claims about presentations and resizing, against loops and Pillow."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hornlib.data import DATASETS
from hornlib.data.parameters import DataParameters
from hornlib.data.presentation import pixel_order, present, resize


@pytest.fixture
def images():
    """Distinct numbers in (2, 3, 4, 5), so that any misplacement shows."""
    return torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)


def test_an_image_is_presented_as_it_is(images):
    assert torch.equal(present(images, "image"), images)


def test_a_vector_is_presented_as_it_is():
    vectors = torch.arange(6).reshape(2, 3)
    assert torch.equal(present(vectors, "vector"), vectors)


def test_a_row_a_step_holds_that_row_of_every_channel(images):
    rows = present(images, "rows")
    assert rows.shape == (2, 4, 15)
    for n, row in np.ndindex(2, 4):
        assert rows[n, row].tolist() == [
            images[n, c, row, column].item() for c in range(3) for column in range(5)
        ]


def test_pixels_come_in_reading_order_with_their_channels(images):
    pixels = present(images, "pixels")
    assert pixels.shape == (2, 20, 3)
    for n, row, column in np.ndindex(2, 4, 5):
        assert torch.equal(pixels[n, 5 * row + column], images[n, :, row, column])


def test_permuted_pixels_are_the_pixels_in_the_fixed_order(images):
    assert torch.equal(present(images, "permuted_pixels"), present(images, "pixels")[:, pixel_order(20)])


@given(num_pixels=st.integers(1, 1024))
def test_the_pixel_order_is_one_permutation_whatever_the_global_seed(num_pixels):
    torch.manual_seed(1)
    first = pixel_order(num_pixels)
    torch.manual_seed(2)
    assert torch.equal(first, pixel_order(num_pixels))
    assert torch.equal(first.sort().values, torch.arange(num_pixels))


@pytest.mark.parametrize("presentation", ["image", "rows", "pixels", "permuted_pixels"])
@pytest.mark.parametrize("name", [name for name in DATASETS if not DATASETS[name].is_vector])
@pytest.mark.parametrize("image_size", [None, 7])
def test_the_task_promises_the_presented_shape(name, presentation, image_size):
    data = DataParameters(name=name, presentation=presentation, image_size=image_size)
    stored = torch.zeros(2, *data.declaration.example_shape)
    assert present(resize(stored, image_size), presentation).shape[1:] == data.task().input_shape


@pytest.mark.parametrize("image_size", [7, 14, 20, 40])
def test_resizing_is_pillows_antialiased_bilinear(image_size):
    image = torch.rand(28, 28, generator=torch.Generator().manual_seed(0))
    pillow = Image.fromarray(image.numpy()).resize((image_size, image_size), Image.Resampling.BILINEAR)
    torch.testing.assert_close(
        resize(image[None, None], image_size)[0, 0], torch.from_numpy(np.array(pillow)), atol=1e-5, rtol=0
    )


def test_the_native_size_changes_nothing():
    images = torch.rand(3, 1, 8, 8)
    assert resize(images, None) is images
    assert resize(images, 8) is images
