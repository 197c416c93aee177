"""How an example reaches a network: at once, or an image row by row, or pixel by pixel; and at which size."""

import torch
from torch import Tensor

from hornlib.data.parameters import Presentation
from hornlib.randomness import generator

__all__ = ["pixel_order", "present", "resize"]


def pixel_order(num_pixels: int) -> Tensor:
    """Return the order of `permuted_pixels`: one for each number of pixels, whatever seed or dataset."""
    return torch.randperm(num_pixels, generator=generator("presentation", "permuted_pixels", num_pixels))


def present(images: Tensor, presentation: Presentation) -> Tensor:
    """Return (examples, channels, height, width) images in the shape of `DataParameters.task`.

    image, and vectors (examples, features): unchanged; rows: (examples, height, channels x width), channel after
    channel within a step; pixels and permuted_pixels: (examples, height x width, channels).
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
    """Return images at `image_size` squared, by anti-aliased bilinear interpolation; None: unchanged."""
    if image_size is None or images.shape[-2:] == (image_size, image_size):
        return images
    return torch.nn.functional.interpolate(
        images, size=(image_size, image_size), mode="bilinear", antialias=True, align_corners=False
    )
