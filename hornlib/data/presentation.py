"""Presentation of an example: the whole image at once, row by row, or pixel by pixel; and its size."""

import torch
from torch import Tensor

from hornlib.data.parameters import Presentation
from hornlib.randomness import generator

__all__ = ["pixel_order", "present", "resize"]


def pixel_order(num_pixels: int) -> Tensor:
    """Return the order of `permuted_pixels`, (num_pixels,): one fixed permutation, whatever seed or dataset."""
    return torch.randperm(num_pixels, generator=generator("presentation", "permuted_pixels", num_pixels))


def present(images: Tensor, presentation: Presentation) -> Tensor:
    """Return examples in the shape of `DataParameters.task`.

    Args:
        images: (examples, channels, height, width), or vectors (examples, features).
        presentation: image and vector change nothing; the others make a sequence.

    Returns:
        For rows (examples, height, channels width), with one channel after the other within a step; for pixels and
        permuted_pixels (examples, height width, channels).
    """
    match presentation:
        case "image" | "vector":
            return images
        case "rows":
            return images.transpose(1, 2).flatten(2)
        case "pixels":
            return images.flatten(2).transpose(1, 2).contiguous()
        case "permuted_pixels":
            pixels = images.flatten(2).transpose(1, 2)
            return pixels[:, pixel_order(pixels.shape[1]).to(images.device)]


def resize(images: Tensor, image_size: int | None) -> Tensor:
    """Return images (examples, channels, image_size, image_size), by anti-aliased bilinear interpolation.

    Args:
        images: (examples, channels, height, width).
        image_size: height and width of the result, pixels; None changes nothing.
    """
    if image_size is None or images.shape[-2:] == (image_size, image_size):
        return images
    return torch.nn.functional.interpolate(
        images, size=(image_size, image_size), mode="bilinear", antialias=True, align_corners=False
    )
