"""One source file seen through the target grid: windows of the canvas, warped exactly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geo_assets.errors import InputError
from geo_assets.grids import Canvas
from geo_assets.kernels.raster.footprint import bounds_of, transformer
from geo_assets.kernels.raster.inspect import mask_kind
from geo_assets.kernels.raster.trouble import GDAL_ERRORS

Mask = NDArray[np.bool_]

EXACT = 1e-30
"""Pixels of error that GDAL's approximating transformer may make.

It interpolates along each row of a window, so that its error would depend on where a scene is
cut. (0 is not taken for exact by rasterio 1.4: it fails.)
"""
_HALO = 16
"""Source pixels that are read beyond the window GDAL computes, for kernels up to Lanczos."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A window of the canvas.

    Args:
        data: Shape (bands, height, width).
        valid: Shape (bands, height, width): True where a pixel has data.
    """

    data: NDArray[Any]
    valid: Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How values are taken from a source."""

    resampling: str
    """GDAL's method by name."""
    nodata: float | None
    """The value that means no data, over what the file says; None takes the file's own."""


class WarpedSource:
    """An open dataset as the canvas sees it.

    Args:
        dataset: An open rasterio dataset.
        crs: Its CRS.
        target: The CRS of the canvas.
        canvas: What its pixels are mapped to.
        method: How values are taken.
    """

    def __init__(self, dataset: Any, crs: CRS, target: CRS, canvas: Canvas, method: Method) -> None:
        self.dataset = dataset
        self.kind = mask_kind(dataset)
        if method.nodata is not None and self.kind == "none":
            self.kind = "nodata"
        self.nodata = dataset.nodata if method.nodata is None else method.nodata
        self._fill = method.nodata
        options: dict[str, Any] = {
            "src_crs": crs,
            "crs": target,
            "transform": Affine(*canvas.transform),
            "width": canvas.width,
            "height": canvas.height,
            "resampling": Resampling[method.resampling],
            "tolerance": EXACT,
            "UNIFIED_SRC_NODATA": "NO",  # a band's nodata never flows into its neighbours
            "SAMPLE_GRID": "YES",
            "SOURCE_EXTRA": _HALO,
            **_scales(dataset, crs, target, canvas),
        }
        if self.kind == "nodata":
            options |= {"src_nodata": self.nodata, "nodata": self.nodata}
        else:
            options |= {"src_nodata": None, "nodata": None, "add_alpha": self.kind != "alpha"}
        self._stack = ExitStack()
        self._views = [self._view(turn, options) for turn in _turns(dataset, crs)]

    def _view(self, turn: float, options: dict[str, Any]) -> Any:
        transform = Affine.translation(turn, 0) @ self.dataset.transform
        return self._stack.enter_context(
            WarpedVRT(self.dataset, src_transform=transform, **options)
        )

    def close(self) -> None:
        """Release what was opened here; the dataset stays open."""
        self._stack.close()

    def read(self, window: Window) -> Patch:
        """A window of the canvas.

        Raises:
            InputError: A block of the source cannot be decoded.
        """
        patches = self._patches(window)
        first = next(patches)
        for other in patches:
            fill = ~first.valid & other.valid
            first = Patch(np.where(fill, other.data, first.data), first.valid | fill)
        return first

    def _patches(self, window: Window) -> Iterator[Patch]:
        for view in self._views:
            try:
                data = view.read(window=window)
            except GDAL_ERRORS as error:
                raise undecodable(self.dataset, error) from None
            yield self._patch(data)

    def _patch(self, data: NDArray[Any]) -> Patch:
        if self.kind == "nodata":
            return Patch(data, is_valid(data, self.nodata))
        if self.kind == "alpha":
            alpha = [value.name for value in self.dataset.colorinterp].index("alpha")
            return Patch(data, np.broadcast_to(data[alpha] > 0, data.shape))
        valid = np.broadcast_to(data[-1] > 0, data[:-1].shape)
        data = data[:-1]
        if self._fill is not None:
            data = np.where(valid, data, np.array(self._fill).astype(data.dtype))
        return Patch(data, valid)


def undecodable(dataset: Any, error: Exception) -> InputError:
    """The error for a block of the source that GDAL cannot read."""
    name = str(dataset.name).rsplit("/", 1)[-1]
    return InputError("Every block of a scene can be decoded", str(error.__cause__ or error),
                      name, "The file is damaged: fetch it again.")  # fmt: skip


def is_valid(data: NDArray[Any], nodata: float | None) -> Mask:
    """Where values are not the one that means no data; NaN means no data only if declared so."""
    if nodata is None:
        return np.ones(data.shape, dtype=bool)
    if np.isnan(nodata):
        return np.asarray(~np.isnan(data))
    value = np.array(nodata).astype(data.dtype)
    return np.asarray(data != value)


def _turns(dataset: Any, crs: CRS) -> list[float]:
    """Degrees by which a source in longitudes is turned so that it is seen on both sides.

    PROJ answers longitudes from -180 to 180; a source from 170 to 190, or from 0 to 360, is found
    there only in part.
    """
    if not crs.is_geographic:
        return [0.0]
    left, _, right, _ = bounds_of(dataset.transform, dataset.width, dataset.height)
    slack = abs(dataset.transform.a) / 2
    turns = [
        turn
        for turn in (0.0, 360.0, -360.0)
        if left + turn < 180 - slack and right + turn > -180 + slack
    ]
    return turns or [0.0]


def _scales(dataset: Any, crs: CRS, target: CRS, canvas: Canvas) -> dict[str, str]:
    """Target pixels per source pixel, along x and y of the source, for GDAL's kernels.

    GDAL would estimate it for each window anew, and tiles would not fit each other. The median
    over the scene is taken; methods other than kernels do not use it.
    """
    share = np.linspace(0.05, 0.95, 7)
    columns, rows = (a.ravel() for a in np.meshgrid(share * dataset.width, share * dataset.height))
    scales = []
    origin = _canvas_pixels(dataset, crs, target, canvas, columns, rows)
    for step in ((1.0, 0.0), (0.0, 1.0)):
        moved = _canvas_pixels(dataset, crs, target, canvas, columns + step[0], rows + step[1])
        with np.errstate(invalid="ignore"):
            length = np.hypot(*(moved - origin))
        length = length[np.isfinite(length) & (length > 0)]
        scale = float(np.median(length)) if len(length) else 1.0
        scales.append(1.0 if scale > 0.95 else float(f"{scale:.6g}"))
    return {"XSCALE": repr(scales[0]), "YSCALE": repr(scales[1])}


def _canvas_pixels(
    dataset: Any, crs: CRS, target: CRS, canvas: Canvas, columns: Any, rows: Any
) -> NDArray[np.float64]:
    x, y = dataset.transform @ (columns, rows)
    px, py = transformer(crs, target).transform(x, y)
    inverse = ~Affine(*canvas.transform)
    return np.array(inverse @ (np.array(px), np.array(py)))
