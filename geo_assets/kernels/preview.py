"""The door to pictures of rasters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from geo_assets.model import KernelResult

PREVIEW_PIXELS = 384
"""Longer side of a preview, at most."""
PREVIEW_BYTES = 24 << 10
"""Bytes of a preview, at most: 32 KiB as base64."""


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
