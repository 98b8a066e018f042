"""External sort of a layer into spatial order, in memory that does not grow with the layer.

Pass 1 appends batches to an Arrow file in delivery order. `order` sorts all rows by Hilbert
code (8 bytes of memory for each row) and `groups` cuts them into row groups. Pass 2 distributes
the rows to one file for each partition of consecutive groups, then sorts partitions one by one
in memory. A layer that fits one partition is sorted at once. Files are read and written
sequentially.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geo_assets.kernels.hilbert import hilbert_codes

PARTITION_BYTES = 64 << 20
"""Bytes of Arrow data that are sorted in memory at once, if a row group has no more."""
GROUP_ROWS = 100_000
"""Rows that a row group aims at: groups get 50,000 to 150,000, small layers a single one."""
GROUP_BYTES = 96 << 20
"""Mean bytes of Arrow data that a row group has at most: features above 2 KB make smaller ones."""
_ROW_BITS = np.uint64(32)
_ROW_MASK = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One row group to be: rows `start` to `stop` of the order, and their bytes."""

    start: int
    stop: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What a stretch of the order holds."""

    start: int
    stop: int
    bounds: tuple[float, ...]
    """x min, y min, x max, y max; NaN where nothing has a place."""
    kinds: tuple[int, ...]
    """The codes of the geometry types that occur."""


class Spill:
    """The scratch files of one layer, in a folder of their own.

    Args:
        folder: An existing empty folder.
        schema: The columns of every batch.
        box: Name of the bounding box column that the order comes from.
    """

    def __init__(self, folder: Path, schema: pa.Schema, box: str) -> None:
        self._folder = folder
        self._schema = schema
        self._box = box
        self._path = folder / "delivered.arrow"
        self._writer: Any = pa.ipc.new_file(self._path, schema)
        self._sizes: list[NDArray[np.uint32]] = []
        self._kinds: list[NDArray[np.uint8]] = []
        self.rows = 0
        self.bounds = (np.inf, np.inf, -np.inf, -np.inf)

    def add(
        self, batch: pa.RecordBatch, bounds: NDArray[np.float64], kinds: NDArray[np.uint8]
    ) -> None:
        """Append rows.

        Args:
            batch: The rows, with the bounding box column.
            bounds: Shape (n, 4), NaN for features without a place.
            kinds: Shape (n,), a small code of each geometry's type, for `Span`.
        """
        if not batch.num_rows:
            return
        self._writer.write_batch(batch)
        self._kinds.append(kinds)
        mean = max(1, batch.nbytes // batch.num_rows)
        self._sizes.append(_row_sizes(batch, mean))
        self.rows += batch.num_rows
        if np.isfinite(bounds).any():
            low, high = np.nanmin(bounds[:, :2], axis=0), np.nanmax(bounds[:, 2:], axis=0)
            self.bounds = (
                min(self.bounds[0], float(low[0])), min(self.bounds[1], float(low[1])),
                max(self.bounds[2], float(high[0])), max(self.bounds[3], float(high[1])),
            )  # fmt: skip

    def close(self) -> None:
        """End pass 1."""
        self._writer.close()

    def column(self, name: str) -> Iterator[pa.Array]:
        """One column of all rows in delivery order, batch by batch; reads nothing else."""
        for batch in _batches(self._path, self._schema, name):
            yield batch.column(0)

    def values(self, name: str, positions: NDArray[np.int64]) -> NDArray[Any]:
        """Values of a column without nulls at ascending positions."""
        found, at = [], 0
        for part in self.column(name):
            here = positions[(positions >= at) & (positions < at + len(part))] - at
            found.append(part.to_numpy(zero_copy_only=False)[here])
            at += len(part)
        return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)

    def order(self, drop: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Row positions in spatial order, without those in `drop` (8 bytes a row)."""
        keys = np.empty(self.rows, dtype=np.uint64)
        at = 0
        for box in self.column(self._box):
            edges = [box.field(i).to_numpy(zero_copy_only=False) for i in range(4)]
            missing = ~box.is_valid().to_numpy(zero_copy_only=False)
            x, y = (edges[0] + edges[2]) / 2, (edges[1] + edges[3]) / 2
            x[missing] = np.nan
            keys[at : at + len(box)] = hilbert_codes(x, y, self.bounds)
            at += len(box)
        keys <<= _ROW_BITS
        keys |= np.arange(self.rows, dtype=np.uint64)
        if len(drop):
            keys = np.delete(keys, drop)
        keys.sort()
        keys &= _ROW_MASK
        return keys

    def groups(self, order: NDArray[np.uint64]) -> list[Group]:
        """Cut the order into row groups."""
        if not len(order):
            return []
        sizes = np.concatenate(self._sizes)
        total = int(sizes.sum(dtype=np.uint64))
        count = max(1, round(len(order) / GROUP_ROWS), -(-total // GROUP_BYTES))
        rows = -(-len(order) // count)
        found: list[Group] = []
        for first in range(0, len(order), rows):
            ends = np.cumsum(sizes[order[first : first + rows]], dtype=np.uint64)
            found += _cut(first, ends)
        return found

    def spans(self, order: NDArray[np.uint64], cuts: list[tuple[int, int]]) -> list[Span]:
        """What the stretches `cuts` of the order hold: kinds of geometry, and bounds."""
        kinds = np.concatenate(self._kinds) if self._kinds else np.zeros(0, dtype=np.uint8)
        home = np.full(self.rows, -1, dtype=np.int32)
        for number, (start, stop) in enumerate(cuts):
            home[order[start:stop]] = number
        boxes = np.full((len(cuts), 4), np.nan)
        at = 0
        for box in self.column(self._box):
            edges = np.column_stack([box.field(i).to_numpy(zero_copy_only=False) for i in range(4)])
            edges[~box.is_valid().to_numpy(zero_copy_only=False)] = np.nan
            here = home[at : at + len(box)]
            at += len(box)
            for number in np.unique(here[here >= 0]):
                rows = edges[here == number]
                np.fmin(boxes[number, :2], np.fmin.reduce(rows[:, :2]), out=boxes[number, :2])
                np.fmax(boxes[number, 2:], np.fmax.reduce(rows[:, 2:]), out=boxes[number, 2:])
        return [
            Span(start=start, stop=stop, bounds=tuple(map(float, boxes[number])),
                 kinds=tuple(map(int, np.unique(kinds[order[start:stop]]))))
            for number, (start, stop) in enumerate(cuts)
        ]  # fmt: skip

    def sorted_tables(self, order: NDArray[np.uint64], groups: list[Group]) -> Iterator[pa.Table]:
        """Pass 2: the rows of each group, in order."""
        partitions = _partitions(groups)
        if len(partitions) == 1:
            table = pa.Table.from_batches(_batches(self._path, self._schema)).combine_chunks()
            self._path.unlink()
            for group in groups:
                yield table.take(pa.array(order[group.start : group.stop]))
            return
        files = self._distribute(order, partitions)
        for path, members in zip(files, partitions, strict=True):
            table = pa.Table.from_batches(_batches(path, self._tagged))
            rows = table.column(_ROW).to_numpy()
            table = table.drop_columns([_ROW]).combine_chunks()
            path.unlink()
            for group in members[:-1]:
                wanted = np.searchsorted(rows, order[group.start : group.stop])
                yield table.take(pa.array(wanted))
            # The last group takes the place of its partition, so that at most two are held.
            wanted = np.searchsorted(rows, order[members[-1].start : members[-1].stop])
            table = table.take(pa.array(wanted))
            yield table
            del table

    @property
    def _tagged(self) -> pa.Schema:
        return self._schema.append(pa.field(_ROW, pa.uint64()))

    def _distribute(self, order: NDArray[np.uint64], partitions: list[list[Group]]) -> list[Path]:
        """Write each partition's rows to a file of its own, in delivery order."""
        home = np.full(self.rows, -1, dtype=np.int32)
        for number, members in enumerate(partitions):
            home[order[members[0].start : members[-1].stop]] = number
        paths = [
            self._folder / f"partition-{number:05d}.arrow" for number in range(len(partitions))
        ]
        writers = [pa.ipc.new_file(path, self._tagged) for path in paths]
        at = 0
        for batch in _batches(self._path, self._schema):
            here = home[at : at + batch.num_rows]
            for number in np.unique(here[here >= 0]):
                picked = np.flatnonzero(here == number)
                part = batch.take(pa.array(picked))
                tag = pa.array((picked + at).astype(np.uint64))
                writers[number].write_batch(
                    pa.RecordBatch.from_arrays([*part.columns, tag], schema=self._tagged)
                )
            at += batch.num_rows
        for writer in writers:
            writer.close()
        self._path.unlink()
        return paths


_ROW = "__row"


def _batches(path: Path, schema: pa.Schema, only: str | None = None) -> Iterator[pa.RecordBatch]:
    """Batches of an Arrow file, read (not memory-mapped) so that memory is what is held."""
    fields = None if only is None else [schema.get_field_index(only)]
    options = pa.ipc.IpcReadOptions(included_fields=fields)
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file, options=options) as reader:
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)


def _row_sizes(batch: pa.RecordBatch, mean: int) -> NDArray[np.uint32]:
    """Bytes of each row: its geometry, plus the mean of the rest."""
    sizes = np.zeros(batch.num_rows, dtype=np.int64)
    binary = [column for column in batch.columns if pa.types.is_binary(column.type)]
    for column in binary:
        lengths = pc.fill_null(pc.binary_length(column), 0)
        sizes += lengths.to_numpy(zero_copy_only=False)
    rest = max(0, mean - int(sizes.sum()) // batch.num_rows)
    limited: NDArray[np.uint32] = np.minimum(sizes + rest, 0xFFFFFFFF).astype(np.uint32)
    return limited


def _cut(first: int, ends: NDArray[np.uint64]) -> list[Group]:
    """Groups of one stretch of rows, ended early where bytes run over."""
    groups = []
    start, base = 0, 0
    while start < len(ends):
        # Twice the bytes are tolerated, so that a group a little above the mean stays whole.
        stop = int(np.searchsorted(ends, base + 2 * GROUP_BYTES, side="right"))
        stop = min(max(stop, start + 1), len(ends))
        groups.append(
            Group(start=first + start, stop=first + stop, size=int(ends[stop - 1]) - base)
        )
        start, base = stop, int(ends[stop - 1])
    return groups


def _partitions(groups: list[Group]) -> list[list[Group]]:
    """Runs of consecutive groups of at most `PARTITION_BYTES`, at least one group each."""
    runs: list[list[Group]] = []
    filled = 0
    for group in groups:
        if not runs or filled + group.size > PARTITION_BYTES:
            runs.append([])
            filled = 0
        runs[-1].append(group)
        filled += group.size
    return runs
