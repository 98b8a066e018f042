"""The door to pictures of rasters, and the picture of a grid, which needs no GDAL at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from geo_assets.grids import Cell
from geo_assets.model import KernelResult

PREVIEW_PIXELS = 384
"""Longer side of a preview, at most."""
PREVIEW_BYTES = 24 << 10
"""Bytes of a preview, at most: 32 KiB as base64."""
SVG_BYTES = 8 << 10
"""Bytes of the picture of a grid, at most."""

STATES: Mapping[str, tuple[str, str]] = {
    "made": ("#2a9d8f", "made"),
    "resumed": ("#4a7fd6", "kept from an earlier run"),
    "empty": ("#9aa0a6", "without data"),
    "failed": ("#d64545", "failed"),
}
"""State of a cell: its colour, readable on light and dark ground, and its name in the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewSpec:
    """A raster to be drawn."""

    files: tuple[Path, ...]
    """Local rasters of one CRS: pieces of a mosaic, or with `stacked` the bands of one scene."""
    title: str
    """What it shows, for the alternative text."""
    stacked: bool = False
    """The files are bands of one scene, not parts of one picture."""
    crs: str | None = None
    """The CRS to take where a file names none."""
    nodata: float | None = None
    """The value that means no data, where the files do not say it."""


def draw_raster(spec: PreviewSpec, workdir: Path) -> KernelResult:
    """Draw a raster as a WebP of at most 24 KiB; pixels without data are transparent.

    Reads overviews where there are any. Three bands or more are drawn as red, green and blue,
    one or two in a colour ramp, each stretched from its 2nd to its 98th percentile; shadows of a
    scene with bright clouds are lifted. Colour tables are used as they are.

    Args:
        spec: The files.
        workdir: Where the picture is written.

    Returns:
        `preview.webp` with the role `overview` and its `alt` text. Facts: `thumbnail`, Markdown
        of less than 1,000 characters with a picture of at most 700 bytes, empty where none is
        that small; `alt`; and per band drawn `low`, `high` and a `histogram` of 16 counts.

    Raises:
        InputError: A file is hostile or damaged.
    """
    from geo_assets.kernels.raster.picture import draw

    return draw(spec, workdir)


def predicted_preview_bytes() -> int:
    """Memory a picture needs on top of a resting worker, for sources with overviews."""
    return 256 << 20


def grid_svg(cells: Mapping[str, Cell], states: Mapping[str, str], title: str) -> tuple[str, str]:
    """The cells of a grid, coloured by what became of them, and the text for it.

    Args:
        cells: Cell by id.
        states: `made`, `resumed`, `empty` or `failed` by cell id.
        title: What it shows.

    Returns:
        An SVG of at most 8 KiB, and its alternative text with the numbers. Where cells are too
        many for that, several are drawn as one, in the state of the worst.
    """
    counts = {state: sum(1 for value in states.values() if value == state) for state in STATES}
    told = ", ".join(f"{n} {STATES[state][1]}" for state, n in counts.items() if n)
    alt = f"{title}: {sum(counts.values())} cells, {told or 'none'}"
    places = _places(cells, states)
    step = 1
    while len(svg := _svg(_merged(places, step), alt).encode()) > SVG_BYTES:
        step *= 2
    return svg.decode(), alt


def _places(cells: Mapping[str, Cell], states: Mapping[str, str]) -> dict[tuple[int, int], str]:
    """State by column and row from the upper left."""
    known = [cell for name, cell in cells.items() if name in states]
    if not known:
        return {}
    left = min(cell.bounds[0] for cell in known)
    top = max(cell.bounds[3] for cell in known)
    places = {}
    for cell in known:
        width, height = cell.bounds[2] - cell.bounds[0], cell.bounds[3] - cell.bounds[1]
        place = round((cell.bounds[0] - left) / width), round((top - cell.bounds[3]) / height)
        places[place] = states[cell.id]
    return places


def _merged(places: Mapping[tuple[int, int], str], step: int) -> dict[tuple[int, int], str]:
    rank = {state: number for number, state in enumerate(("empty", "resumed", "made", "failed"))}
    merged: dict[tuple[int, int], str] = {}
    for (column, row), state in places.items():
        place = column // step, row // step
        merged[place] = max(merged.get(place, state), state, key=rank.__getitem__)
    return merged


def _svg(places: Mapping[tuple[int, int], str], alt: str) -> str:
    """One path for each state, one stroke for each run of cells along a row."""
    columns = 1 + max((column for column, _ in places), default=0)
    rows = 1 + max((row for _, row in places), default=0)
    unit = max(1, min(24, 384 // max(columns, rows)))
    gap = unit / 12 if unit > 3 else 0
    paths = []
    for state, (colour, _) in STATES.items():
        here = sorted((row, column) for (column, row), value in places.items() if value == state)
        strokes = "".join(
            f"M{column * unit} {row * unit}h{unit}v{unit}h-{unit}z" for row, column in here
        )
        if strokes:
            paths.append(
                f'<path fill="{colour}" stroke="#8888" stroke-width="{gap:g}" d="{strokes}"/>'
            )
    width, height = columns * unit, rows * unit
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img"><title>{escape(alt)}</title>'
        f"{''.join(paths)}</svg>"
    )
