"""Files of others are looked at before GDAL opens them, and opened by one named driver."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError, NotGeoreferencedWarning

from geo_assets.errors import ConfigError, InputError
from geo_assets.kernels.raster.options import GDAL_OPTIONS
from geo_assets.kernels.raster.tiff import directories
from geo_assets.kernels.raster.trouble import GDAL_ERRORS

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JP2_BOX = b"\0\0\0\x0cjP  \r\n\x87\n"
_JP2_CODESTREAM = b"\xff\x4f\xff\x51"
_OTHERS = (
    (b"<VRTDataset", "a GDAL VRT, which names other files and is never followed"),
    (b"<GDAL_WMS", "a GDAL web service description, which is never followed"),
    (b"<", "XML"),
    (b"\x89PNG", "a PNG, which carries no georeference"),
    (b"\xff\xd8\xff", "a JPEG, which carries no georeference"),
    (b"EHFA_HEADER_TAG", "an Erdas Imagine file, which may name other files"),
    (b"\x89HDF", "HDF5 or netCDF 4, which may name other files"),
    (b"CDF", "netCDF"),
    (b"NITF", "NITF"),
    (b"GRIB", "GRIB"),
    (b"PK\x03\x04", "a zip archive"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a source may ask of a worker, told by its header."""

    block_bytes: int = 256 << 20
    """One decoded block with all its bands: any read decodes whole blocks."""
    bands: int = 2048
    decoded_bytes: int = 256 << 30
    """All pixels of all bands."""
    blocks: int = 16_000_000
    """Tiles or strips: their index is held in memory."""


LIMITS = Limits()


@contextmanager
def gdal() -> Iterator[None]:
    """GDAL under the safe options, also where the process environment does not have them."""
    options: dict[str, Any] = dict(GDAL_OPTIONS)
    del options["GDAL_SKIP"]  # GDAL has registered its drivers long ago
    options["GDAL_CACHEMAX"] = int(options["GDAL_CACHEMAX"]) << 20  # here in bytes
    with rasterio.Env(**options):
        yield


def sniff(path: Path) -> str:
    """The one driver that may open a file, told by its first bytes.

    Raises:
        InputError: It is empty, or no format that a scene may be delivered in.
    """
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise InputError("A scene has bytes", "an empty file", path.name, "Fetch it again.")
    if head.startswith(_TIFF):
        return "GTiff"
    if head.startswith((_JP2_BOX, _JP2_CODESTREAM)):
        return "JP2OpenJPEG"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    got = next((name for magic, name in _OTHERS if text.startswith(magic)), None)
    raise InputError("A scene is a GeoTIFF or a JPEG 2000 file", got or f"bytes {head[:8]!r}",
                     path.name, "Convert it with gdal_translate -of COG.")  # fmt: skip


@contextmanager
def open_scene(path: Path, *, crs: str | None = None, limits: Limits = LIMITS) -> Iterator[Any]:
    """Open a raster of others for reading, as a rasterio dataset with a place on earth.

    Args:
        path: A local file.
        crs: The CRS to take where the file names none.
        limits: What its header may ask for.

    Raises:
        InputError: It is no raster, hostile, cut short, or lies nowhere.
    """
    driver = sniff(path)
    _check_header(path, driver, limits)
    with gdal():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                dataset = rasterio.open(path, driver=driver)
        except GDAL_ERRORS as error:
            raise InputError("A scene can be opened", str(error), path.name,
                             "The file is damaged: fetch it again.") from None  # fmt: skip
        with dataset:
            _check_dataset(dataset, path, limits)
            _check_place(dataset, path, crs)
            yield dataset


def parse_crs(text: str, where: str = "") -> CRS:
    """A CRS from anything PROJ reads.

    Raises:
        ConfigError: PROJ does not know it.
    """
    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise ConfigError("A CRS is one that PROJ knows", repr(text), where, str(error)) from None


def crs_of(dataset: Any, declared: str | None) -> CRS:
    """The dataset's own CRS, or the declared one where it has none."""
    if dataset.crs:
        return dataset.crs
    return parse_crs(declared) if declared else CRS()


def _check_header(path: Path, driver: str, limits: Limits) -> None:
    if driver != "GTiff":
        _check_jp2(path, limits)
        return
    size = path.stat().st_size
    for number, image in enumerate(directories(path)):
        what = "the image" if number == 0 else f"directory {number}"
        _check_size(image.width, image.height, image.bands, image.bits, path, limits)
        if image.block_bytes > limits.block_bytes:
            _refuse("A block decodes to at most", limits.block_bytes, image.block_bytes, what, path)
        if max(image.blocks, image.expected_blocks) > limits.blocks:
            raise InputError(f"A scene has at most {limits.blocks} blocks",
                             f"{image.expected_blocks} in {what}", path.name)  # fmt: skip
        if image.end > size:
            raise InputError("Every block lies within the file",
                             f"a block of {what} that ends at byte {image.end} of {size}",
                             path.name, "The file is cut short: fetch it again.")  # fmt: skip


def _check_jp2(path: Path, limits: Limits) -> None:
    with path.open("rb") as file:
        head = file.read(1 << 16)
    place = head.find(b"\xff\x4f\xff\x51")
    try:
        right, bottom, left, top, tile_x, tile_y = struct.unpack_from(">6I", head, place + 8)
        (bands,) = struct.unpack_from(">H", head, place + 40)
        bits = max((depth & 0x7F) + 1 for depth in head[place + 42 : place + 42 + 3 * bands : 3])
    except (struct.error, ValueError):
        place = -1
    if place < 0:
        raise InputError("A JPEG 2000 file begins with the size of its image", "no SIZ marker",
                         path.name, "The file is cut short: fetch it again.")  # fmt: skip
    width, height = right - left, bottom - top
    _check_size(width, height, bands, bits, path, limits)
    block = min(tile_x, width) * min(tile_y, height) * bands * -(-bits // 8)
    if block > 4 * limits.block_bytes:  # its decoder reads parts of tiles, at a price
        _refuse("A tile decodes to at most", 4 * limits.block_bytes, block, "the image", path)


def _check_size(width: int, height: int, bands: int, bits: int, path: Path, limits: Limits) -> None:
    if width < 1 or height < 1 or bands < 1:
        raise InputError("A scene has pixels", f"{width} x {height} of {bands} bands", path.name)
    if bands > limits.bands:
        raise InputError(f"A scene has at most {limits.bands} bands", str(bands), path.name)
    total = width * height * bands * bits // 8
    if total > limits.decoded_bytes:
        size = f"{width} x {height} x {bands}"
        _refuse("A scene decodes to at most", limits.decoded_bytes, total, size, path)


def _refuse(rule: str, limit: int, got: int, what: str, path: Path) -> None:
    raise InputError(f"{rule} {limit >> 20} MiB", f"{got / (1 << 20):,.0f} MiB in {what}",
                     path.name, "Rewrite it with gdal_translate -of COG.")  # fmt: skip


def _check_dataset(dataset: Any, path: Path, limits: Limits) -> None:
    _check_size(dataset.width, dataset.height, dataset.count, 8, path, limits)
    named = dataset.tags(ns="OVERVIEWS") | dataset.tags(ns="ProxyOverviewRequest")
    if named:
        raise InputError("A scene names no other file", ", ".join(sorted(named)), path.name,
                         "Rewrite it with gdal_translate -of COG.")  # fmt: skip


def _check_place(dataset: Any, path: Path, declared: str | None) -> None:
    if not dataset.crs and declared is None:
        gcps, _ = dataset.gcps
        got = f"{len(gcps)} ground control points only" if gcps else "none in the file"
        raise InputError("A scene has a CRS", got, path.name,
                         "Declare it with crs=..., or rectify the scene.")  # fmt: skip
    transform = dataset.transform
    if transform.is_identity:
        other = "ground control points" if dataset.gcps[0] else "RPCs" if dataset.rpcs else ""
        got = f"{other} only" if other else "no geotransform"
        raise InputError("A scene has a geotransform", got, path.name,
                         "Rectify it first, for example with gdalwarp.")  # fmt: skip
    if transform.determinant == 0:
        raise InputError("A geotransform has pixels with an area", str(tuple(transform)[:6]),
                         path.name)  # fmt: skip
