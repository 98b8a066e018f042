"""A GeoParquet file as one side of a join: its footer, its batches, its way into the join's CRS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from geo_assets.errors import ConfigError, InputError
from geo_assets.kernels.join_spec import JoinSide
from geo_assets.kernels.label_grid import Array

Project: TypeAlias = Callable[[Array, Array], tuple[Array, Array]]
"""x, y of the layer's CRS to x, y of the join's CRS."""

_BUFFER = 1 << 20
"""Bytes of a column that are read from the file at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What the footer of a GeoParquet file says."""

    path: Path
    geometry: str
    """Name of the primary geometry column."""
    crs: CRS
    schema: pa.Schema
    rows: int
    groups: tuple[int, ...]
    """First row of each row group, and the number of rows at the end."""
    types: frozenset[str]
    """Geometry types as the file states them; empty when it does not."""
    bbox: tuple[float, float, float, float] | None
    """Box of all features as the file states it."""
    covering: str | None
    """Name of the column with each feature's box: struct of xmin, ymin, xmax, ymax."""
    meta: dict[str, Any]
    """The `geo` metadata."""
    bytes_per_row: float
    """Uncompressed size of a row, as the footer states it."""
    kept: frozenset[int]
    """The row groups whose features may have a partner."""
    partial: bool
    """Pages are verified as they are read."""

    @classmethod
    def open(cls, side: JoinSide) -> Layer:
        """Read the footer.

        Raises:
            InputError: Not GeoParquet with WKB, or in another CRS than declared.
        """
        footer = pq.read_metadata(side.path)
        raw = (footer.metadata or {}).get(b"geo")
        if raw is None:
            raise InputError("A layer to join is GeoParquet", "a file without geo metadata",
                             side.path.name)  # fmt: skip
        meta = json.loads(raw)
        name = meta["primary_column"]
        column = meta["columns"][name]
        if column.get("encoding") != "WKB":
            raise InputError("Geometry to join is encoded as WKB", repr(column.get("encoding")),
                             side.path.name)  # fmt: skip
        sizes = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
        total = sum(footer.row_group(i).total_byte_size for i in range(footer.num_row_groups))
        box = column.get("bbox")
        covering = column.get("covering", {}).get("bbox", {}).get("xmin", [None])[0]
        return cls(
            path=side.path,
            geometry=name,
            crs=_crs(column, side),
            schema=footer.schema.to_arrow_schema(),
            rows=footer.num_rows,
            groups=tuple(int(n) for n in np.cumsum([0, *sizes])),
            types=frozenset(column.get("geometry_types", ())),
            bbox=(*box[:2], *box[len(box) // 2 :][:2]) if box else None,
            covering=covering,
            meta=meta,
            bytes_per_row=total / max(footer.num_rows, 1),
            kept=frozenset(range(len(sizes)) if side.groups is None else side.groups),
            partial=side.partial,
        )

    def attributes(self, side: JoinSide) -> tuple[str, ...]:
        """The attribute columns that the side keeps, in the order of the file or of the request.

        Raises:
            ConfigError: A column is asked for that the file does not have.
        """
        hidden = (self.geometry, self.covering)
        known = [name for name in self.schema.names if name not in hidden]
        if side.columns is None:
            return tuple(known)
        for name in side.columns:
            if name not in known:
                raise ConfigError("A join keeps columns that the layer has", repr(name),
                                  self.path.name, f"It has {', '.join(known)}.")  # fmt: skip
        return side.columns

    def batches(
        self, columns: Sequence[str], start: int, stop: int, size: int
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """(first row, batch) over the rows from `start` to `stop`, at most `size` at once.

        Row groups that are not kept are left out.

        Raises:
            InputError: Parts of the file that were fetched alone are damaged.
        """
        with self.reading() as file:
            for i, (first, after) in enumerate(pairwise(self.groups)):
                if after <= start or first >= stop or i not in self.kept:
                    continue
                row = first
                for batch in file.iter_batches(size, [i], list(columns), use_threads=False):
                    low, high = max(start, row), min(stop, row + batch.num_rows)
                    if low < high:
                        yield low, batch.slice(low - row, high - low)
                    row += batch.num_rows
                    if row >= stop:
                        break

    def geometries(self, size: int) -> Iterator[tuple[int, pa.Array]]:
        """(first row, WKB) over all rows, at most `size` at once; null in groups not kept."""
        for i, (first, after) in enumerate(pairwise(self.groups)):
            if i in self.kept:
                for row, batch in self.batches([self.geometry], first, after, size):
                    yield row, batch.column(0)
                continue
            for row in range(first, after, size):
                nulls = pa.nulls(min(size, after - row), self.schema.field(self.geometry).type)
                yield row, nulls

    @contextmanager
    def reading(self) -> Iterator[pq.ParquetFile]:
        """The open file."""
        with pq.ParquetFile(self.path, pre_buffer=False, buffer_size=_BUFFER,
                            page_checksum_verification=self.partial) as file:  # fmt: skip
            try:
                yield file
            except OSError as error:
                if not self.partial:
                    raise
                raise InputError("Parts of a layer arrive as they were written", str(error),
                                 self.path.name, "Run again; else materialize it again.",
                                 ) from None  # fmt: skip

    def projection(self, target: str) -> tuple[Project | None, dict[str, Any]]:
        """How coordinates get to the CRS `target`, and facts about it; None: they are there."""
        to = parse_crs(target, "the join")
        if self.crs.equals(to, ignore_axis_order=True):
            return None, {"operation": "none"}
        transformer = Transformer.from_crs(self.crs, to, always_xy=True)
        facts = {"operation": transformer.description, "accuracy_m": transformer.accuracy}

        def project(x: Array, y: Array) -> tuple[Array, Array]:
            return transformer.transform(x, y)

        return project, facts


def parse_crs(text: str, where: str) -> CRS:
    """A CRS from anything PROJ reads.

    Raises:
        ConfigError: PROJ does not read it.
    """
    try:
        return _parsed(text)
    except CRSError as error:
        raise ConfigError("A CRS is something PROJ reads", repr(text), where, str(error)) from None


@lru_cache(maxsize=16)
def _parsed(text: str) -> CRS:
    """A CRS; PROJ takes 20 ms to read one."""
    return CRS.from_user_input(text)


def _crs(column: dict[str, Any], side: JoinSide) -> CRS:
    where = side.path.name
    # The standard's default for a missing key is OGC:CRS84; an explicit null is "unknown".
    stated = column.get("crs", "OGC:CRS84")
    declared = None if side.crs is None else parse_crs(side.crs, where)
    if stated is None:
        if declared is None:
            raise InputError("A layer to join has a CRS", "a file that says it is unknown", where,
                             "Declare the layer's crs.")  # fmt: skip
        return declared
    own = _parsed(json.dumps(stated) if isinstance(stated, dict) else stated)
    if declared is not None and not own.equals(declared, ignore_axis_order=True):
        raise InputError("A layer is in its declared CRS", f"{own.name}, declared {declared.name}",
                         where, "Correct the declaration or reproject the layer.")  # fmt: skip
    return own


def read_columns(layer: Layer, columns: Sequence[str], groups: Sequence[int]) -> pa.Table:
    """Some columns of some row groups, in memory."""
    with layer.reading() as file:
        return file.read_row_groups(list(groups), list(columns), use_threads=False)


def hand_back() -> None:
    """Give Arrow's unused memory back to the system, so that a worker rests small."""
    pa.default_memory_pool().release_unused()
