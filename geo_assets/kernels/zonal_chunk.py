"""The statistics of one group of zones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import exactextract
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from exactextract.feature import Feature, FeatureSource
from exactextract.operation import Operation
from exactextract.raster import RasterSource
from exactextract.writer import Writer
from numpy.typing import NDArray

from geo_assets.kernels.spool import Spool
from geo_assets.kernels.zonal import STATISTICS, ZonalChunk
from geo_assets.kernels.zonal_raster import BlockReader, Pixels
from geo_assets.model import PARQUET, KernelResult, OutputFile

ROW = "__row"
"""Position of the zone in its layer."""
_ROWS = 4096  # a row group: what the merge holds of each chunk
_COUNT = "__count_"
_VALUES = ("min", "max", "majority", "mode", "minority")

Answer: TypeAlias = dict[str, Any]
"""Results of one zone by column."""


def zonal_chunk(spec: ZonalChunk, workdir: Path) -> KernelResult:
    """Compute the statistics of one group of zones.

    Returns:
        `statistics.parquet`: `__row`, then for each band the columns of exactextract's names and
        `coverage`, the fraction of the zone's area (in the raster's plane) with valid data; by
        ascending row. Facts: `zones`, `blocks` (needed), `block_reads`.
    """
    spool = Spool(spec.spool)
    rows = np.array(spool.order[spec.start : spec.stop])
    ascending = np.sort(rows)
    wkb = dict(zip(ascending.tolist(), spool.wkb(ascending), strict=True))
    blocks = spec.grid.window(np.asarray(spool.bounds[rows]))
    with BlockReader(spec.grid, spec.bands, spec.cache_bytes) as reader:
        reader.expect(blocks)
        sources = [_Band(spec, reader, at) for at in range(len(spec.bands))]
        zones = _Zones([wkb[row] for row in rows.tolist()], blocks, reader)
        answers = _Answers()
        counts = [Operation("count", f"{_COUNT}{at}", band) for at, band in enumerate(sources)]
        exactextract.exact_extract(
            sources,
            zones,
            [*spec.statistics, *counts],
            output=answers,
            max_cells_in_memory=spec.max_cells,
        )
        facts = {"zones": len(rows), "blocks": reader.blocks, "block_reads": reader.reads}
    area = np.load(spec.spool / "area.npy", mmap_mode="r")[rows]
    table = _table(spec, answers, rows, area)
    path = workdir / STATISTICS
    pq.write_table(table, path, compression="zstd", row_group_size=_ROWS)
    return KernelResult(files=(OutputFile.of(path, STATISTICS, PARQUET),), facts=facts)


class _Band(RasterSource):  # type: ignore[misc]
    """One band of the whole raster, for exactextract.

    It states the whole raster's extent, so cells and their coverage are the same in every chunk.
    """

    def __init__(self, spec: ZonalChunk, reader: BlockReader, at: int) -> None:
        super().__init__()
        self._grid, self._reader, self._at = spec.grid, reader, at
        band = spec.bands[at] - 1
        self._scale, self._offset = spec.grid.scales[band], spec.grid.offsets[band]
        self._scaled = self._scale != 1.0 or self._offset != 0.0
        self.set_name(f"band_{spec.bands[at]}")

    def res(self) -> tuple[float, float]:
        return self._grid.pixel

    def extent(self) -> tuple[float, float, float, float]:
        return self._grid.bounds

    def srs_wkt(self) -> None:
        return None  # zones are in the raster's CRS already

    def nodata_value(self) -> float | int | None:
        nodata = self._grid.nodata
        if nodata is None or self._scaled:
            return None
        whole = np.dtype(self._grid.dtype).kind in "iu"
        if not whole:
            return nodata
        return int(nodata) if math.isfinite(nodata) else None

    def read_window(self, col: int, row: int, width: int, height: int) -> Pixels:
        pixels = self._reader.read(self._at, col, row, width, height)
        if self._scaled:
            if pixels.dtype.kind in "iu":
                pixels = pixels.astype(np.float64)
            pixels = pixels * self._scale + self._offset
        return pixels


class _Zone(Feature):  # type: ignore[misc]
    """A zone on its way into exactextract, or its results on their way out."""

    def __init__(self, wkb: bytes | None = None) -> None:
        super().__init__()
        self._wkb = wkb
        self.values: Answer = {}

    def geometry(self) -> bytes | None:
        return self._wkb

    def fields(self) -> list[str]:
        return []

    def get(self, name: str) -> Any:
        return self.values[name]

    def set(self, name: str, value: Any) -> None:
        self.values[name] = value

    def set_geometry(self, geometry: Any) -> None:
        """Results carry no geometry."""

    def set_geometry_format(self) -> str:
        return "wkb"


class _Zones(FeatureSource):  # type: ignore[misc]
    """Zones in order; a zone's blocks are released when the next one is asked for."""

    def __init__(self, wkb: list[bytes], blocks: NDArray[np.int64], reader: BlockReader) -> None:
        super().__init__()
        self._wkb, self._blocks, self._reader = wkb, blocks, reader

    def count(self) -> int:
        return len(self._wkb)

    def srs_wkt(self) -> None:
        return None

    def __iter__(self) -> Iterator[_Zone]:
        for wkb, blocks in zip(self._wkb, self._blocks, strict=True):
            yield _Zone(wkb)
            self._reader.release(blocks)


class _Answers(Writer):  # type: ignore[misc]
    """Collects results as exactextract finishes zones, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Answer] = []
        self.stats: dict[str, str] = {}
        """Column and operation, in order."""

    def add_operation(self, operation: Any) -> None:
        self.stats[operation.name] = operation.stat

    def write(self, feature: Any) -> None:
        zone = _Zone()
        feature.copy_to(zone)
        self.found.append(zone.values)

    def features(self) -> None:
        """Nothing: `found` is read."""


def _table(
    spec: ZonalChunk, answers: _Answers, rows: NDArray[np.int64], area: NDArray[np.float64]
) -> pa.Table:
    number = _value_type(spec)
    columns: dict[str, pa.Array] = {ROW: pa.array(rows, pa.int64())}
    for name, stat in answers.stats.items():
        if not name.startswith(_COUNT):
            values = [_plain(answer.get(name)) for answer in answers.found]
            columns[name] = pa.array(values, _type(stat, number))
    dx, dy = spec.grid.pixel
    for at, band in enumerate(spec.bands):
        covered = np.array([answer[f"{_COUNT}{at}"] for answer in answers.found]) * dx * dy
        name = "coverage" if len(spec.bands) == 1 else f"band_{band}_coverage"
        columns[name] = pa.array(np.minimum(covered / area, 1.0), pa.float64())
    table = pa.table(columns)
    return table.take(pa.array(np.argsort(rows)))


def _value_type(spec: ZonalChunk) -> pa.DataType:
    """The type of pixel values as exactextract hands them out."""
    scaled = any(s != 1.0 for s in spec.grid.scales) or any(spec.grid.offsets)
    whole = np.dtype(spec.grid.dtype).kind in "iu" and not scaled
    if not whole:
        return pa.float64()
    return pa.uint64() if spec.grid.dtype == "uint64" else pa.int64()


def _type(stat: str, number: pa.DataType) -> pa.DataType:
    if stat in _VALUES:
        return number
    if stat == "variety":
        return pa.int64()
    return {"unique": pa.list_(number), "frac": pa.list_(pa.float64())}.get(stat, pa.float64())


def _plain(value: Any) -> Any:
    """A value for Arrow: NaN, of nothing, is null."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return None if isinstance(value, float) and math.isnan(value) else value
