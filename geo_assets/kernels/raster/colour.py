"""From values to colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_RAMP = np.array(
    [(68, 1, 84), (70, 50, 127), (54, 92, 141), (39, 127, 142), (31, 161, 135), (74, 194, 109),
     (159, 218, 58), (253, 231, 37)]
)  # fmt: skip
"""Eight colours of viridis: even steps of lightness, also for colour-blind eyes."""
_BINS = 16

# Brightness at which the middle of a scene is shown, and the most that shadows are lifted for it.
_MIDDLE = 0.42
_LEAST_GAMMA = 0.4
# Pixels that are bright in every band and have no colour: clouds, snow, paper.
_WHITE = 0.55
_COLOURLESS = 0.25
_FEWEST_OTHERS = 0.03


@dataclass(slots=True)
class Layer:
    """One band to be drawn.

    Args:
        values: Shape (height, width).
        valid: Shape (height, width): True where a pixel has data.
        table: Colours by value; None stretches the values.
        plain: Values are brightness already.
        name: For the text.
    """

    values: NDArray[Any]
    valid: NDArray[np.bool_]
    table: Mapping[int, tuple[int, ...]] | None
    plain: bool
    name: str

    def blank(self, height: int, width: int) -> Layer:
        """A layer of the same kind without data."""
        values = np.zeros((height, width), dtype=self.values.dtype)
        return Layer(values, np.zeros((height, width), bool), self.table, self.plain, self.name)

    def place(self, part: Layer, top: int, left: int) -> None:
        """Lay a part over this layer where the part has data."""
        height, width = self.values.shape
        rows, columns = (
            slice(top, min(height, top + part.values.shape[0])),
            slice(left, min(width, left + part.values.shape[1])),
        )
        inner = (slice(rows.stop - rows.start), slice(columns.stop - columns.start))
        valid = part.valid[inner]
        self.values[rows, columns][valid] = part.values[inner][valid]
        self.valid[rows, columns] |= valid


def paint(layers: list[Layer]) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """Red, green, blue and alpha, shape (4, height, width), and the numbers of each band."""
    numbers = [_numbers(layer) for layer in layers]
    first = layers[0]
    colours: NDArray[Any]
    if first.table is not None:
        colours = _from_table(first)
    elif len(layers) >= 3:
        colours = _composite(layers[:3], numbers)
    else:
        place = _stretch(first, numbers[0]) * (len(_RAMP) - 1)
        low = np.minimum(place.astype(int), len(_RAMP) - 2)
        mixed = _RAMP[low] + (place - low)[..., None] * (_RAMP[low + 1] - _RAMP[low])
        colours = np.moveaxis(mixed, -1, 0)
    alpha = np.any([layer.valid for layer in layers[:3]], axis=0)
    shown = np.zeros((4, *alpha.shape), np.uint8)
    np.copyto(shown[:3], colours, casting="unsafe", where=alpha)
    shown[3] = np.where(alpha, np.uint8(255), np.uint8(0))
    return shown, numbers


def thin(colours: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """Every `step`-th pixel from the middle of each square."""
    half = step // 2
    return np.ascontiguousarray(colours[:, half::step, half::step])


def _numbers(layer: Layer) -> dict[str, Any]:
    values = layer.values[layer.valid].astype(float)
    if not values.size:
        return {"name": layer.name, "low": None, "high": None, "histogram": [0] * _BINS}
    low, high = np.percentile(values, (2, 98)).tolist()
    share = (np.clip(values, low, high) - low) / ((high - low) or 1)
    counts = np.bincount(np.minimum((share * _BINS).astype(int), _BINS - 1), minlength=_BINS)
    return {"name": layer.name, "low": low, "high": high, "histogram": counts.tolist()}


def _composite(layers: list[Layer], numbers: list[dict[str, Any]]) -> NDArray[np.float64]:
    """Three bands as red, green and blue, 0 to 255, with shadows lifted for all three alike.

    A few bright clouds take most of a stretch and leave the land in the dark: the exponent that
    brings the median brightness of what is not white to the middle shows it again. It is never
    above 1, so no scene gets darker.
    """
    shares = np.empty((len(layers), *layers[0].values.shape))
    for share, band, told in zip(shares, layers, numbers, strict=False):
        share[:] = _stretch(band, told)
    seen = np.any([layer.valid for layer in layers], axis=0)
    if not layers[0].plain and seen.any():
        low, high = shares.min(axis=0)[seen], shares.max(axis=0)[seen]
        others = ~((low > _WHITE) & (high - low < _COLOURLESS))
        brightness = shares.mean(axis=0)[seen]
        if others.mean() > _FEWEST_OTHERS:
            brightness = brightness[others]
        middle = float(np.clip(np.median(brightness), 0.01, 0.99))
        gamma = float(np.clip(np.log(_MIDDLE) / np.log(middle), _LEAST_GAMMA, 1.0))
        np.power(shares, gamma, out=shares)  # in place: a map's picture has millions of pixels
    shares *= 255
    return shares


def _stretch(layer: Layer, numbers: Mapping[str, Any]) -> NDArray[np.float64]:
    """The values from 0 at their 2nd to 1 at their 98th percentile."""
    if layer.plain:
        return layer.values.astype(float) / 255
    if numbers["low"] is None:
        return np.zeros(layer.values.shape)
    low, high = numbers["low"], numbers["high"]
    if not high > low:
        return np.full(layer.values.shape, 0.5)
    share: NDArray[np.float64] = np.where(layer.valid, layer.values, low).astype(float)
    share -= low
    share /= high - low
    return np.clip(share, 0, 1, out=share)


def _from_table(layer: Layer) -> NDArray[np.uint8]:
    assert layer.table is not None
    table = np.zeros((65536, 3), dtype=np.uint8)
    for value, colour in layer.table.items():
        table[value] = colour[:3]
    picked: NDArray[np.uint8] = np.moveaxis(table[layer.values.astype(np.int64)], -1, 0)
    return picked
