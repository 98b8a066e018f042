"""Which parts of two layers a join reads: row groups by their boxes, and columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from geo_assets.kernels.join_layer import Layer, parse_crs
from geo_assets.kernels.join_spec import JoinRule, JoinSide
from geo_assets.kernels.label_grid import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What is read of one file."""

    side: JoinSide
    """The side, with the row groups that may have a partner."""
    spans: tuple[tuple[int, int], ...]
    """First byte and byte after the last of each column chunk that is read."""


def plan_reads(
    left: Sequence[JoinSide], right: JoinSide, rule: JoinRule
) -> tuple[list[Reads], Reads]:
    """What a join reads of its files; looks at footers only.

    A row group is left out where its features cannot have a partner: the box around it, as the
    statistics of the covering column tell it, is away from the boxes of all row groups of the
    other side. Nothing is left out where that is not known: without a covering column, where a
    feature has no box, in another CRS than the join's, for the nearest at any distance.

    Args:
        left: The files of the left layer.
        right: The right layer.
        rule: What is joined.

    Raises:
        InputError: A file is not usable GeoParquet, or in another CRS than declared.
    """
    sides = [*left, right]
    layers = [Layer.open(side) for side in sides]
    boxes = [_group_boxes(layer, rule) for layer in layers]
    around = np.concatenate([np.zeros((0, 4)), *boxes[:-1]])
    far = rule.distance or (rule.max_distance or np.inf if rule.predicate == "nearest" else 0.0)
    kept = [range(len(box)) if rule.how == "left" else _near(box, boxes[-1], far)
            for box in boxes[:-1]]  # fmt: skip
    reads = [
        Reads(side=replace(side, groups=tuple(groups)),
              spans=_spans(layer, _left_columns(layer, side, rule), groups))
        for side, layer, groups in zip(left, layers[:-1], kept, strict=True)
    ]  # fmt: skip
    return reads, _right(layers[-1], right, rule, _near(boxes[-1], around, far))


def _right(layer: Layer, side: JoinSide, rule: JoinRule, groups: Sequence[int]) -> Reads:
    """The geometry where there may be a partner; of an aggregate the rest of every zone."""
    others = [*layer.attributes(side)]
    if rule.right_key is not None:
        others.append(rule.right_key)
    every = range(len(layer.groups) - 1) if rule.how == "aggregate" else groups
    spans = _spans(layer, others, every)
    spans += _spans(layer, [layer.geometry], every if rule.zone_geometry else groups)
    return Reads(side=replace(side, groups=tuple(groups)), spans=spans)


def _left_columns(layer: Layer, side: JoinSide, rule: JoinRule) -> list[str]:
    names = [layer.geometry] if layer.covering is None else [layer.geometry, layer.covering]
    if rule.how != "aggregate":
        return [*names, *layer.attributes(side)]
    return [*names, *(each.column for each in rule.statistics if each.column is not None)]


def _near(boxes: Array, others: Array, far: float) -> list[int]:
    """Positions of the boxes that are not farther away than `far` from all the others."""
    low, high = boxes[:, :2] - far * 1.000001, boxes[:, 2:] + far * 1.000001
    near = [
        bool(((others[:, :2] <= upper) & (others[:, 2:] >= lower)).all(axis=1).any())
        for lower, upper in zip(low, high, strict=True)
    ]
    return np.flatnonzero(near).tolist()


def _group_boxes(layer: Layer, rule: JoinRule) -> Array:
    """(groups, 4) a box that holds the features of each row group; infinite where not known."""
    footer = pq.read_metadata(layer.path)
    boxes = np.tile([-np.inf, -np.inf, np.inf, np.inf], (footer.num_row_groups, 1))
    here = layer.crs.equals(parse_crs(rule.crs, "the join"), ignore_axis_order=True)
    if layer.covering is None or not here:
        return boxes
    sides = [f"{layer.covering}.{name}" for name in ("xmin", "ymin", "xmax", "ymax")]
    for i in range(footer.num_row_groups):
        group = footer.row_group(i)
        columns = {(c := group.column(j)).path_in_schema: c for j in range(group.num_columns)}
        told: list[Any] = [columns[name].statistics if name in columns else None for name in sides]
        shape = columns[layer.geometry].statistics
        nulls = None if shape is None else shape.null_count
        if all(s is not None and s.has_min_max and s.null_count == nulls for s in told):
            ends = [s.min for s in told[:2]] + [s.max for s in told[2:]]
            boxes[i] = _outwards(ends, columns[sides[0]].physical_type)
    return boxes


def _outwards(ends: Sequence[float], kind: str) -> Array:
    """The box, a step larger where its numbers were rounded."""
    if kind != "FLOAT":
        return np.asarray(ends, float)
    away = np.array([-np.inf, -np.inf, np.inf, np.inf], np.float32)
    return np.nextafter(np.asarray(ends, np.float32), away).astype(float)


def _spans(
    layer: Layer, columns: Iterable[str], groups: Iterable[int]
) -> tuple[tuple[int, int], ...]:
    """Where the chunks of some columns of some row groups lie in the file."""
    footer, names = pq.read_metadata(layer.path), set(columns)
    spans = []
    for i in groups:
        group = footer.row_group(i)
        for column in (group.column(j) for j in range(group.num_columns)):
            if column.path_in_schema.split(".")[0] in names:
                first = column.dictionary_page_offset or column.data_page_offset
                start = min(first, column.data_page_offset)
                spans.append((start, start + column.total_compressed_size))
    return tuple(spans)
