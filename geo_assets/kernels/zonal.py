"""The door to zonal statistics of rasters of any size: plan, compute by zone, merge.

```
plan_zones(ZonalPlan)      one worker: zones into the raster's CRS, grouped by where they lie
compute_zones(ZonalChunk)  any number of workers: exactextract over one group of zones
merge_zones(ZonalTable)    one worker: one row for every zone, in the order of the zones
```
Every zone is computed by itself, on the grid of the whole raster, so its statistics do not depend
on its neighbours or on the grouping: they are exactextract's, bit by bit. Groups are compact, and
inside one a block of the raster is read once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from geo_assets.errors import ConfigError
from geo_assets.kernels.zonal_grid import Tile, ZonalGrid
from geo_assets.model import KernelResult

STATISTICS = "statistics.parquet"
"""What a chunk and the merge write."""

KINDS = ("count", "sum", "mean", "min", "max", "stdev", "variance", "coefficient_of_variation",
         "median", "quantile", "majority", "mode", "minority", "variety", "unique",
         "frac")  # fmt: skip
"""exactextract's operations that make columns; `quantile(q=0.9)` takes an argument."""

OK, OUTSIDE, ABSENT, INVALID = range(4)
STATUS = ("ok", "outside", "null_geometry", "invalid")
"""What became of a zone, by code; all but `ok` have nulls."""

MAX_CELLS = 30_000_000
CACHE_BYTES = 192 << 20
_MEMORY_FIXED = 64 << 20
_PLAN_PER_ZONE = 200
_COVERAGE_BYTES = 12  # a pixel of a zone: its fraction and exactextract's own copies


_STATISTIC = re.compile(r"([a-z_]+)(?:\((.*)\))?\Z")
_QUANTILE = re.compile(r"\s*q\s*=\s*(0|1|0?\.\d+|0\.|1\.0*)\s*\Z")


def check_statistics(statistics: Sequence[str], where: str = "") -> None:
    """Refuse what exactextract would refuse in a worker, as far as the text tells.

    Raises:
        ConfigError: There is no statistic, or one that does not exist or has no sense.
    """
    if not statistics:
        raise ConfigError("Zonal statistics name at least one statistic", "none", where)
    for text in statistics:
        read = _STATISTIC.match(text)
        if read is None or read[1] not in KINDS:
            raise ConfigError(f"A statistic is one of {', '.join(KINDS)}", repr(text), where)
        if read[1] == "quantile" and not _QUANTILE.match(read[2] or ""):
            raise ConfigError("A statistic quantile has a q from 0 to 1", repr(text), where,
                              "Write for example quantile(q=0.9).")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonalPlan:
    """Spec of `plan_zones`."""

    rasters: tuple[Path, ...]
    """One GeoTIFF, or GeoTIFF tiles of one grid."""
    zones: Path
    """A local GeoParquet file with polygons in any CRS."""
    statistics: tuple[str, ...]
    """exactextract's operations, such as `mean`, `quantile(q=0.9)`, `frac`."""
    bands: tuple[int, ...] = ()
    """Bands, from 1; empty for all."""
    chunks: int = 8
    """Groups of zones, at most; a few per worker level out uneven ones."""
    max_cells: int = MAX_CELLS
    """Pixels of one zone held at once; a larger zone is done in parts. Other values than the
    default change the last bits of sums of zones that are larger."""
    cache_bytes: int = CACHE_BYTES
    """Memory for blocks of the raster in one worker."""
    required_accuracy_m: float | None = None
    """Accuracy in metres that the transformation of the zones must state."""

    def __post_init__(self) -> None:
        check_statistics(self.statistics)
        if self.chunks < 1 or self.max_cells < 1 or self.cache_bytes < 1:
            raise ConfigError("chunks, max_cells and cache_bytes are positive numbers",
                              f"{self.chunks}, {self.max_cells}, {self.cache_bytes}")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonalChunk:
    """Spec of `zonal_chunk`: one group of zones."""

    grid: ZonalGrid
    """The whole raster's grid, with the tiles that the group needs."""
    spool: Path
    """The plan's folder."""
    start: int
    """First zone, by its place in the spatial order."""
    stop: int
    """One past the last."""
    statistics: tuple[str, ...]
    bands: tuple[int, ...]
    max_cells: int
    cache_bytes: int
    largest: int
    """Pixels of the group's largest zone."""
    blocks: int
    """Blocks of the raster that the group lies in, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonalTable:
    """Spec of `merge_zones`."""

    zones: Path
    key: str | None
    """Column that names a zone; None names it by row number, in a column `zone`."""
    spool: Path
    parts: tuple[Path, ...]
    """The `statistics.parquet` of every chunk."""


def plan_zones(spec: ZonalPlan, workdir: Path) -> KernelResult:
    """Bring zones into the raster's CRS and group them by where they lie.

    Zones keep their vertices; edges are straight in the raster's CRS. Invalid zones (GEOS), zones
    that are not polygons, and zones whose coordinates are not finite in the raster's CRS are not
    computed: exactextract would give them plausible, wrong numbers.

    Raises:
        ConfigError: A statistic or a band is asked for that does not exist.
        ContractError: The zones cannot be transformed with the required accuracy.
        InputError: A file cannot be used, or one block of the raster is larger than the cache.

    Returns:
        No files; facts for `zonal_chunks`. The spool stays in `workdir`, which must live until
        the merge is done.
    """
    from geo_assets.kernels.zonal_plan import plan

    return plan(spec, workdir)


def compute_zones(spec: ZonalChunk, workdir: Path) -> KernelResult:
    """Compute the statistics of one group of zones: see `zonal_chunk.zonal_chunk`."""
    from geo_assets.kernels.zonal_chunk import zonal_chunk

    return zonal_chunk(spec, workdir)


def merge_zones(spec: ZonalTable, workdir: Path) -> KernelResult:
    """Join the statistics of all groups to the zones: see `zonal_table.merge`."""
    from geo_assets.kernels.zonal_table import merge

    return merge(spec, workdir)


def zonal_chunks(spec: ZonalPlan, facts: Mapping[str, Any]) -> list[ZonalChunk]:
    """The groups of a planned job."""
    grid = _grid_from(facts["grid"])
    folder = Path(facts["spool"])
    order = np.load(folder / "order.npy", mmap_mode="r")
    bounds = np.load(folder / "bounds.npy", mmap_mode="r")
    bands = spec.bands or tuple(range(1, grid.bands + 1))
    chunks = []
    for start, stop, largest in facts["chunks"]:
        blocks = grid.window(bounds[np.sort(order[start:stop])])
        low, high = blocks[:, :2].min(axis=0), blocks[:, 2:].max(axis=0)
        chunks.append(
            ZonalChunk(
                grid=replace(grid, tiles=grid.part(blocks)), spool=folder, start=start, stop=stop,
                statistics=spec.statistics, bands=bands, max_cells=spec.max_cells,
                cache_bytes=spec.cache_bytes, largest=largest,
                blocks=int((high - low + 1).prod()),
            )
        )  # fmt: skip
    return chunks


def zonal_table(
    spec: ZonalPlan, facts: Mapping[str, Any], key: str | None, folders: Sequence[Path]
) -> ZonalTable:
    """The merge of chunks whose files lie in `folders`."""
    parts = tuple(folder / STATISTICS for folder in folders)
    return ZonalTable(zones=spec.zones, key=key, spool=Path(facts["spool"]), parts=parts)


def predicted_bytes(spec: ZonalPlan | ZonalChunk | ZonalTable, zones: int = 0) -> int:
    """Memory that a kernel of this module needs on top of a resting worker, about.

    Args:
        spec: The kernel's spec.
        zones: Number of zones, for the plan and the merge.
    """
    if not isinstance(spec, ZonalChunk):
        return _MEMORY_FIXED + _PLAN_PER_ZONE * zones
    cells = min(spec.largest, spec.max_cells)
    pixel = np.dtype(spec.grid.dtype).itemsize + int(spec.grid.masked)
    window = cells * (_COVERAGE_BYTES + 2 * pixel * len(spec.bands))
    cache = min(spec.cache_bytes, spec.blocks * spec.grid.block_bytes)
    return _MEMORY_FIXED + cache + window


def _grid_from(fields: Mapping[str, Any]) -> ZonalGrid:
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list | tuple) else v for k, v in fields.items()
    }
    tiles = tuple(Tile(**(tile | {"path": Path(tile["path"])})) for tile in fields["tiles"])
    values["tiles"] = tiles
    return ZonalGrid(**values)
