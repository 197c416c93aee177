# mypy: allow-untyped-defs
"""Fields of recurrent units on NVIDIA's GPUs: one program computes some planes of a channel over all steps.

A plane is one example's map of one channel. Its states stay in registers; field.py has the equations. A program has
several planes only where they are small, so that no thread is idle. The gradients of the constants are summed within
a program, then over the programs of a channel by torch, so that the result is the same at every call.

The forward pass keeps nothing. The backward pass computes the states again and writes those that it reads into a
buffer, (states, steps, batch, channels, height, width), which is freed at its end.

The 3x3 convolution shifts its source by a row up and down, adds up the columns of K, and shifts the columns. So it
takes 4 shifts instead of 8.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from hornlib.kernels.field import FieldConstants, FieldOptions

__all__ = ["backward", "backward_kernel", "forward", "forward_kernel", "launch_options"]

NUMBERS = ["batch", "channels", "steps"]
"""Arguments for whose values no code of its own is compiled: Triton would do so for 1 and for multiples of 16."""
SUMS = 12
"""Gradients that a program sums: of the 9 numbers of K, of carry, spring and scale."""


def forward(drive: Tensor, constants: FieldConstants, options: FieldOptions) -> Tensor:
    """Return the read-out of T steps, (batch, channels, height, width).

    Args:
        drive: u, (batch, channels, height, width), contiguous, float32 or float64.
        constants: of every channel, contiguous and of the same type.
        options: what is computed.
    """
    batch, channels, height, width = drive.shape
    result, launch = torch.empty_like(drive), launch_options(height, width, constants, options)
    tensors = (drive, _kernel(constants), *constants[1:], result)
    with torch.cuda.device_of(drive):  # Triton starts kernels on the present device
        forward_kernel[_grid(drive, launch)](*tensors, batch, channels, options.steps, **launch)
    return result


def backward(
    gradient: Tensor, drive: Tensor, constants: FieldConstants, options: FieldOptions, learned: bool
) -> tuple[Tensor, FieldConstants]:
    """Return the gradients of drive and constants, in their shapes.

    Args:
        gradient: that of the result, (batch, channels, height, width), contiguous.
        drive: as in `forward`.
        constants: as in `forward`.
        options: as in `forward`.
        learned: whether the gradients of carry, spring and scale are computed; otherwise they hold no numbers.
    """
    batch, channels, height, width = drive.shape
    coupled, of_drive = constants.kernel is not None, torch.empty_like(drive)
    launch = launch_options(height, width, constants, options)
    (programs,) = _grid(drive, launch)
    sums = drive.new_empty(programs // channels, channels, SUMS)
    states = drive.new_empty(3 if learned else 1 + coupled, options.steps, *drive.shape)
    tensors = (gradient, drive, _kernel(constants), *constants[1:], of_drive, sums, states)
    with torch.cuda.device_of(drive):
        backward_kernel[(programs,)](*tensors, batch, channels, options.steps, LEARNED=learned, **launch)
    of_kernel, *rest = sums.sum(0).split((9, 1, 1, 1), 1)
    return of_drive, FieldConstants(
        of_kernel.reshape(channels, 1, 3, 3) if coupled else None, *(part.flatten() for part in rest)
    )


def launch_options(
    height: int, width: int, constants: FieldConstants, options: FieldOptions
) -> dict[str, Any]:
    """Return the arguments of a kernel that are known when it is compiled, and the compiler's options.

    Args:
        height: pixels of a map.
        width: pixels of a map.
        constants: as in `forward`.
        options: as in `forward`.
    """
    padded = triton.next_power_of_2(height * width)
    planes = max(1, 64 // padded)
    # Up to 64 numbers are exchanged within a warp by few shuffles. More would take many, but several warps use the
    # shared memory.
    warps = 1 if padded <= 64 else max(2, padded // 128)
    return {
        "HEIGHT": height,
        "WIDTH": width,
        "PLANES": planes,
        "PIXELS": padded,
        "OUTPUT": options.output,
        "POSITION": options.recurrence_on == "position",
        "EXPLICIT": options.explicit,
        "COUPLED": constants.kernel is not None,
        "num_warps": warps,
        "enable_fp_fusion": True,
    }


def _grid(drive: Tensor, launch: dict[str, Any]) -> tuple[int]:
    """Return the number of programs: channels times blocks of planes."""
    return (drive.shape[1] * triton.cdiv(drive.shape[0], launch["PLANES"]),)


def _kernel(constants: FieldConstants) -> Tensor:
    """Return K, or any tensor in its place where there is none, since it is not read then."""
    return constants.carry if constants.kernel is None else constants.kernel


@triton.jit
def _place(
    batch, channels, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, PLANES: tl.constexpr, PIXELS: tl.constexpr
):
    """Return the channel, offsets (PLANES x PIXELS,) into maps, and which of them are inside of the maps."""
    program = tl.program_id(0)
    place = tl.arange(0, PLANES * PIXELS)
    sample, pixel = (program // channels) * PLANES + place // PIXELS, place % PIXELS
    plane = sample.to(tl.int64) * channels + program % channels
    inside = (sample < batch) & (pixel < HEIGHT * WIDTH)
    return program % channels, plane * (HEIGHT * WIDTH) + pixel, inside


@triton.jit
def _neighbours(HEIGHT: tl.constexpr, WIDTH: tl.constexpr, PLANES: tl.constexpr, PIXELS: tl.constexpr):
    """Return the places, (PLANES x PIXELS,), of the pixels left, right, above and below, and whether they exist."""
    place = tl.arange(0, PLANES * PIXELS)
    pixel = place % PIXELS
    column, inside = pixel % WIDTH, pixel < HEIGHT * WIDTH
    has_left, has_right = inside & (column > 0), inside & (column < WIDTH - 1)
    has_above, has_below = inside & (pixel >= WIDTH), pixel < (HEIGHT - 1) * WIDTH
    left, right = tl.where(has_left, place - 1, 0), tl.where(has_right, place + 1, 0)
    above, below = tl.where(has_above, place - WIDTH, 0), tl.where(has_below, place + WIDTH, 0)
    return left, right, above, below, has_left, has_right, has_above, has_below


@triton.jit
def _convolve(above, x, below, k, at):
    """Return the convolution of x with k, 9 numbers row by row.

    `above` and `below` hold x at the pixels above and below; `at` are the neighbours.
    """
    left = k[0] * above + k[3] * x + k[6] * below
    right = k[2] * above + k[5] * x + k[8] * below
    middle = k[1] * above + k[4] * x + k[7] * below
    left = tl.where(at[4], tl.gather(left, at[0], 0), 0.0)
    right = tl.where(at[5], tl.gather(right, at[1], 0), 0.0)
    return middle + left + right


@triton.jit
def _load_kernel(kernel, channel, COUPLED: tl.constexpr):
    k = kernel + 9 * channel
    upper = (tl.load(k, COUPLED), tl.load(k + 1, COUPLED), tl.load(k + 2, COUPLED))
    middle = (tl.load(k + 3, COUPLED), tl.load(k + 4, COUPLED), tl.load(k + 5, COUPLED))
    return upper + middle + (tl.load(k + 6, COUPLED), tl.load(k + 7, COUPLED), tl.load(k + 8, COUPLED))


@triton.jit
def _force(drive, k, read, at, COUPLED: tl.constexpr):
    """Return tanh(u + K * r) as 2 sigma(2 a) - 1."""
    if COUPLED:
        above = tl.where(at[6], tl.gather(read, at[2], 0), 0.0)
        below = tl.where(at[7], tl.gather(read, at[3], 0), 0.0)
        drive += _convolve(above, read, below, k, at)
    return 2 / (1 + tl.exp(-2 * drive)) - 1


@triton.jit
def _read_out(total, v, p, OUTPUT: tl.constexpr):
    if OUTPUT == "sum":
        result = total
    elif OUTPUT == "position":
        result = p
    else:
        result = v
    return result


@triton.jit(do_not_specialize=NUMBERS)
def forward_kernel(
    drives,
    kernel,
    carries,
    springs,
    scales,
    results,
    batch,
    channels,
    steps,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    PLANES: tl.constexpr,
    PIXELS: tl.constexpr,
    OUTPUT: tl.constexpr,
    POSITION: tl.constexpr,
    EXPLICIT: tl.constexpr,
    COUPLED: tl.constexpr,
):
    """Compute results, (batch, channels, height, width)."""
    channel, offsets, inside = _place(batch, channels, HEIGHT, WIDTH, PLANES, PIXELS)
    carry, spring, scale = tl.load(carries + channel), tl.load(springs + channel), tl.load(scales + channel)
    k = _load_kernel(kernel, channel, COUPLED)
    at = _neighbours(HEIGHT, WIDTH, PLANES, PIXELS)
    drive = tl.load(drives + offsets, mask=inside, other=0.0)
    v = tl.zeros_like(drive)
    p = tl.zeros_like(drive)
    total = tl.zeros_like(drive)
    for _ in range(steps):
        before = v
        v = _force(drive, k, p if POSITION else v, at, COUPLED) + carry * v - spring * p
        p += before if EXPLICIT else v
        total += p
    tl.store(results + offsets, scale * _read_out(total, v, p, OUTPUT), mask=inside)


@triton.jit(do_not_specialize=NUMBERS)
def backward_kernel(
    gradients,
    drives,
    kernel,
    carries,
    springs,
    scales,
    of_drives,
    sums,
    states,
    batch,
    channels,
    steps,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    PLANES: tl.constexpr,
    PIXELS: tl.constexpr,
    OUTPUT: tl.constexpr,
    POSITION: tl.constexpr,
    EXPLICIT: tl.constexpr,
    COUPLED: tl.constexpr,
    LEARNED: tl.constexpr,
):
    """Compute of_drives, (batch, channels, height, width), and sums, (programs, 12).

    The buffer `states` gets the force of every step, then the state before the step that K reads, then the other one.
    """
    channel, offsets, inside = _place(batch, channels, HEIGHT, WIDTH, PLANES, PIXELS)
    carry, spring, scale = tl.load(carries + channel), tl.load(springs + channel), tl.load(scales + channel)
    k = _load_kernel(kernel, channel, COUPLED)
    at = _neighbours(HEIGHT, WIDTH, PLANES, PIXELS)
    drive = tl.load(drives + offsets, mask=inside, other=0.0)
    gradient = tl.load(gradients + offsets, mask=inside, other=0.0)
    size = batch.to(tl.int64) * channels * (HEIGHT * WIDTH)
    forces = states + offsets
    reads = forces + steps * size
    others = reads + steps * size

    v = tl.zeros_like(drive)
    p = tl.zeros_like(drive)
    total = tl.zeros_like(drive)
    for t in range(steps):
        force = _force(drive, k, p if POSITION else v, at, COUPLED)
        tl.store(forces + t * size, force, mask=inside)
        if COUPLED or LEARNED:
            tl.store(reads + t * size, p if POSITION else v, mask=inside)
        if LEARNED:
            tl.store(others + t * size, v if POSITION else p, mask=inside)
        before = v
        v = force + carry * v - spring * p
        p += before if EXPLICIT else v
        total += p
    tl.debug_barrier()  # the states may be read by other threads than those that wrote them

    place = sums + tl.program_id(0).to(tl.int64) * 12
    if LEARNED:
        tl.store(place + 11, tl.sum(gradient * _read_out(total, v, p, OUTPUT)))
    gradient = tl.where(inside, scale * gradient, tl.zeros_like(gradient))
    of_v = gradient if OUTPUT == "velocity" else tl.zeros_like(drive)
    of_p = gradient if OUTPUT == "position" else tl.zeros_like(drive)
    of_drive = tl.zeros_like(drive)
    of_carry = tl.zeros_like(drive)
    of_spring = tl.zeros_like(drive)
    zeros = tl.zeros_like(drive)
    of_k = (zeros, zeros, zeros, zeros, zeros, zeros, zeros, zeros, zeros)
    for step in range(steps):
        t = steps - 1 - step
        if OUTPUT == "sum":
            of_p += gradient
        force = tl.load(forces + t * size, mask=inside, other=0.0)
        arriving = of_v if EXPLICIT else of_v + of_p
        adjoint = arriving * (1 - force * force)
        of_drive += adjoint
        of_v = carry * arriving + of_p if EXPLICIT else carry * arriving
        of_p -= spring * arriving
        if COUPLED or LEARNED:
            read = tl.load(reads + t * size, mask=inside, other=0.0)
        if LEARNED:
            other = tl.load(others + t * size, mask=inside, other=0.0)
            of_carry += arriving * (other if POSITION else read)
            of_spring -= arriving * (read if POSITION else other)
        if COUPLED:
            above = tl.where(at[6], tl.gather(adjoint, at[2], 0), 0.0)
            below = tl.where(at[7], tl.gather(adjoint, at[3], 0), 0.0)
            left = tl.where(at[4], tl.gather(read, at[0], 0), 0.0)
            right = tl.where(at[5], tl.gather(read, at[1], 0), 0.0)
            upper = (of_k[0] + below * left, of_k[1] + below * read, of_k[2] + below * right)
            middle = (of_k[3] + adjoint * left, of_k[4] + adjoint * read, of_k[5] + adjoint * right)
            lower = (of_k[6] + above * left, of_k[7] + above * read, of_k[8] + above * right)
            of_k = upper + middle + lower
            reversed_k = (k[8], k[7], k[6], k[5], k[4], k[3], k[2], k[1], k[0])
            reached = _convolve(above, adjoint, below, reversed_k, at)
            if POSITION:
                of_p += reached
            else:
                of_v += reached
    tl.store(of_drives + offsets, of_drive, mask=inside)
    if COUPLED:
        for j in tl.static_range(9):
            tl.store(place + j, tl.sum(of_k[j]))
    if LEARNED:
        tl.store(place + 9, tl.sum(of_carry))
        tl.store(place + 10, tl.sum(of_spring))
