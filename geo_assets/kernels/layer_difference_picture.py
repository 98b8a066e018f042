"""Comparing two versions of a layer, and drawing what is other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from geo_assets.kernels.layer_difference import LayerDifferenceSpec
from geo_assets.kernels.svg_map import RED, Frame, density_paths, svg_document
from geo_assets.kernels.vector_preview import boxes_of, frame_of, layer_svg
from geo_assets.model import KernelResult
from geo_assets.rules.batches import read_batches

_ROWS = 32_768
_DOTS = 60
_MARK_BYTES = 2500
_COLOURS = {"added": "#2a9d8f", "removed": RED, "changed": "#d98e32"}
_WORDS = {"added": "new", "removed": "gone", "changed": "changed", "same": "the same"}


@dataclass(frozen=True, slots=True)
class _Features:
    """One version: a feature in each row, in any order."""

    keys: NDArray[np.uint64]
    """Unique."""
    hashes: NDArray[np.uint64]
    rows: NDArray[np.int64]
    """The first row of each key."""
    boxes: NDArray[np.float64]


def compare(spec: LayerDifferenceSpec) -> KernelResult:
    """Compare and draw; see `geo_assets.kernels.layer_difference.layer_difference`."""
    before, now = _features(spec.before, spec.key), _features(spec.now, spec.key)
    _, old, new = np.intersect1d(before.keys, now.keys, assume_unique=True, return_indices=True)
    other = before.hashes[old] != now.hashes[new]
    boxes = {
        "added": now.boxes[np.delete(now.rows, new)],
        "removed": before.boxes[np.delete(before.rows, old)],
        "changed": now.boxes[now.rows[new[other]]],
    }
    counts = {name: len(found) for name, found in boxes.items()} | {"same": int((~other).sum())}
    told = ", ".join(f"{number:,} {_WORDS[name]}" for name, number in counts.items() if number)
    alt = f"{spec.title}: {told or 'no'} features"
    frame = frame_of(np.concatenate([before.boxes, now.boxes]))
    svg = svg_document(480, 40, alt, "")
    if frame is not None:
        marks = "".join(_marks(found, frame, _COLOURS[name]) for name, found in boxes.items())
        svg = layer_svg(spec.now, now.boxes, frame, alt, marks)
    return KernelResult(facts={**counts, "svg": svg, "alt": alt})


def _features(paths: Sequence[Path], key: str | None) -> _Features:
    keys, hashes = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    for path in paths:
        with pq.ParquetFile(path) as file:
            names = _comparable(file.schema_arrow)
            for batch in read_batches(file, _ROWS, names):
                frame = batch.to_pandas()
                hashes.append(_hashed(frame))
                keys.append(hashes[-1] if key is None else _hashed(frame[[key]]))
    unique, rows, place = np.unique(np.concatenate(keys), return_index=True, return_inverse=True)
    # Rows of one key count as one feature, whatever their order.
    summed = np.zeros(len(unique), np.uint64)
    np.add.at(summed, place, np.concatenate(hashes))
    return _Features(unique, summed, rows, boxes_of(paths))


def _comparable(schema: pa.Schema) -> list[str]:
    """Columns in one order, without those of lists and structures, such as the covering."""
    return sorted(field.name for field in schema if not pa.types.is_nested(field.type))


def _hashed(frame: pd.DataFrame) -> NDArray[np.uint64]:
    hashed: NDArray[np.uint64] = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    return hashed


def _marks(boxes: NDArray[np.float64], frame: Frame, colour: str) -> str:
    """A few features as dots, many as squares of where they are."""
    known = boxes[np.isfinite(boxes).all(axis=1)]
    if not len(known):
        return ""
    if len(known) <= _DOTS:
        pixels = frame.pixels((known[:, :2] + known[:, 2:]) / 2)
        dots = "".join(f"M{x:.0f} {y:.0f}h0" for x, y in pixels)
        return f'<path d="{dots}" stroke="{colour}" stroke-width="8" stroke-linecap="round"/>'
    data, cell = "", 4.0
    while not data or len(data) > _MARK_BYTES:
        cell *= 1.5
        data = "".join(density_paths(known, frame, cell, classes=1))
    return f'<path d="{data}" stroke="{colour}" stroke-width="{cell:g}" stroke-opacity=".75"/>'
