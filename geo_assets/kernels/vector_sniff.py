"""Which format a delivered vector file is in, decided by its first bytes before OGR sees it.

OGR opens whatever any of its drivers recognises: a `.geojson` that holds an OGR VRT reads
other files of this machine, a GDALG pipeline runs commands, a GeoJSON `crs` link makes an HTTP
request. So a file is opened only when its bytes are those of a format on the list below, and
the driver that opened it is held against that format afterwards.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from geo_assets.errors import InputError

_HEAD_BYTES = 65_536
_BLOCK = 1 << 22
_ROOT = re.compile(rb"<(?:[\w.-]+:)?([A-Za-z_][\w.-]*)[\s/>]")
_LINK = re.compile(rb'"crs"\s*:\s*\{[^{}]*"type"\s*:\s*"link"', re.IGNORECASE)
_XML = {
    b"kml": ("LIBKML", "KML"),
    b"gpx": ("GPX",),
    b"featurecollection": ("GML",),
    b"dataset": ("GML",),
}
_JSON = ("GeoJSON", "GeoJSONSeq", "TopoJSON", "ESRIJSON", "JSONFG")
_BY_SUFFIX = {
    ".csv": ("CSV",), ".tsv": ("CSV",), ".psv": ("CSV",),
    ".tab": ("MapInfo File",), ".mif": ("MapInfo File",), ".dxf": ("DXF",), ".dgn": ("DGN",),
    ".gmt": ("OGR_GMT",), ".000": ("S57",), ".e00": ("AVCE00",),
}  # fmt: skip
PARQUET = "Parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A vector file that may be opened."""

    path: Path
    """The file, or the folder of a file geodatabase."""
    drivers: tuple[str, ...]
    """The OGR drivers that may open it; `("Parquet",)` for GeoParquet."""


def identify(path: Path) -> Delivery:
    """Decide what `path` is from its first bytes, its suffix where they do not say.

    Raises:
        InputError: The file is missing, empty, incomplete, in a format that is not accepted, or
            tries to make OGR open something else.
    """
    if path.is_dir() and path.suffix.lower() == ".gdb":
        return Delivery(path=path, drivers=("OpenFileGDB",))
    if not path.is_file():
        raise InputError("A vector layer is one file, with its sidecars beside it",
                         "nothing there", path.name)  # fmt: skip
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise InputError("A vector file has content", "0 bytes", path.name)
    drivers = _binary(head, path) or _text(head, path)
    if drivers is None:
        raise InputError("The file is in a vector format that is accepted",
                         f"first bytes {head[:12]!r}", path.name,
                         "Deliver GeoPackage, FlatGeobuf, GeoParquet, GeoJSON, Shapefile, GML, "
                         "KML, GPX or CSV.")  # fmt: skip
    return Delivery(path=path, drivers=drivers)


def _binary(head: bytes, path: Path) -> tuple[str, ...] | None:
    if head.startswith(b"SQLite format 3\0"):
        return ("GPKG", "SQLite")
    if head.startswith(b"PAR1"):
        return (PARQUET,)
    if head.startswith(b"fgb"):
        return ("FlatGeobuf",)
    if head.startswith(b"\x00\x00\x27\x0a"):
        _check_shapefile(head, path)
        return ("ESRI Shapefile",)
    return None


def _text(head: bytes, path: Path) -> tuple[str, ...] | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] in (b"{", b"[", b"\x1e"):
        _check_json(path)
        return _JSON
    if text[:1] == b"<":
        root = _ROOT.search(text)
        drivers = _XML.get(root[1].lower()) if root else None
        if drivers is not None:
            _check_xml(path)
        return drivers
    suffix = path.suffix.lower()
    if suffix == ".tab" and b"seamless" in text.lower():
        raise InputError("A vector file holds its own features", "a MapInfo seamless table, which "
                         "points at other files", path.name)  # fmt: skip
    return _BY_SUFFIX.get(suffix)


def _check_shapefile(head: bytes, path: Path) -> None:
    """Name the sidecars that are missing, and a main file that ends early."""
    beside = {file.name.lower() for file in path.parent.iterdir()}
    missing = [
        suffix for suffix in (".shx", ".dbf") if f"{path.stem}{suffix}".lower() not in beside
    ]
    if missing:
        raise InputError("A Shapefile comes with its .shx and .dbf",
                         f"{' and '.join(missing)} missing", path.name,
                         "Deliver all files of the Shapefile, best as one .zip.")  # fmt: skip
    stated = 2 * int.from_bytes(head[24:28], "big")
    size = path.stat().st_size
    if len(head) >= 28 and size < stated:
        raise InputError("A Shapefile is as long as its header says",
                         f"{size} of {stated} bytes", path.name, "Deliver it again.")  # fmt: skip


def _check_json(path: Path) -> None:
    """Refuse what makes OGR run a pipeline or follow a link, and JSON that ends early."""
    tail = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            window = tail + block
            if b"gdal_streamed_alg" in window:
                raise InputError("A GeoJSON file holds features", "a GDAL pipeline", path.name)
            if _LINK.search(window):
                raise InputError(
                    "A GeoJSON file names its CRS, it does not link to it",
                    "a crs of type link",
                    path.name,
                    "Remove the crs member; GeoJSON is in longitude and latitude.",
                )
            tail = window[-1024:]
    if tail.rstrip()[-1:] not in (b"}", b"]"):
        raise InputError(
            "A JSON file ends where its last object ends",
            f"the last bytes {tail[-12:]!r}",
            path.name,
            "Deliver it again.",
        )


def check_last_line(path: Path) -> None:
    """Refuse newline-delimited JSON whose last line is cut: OGR passes over it silently.

    Raises:
        InputError: The last line is no JSON.
    """
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _BLOCK))
        tail = file.read().rstrip()
    try:
        json.loads(tail[max(tail.rfind(b"\n"), tail.rfind(b"\x1e")) + 1 :])
    except ValueError as error:
        raise InputError("A JSON file ends where its last object ends", str(error), path.name,
                         "Deliver it again.") from None  # fmt: skip


def _check_xml(path: Path) -> None:
    """Refuse document types (entities), and XML that ends early; read in blocks of 4 MiB."""

    def refuse(*_: object) -> None:
        raise InputError("An XML layer has no document type", "DOCTYPE or ENTITY", path.name)

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except expat.ExpatError as error:
        raise InputError("An XML layer is well-formed", str(error), path.name,
                         "Deliver the file again.") from None  # fmt: skip
