"""The door to checking rasters: the rules of `geo_assets.rules.raster` over some files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geo_assets.grids import Cell
from geo_assets.model import KernelResult

RULES = ("readable", "grid", "pixel_type", "nodata", "cog", "seams")
"""What is checked, in the order of the facts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileCheckSpec:
    """Some rasters and what must hold of them."""

    files: tuple[Path, ...]
    """Local rasters."""
    names: tuple[str, ...]
    """What defects call them, in the same order."""
    cells: tuple[Cell, ...] = ()
    """Where each must lie, in the same order; empty checks neither the grid nor seams."""
    beside: tuple[Path, ...] = ()
    """Tiles right of and below these, of which only the seams with these are checked."""
    beside_names: tuple[str, ...] = ()
    """What defects call them, in the same order."""
    beside_cells: tuple[Cell, ...] = ()
    """Where they lie, in the same order."""
    crs: str | None = None
    """The CRS of the cells, as WKT."""
    dtype: str | None = None
    """The declared type of pixels; None takes any."""
    bands: int | None = None
    """The declared number of bands; None takes any."""
    most_nodata: float = 1.0
    """Share of pixels that may have no data."""
    cog: bool = True
    """Files must be cloud-optimised; False for scenes as delivered."""
    deep: bool = True
    """Decode every block."""


def check_tiles(spec: TileCheckSpec, workdir: Path) -> KernelResult:  # noqa: ARG001
    """Find the defects of some rasters.

    A file that cannot be opened is a defect of the kind `unreadable`, not an error.

    Args:
        spec: The files and what must hold.
        workdir: Nothing is written.

    Returns:
        No files; facts: for each of `RULES` its findings as `Findings.as_dict` gives them.
    """
    from geo_assets.kernels.raster.check import check

    return check(spec)


def places_of(cells: Sequence[Cell]) -> list[tuple[int, int]]:
    """Where cells of one grid lie: whole cells eastwards and southwards from the first one."""
    if not cells:
        return []
    left, bottom, right, top = cells[0].bounds
    return [
        (
            round((cell.bounds[0] - left) / (right - left)),
            round((top - cell.bounds[3]) / (top - bottom)),
        )
        for cell in cells
    ]


def predicted_check_bytes() -> int:
    """Memory a check needs on top of a resting worker.

    GDAL's cache, a block of all bands, and the edges of some 80 tiles of a few bands.
    """
    return 256 << 20
