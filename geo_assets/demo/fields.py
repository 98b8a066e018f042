"""Smooth random fields, drawn coarse once and stretched to any window of a raster."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Field: TypeAlias = NDArray[np.float32]
"""A square of values in row, column order."""


def fractal(rng: np.random.Generator, size: int, beta: float) -> Field:
    """A periodic `size` x `size` field with spectrum 1/f^`beta`, mean 0 and deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = 1.0
    phase = rng.random((size, size // 2 + 1)) * (2 * np.pi)
    field: NDArray[np.float64] = np.fft.irfft2(
        frequency ** (-beta / 2) * np.exp(1j * phase), s=(size, size)
    )
    field -= field.mean()
    unit: Field = (field / field.std()).astype(np.float32)
    return unit


def stretch(field: Field, rows: NDArray[np.int64], cols: NDArray[np.int64], size: int) -> Field:
    """Read a window of `field` stretched bilinearly over a raster of `size` x `size` pixels.

    Args:
        field: The coarse square.
        rows: Pixel rows of the window.
        cols: Pixel columns of the window.
        size: Edge of the raster in pixels.

    Returns:
        Values of shape (len(rows), len(cols)).
    """
    row, row_part = _position(rows, len(field), size)
    col, col_part = _position(cols, len(field), size)
    lines = field[row] * (1 - row_part)[:, None] + field[row + 1] * row_part[:, None]
    return np.asarray(lines[:, col] * (1 - col_part) + lines[:, col + 1] * col_part, np.float32)


def repeat(field: Field, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> Field:
    """Read a window of the plane tiled with the periodic `field`, one sample per pixel."""
    return field[rows % len(field)][:, cols % len(field)]


def _position(
    pixels: NDArray[np.int64], samples: int, size: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    place = (pixels + 0.5) * (samples - 1) / size
    whole = np.minimum(place.astype(np.int64), samples - 2)
    return whole, (place - whole).astype(np.float32)
