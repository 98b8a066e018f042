"""Hostile and broken files are refused before a pixel is read, cheaply and by name."""

from __future__ import annotations

import http.server
import os
import resource
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine

from geo_assets.errors import InputError
from geo_assets.kernels.raster.guard import Limits, open_scene
from geo_assets.kernels.raster.options import GDAL_OPTIONS
from geo_assets.kernels.raster.tiff import directories
from geo_assets_tests.kernels.raster.oracle import MakeScene


def tiff(path: Path, tags: dict[int, int], *, tail: bytes = b"") -> Path:
    """A TIFF of one directory whose tags are single numbers."""
    body = struct.pack("<H", len(tags))
    for tag, value in sorted(tags.items()):
        body += struct.pack("<HHII", tag, 4, 1, value)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + body + struct.pack("<I", 0) + tail)
    return path


BASE = {256: 64, 257: 64, 258: 8, 259: 1, 262: 1, 273: 200, 277: 1, 278: 64, 279: 4096}


@pytest.fixture
def canary() -> Iterator[tuple[str, list[str]]]:
    """An HTTP server on the loopback, and the paths that were asked of it."""
    hits: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", hits
    server.shutdown()
    thread.join()
    server.server_close()


def read_everything(path: Path, **settings: str) -> str:
    """Open a file in a process of its own, as a worker does, and read all of it."""
    code = (
        "import sys; from pathlib import Path\n"
        "from geo_assets.kernels.raster.guard import open_scene\n"
        "with open_scene(Path(sys.argv[1])) as d:\n"
        "    d.read(); d.overviews(1); d.dataset_mask(); d.tags(); d.read(out_shape=(1, 8, 8))\n"
        "print('opened')"
    )
    env = {key: value for key, value in os.environ.items() if not key.startswith("GDAL")}
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True,
                          env=env | settings, timeout=60, check=False)  # fmt: skip
    return done.stdout + done.stderr


VRT = (
    '<VRTDataset rasterXSize="64" rasterYSize="64"><SRS>EPSG:4326</SRS>'
    "<GeoTransform>0,1,0,0,0,-1</GeoTransform>"
    '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
    "<SourceFilename>/vsicurl/{url}/secret.tif</SourceFilename><SourceBand>1</SourceBand>"
    "</SimpleSource></VRTRasterBand></VRTDataset>"
)


@pytest.mark.parametrize("environment", [{}, dict(GDAL_OPTIONS)], ids=["bare", "safe"])
def test_nothing_is_requested_whatever_a_file_names(
    environment: dict[str, str],
    canary: tuple[str, list[str]],
    make_scene: MakeScene,
    tmp_path: Path,
) -> None:
    url, hits = canary
    vrt = tmp_path / "innocent.tif"
    vrt.write_text(VRT.format(url=url))
    assert "VRT" in read_everything(vrt, **environment)

    poisoned = make_scene("clean.tif")
    (tmp_path / "clean.tif.aux.xml").write_text(
        f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">/vsicurl/{url}/o.tif'
        "</MDI></Metadata></PAMDataset>"
    )
    assert "opened" in read_everything(poisoned, **environment)

    tagged = make_scene("tagged.tif")
    with rasterio.open(tagged, "r+") as dataset:
        dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"/vsicurl/{url}/tag.tif")
    assert hits == []
    assert "names no other file" in read_everything(tagged, **environment)
    assert hits == []


def test_a_small_file_with_one_huge_block_costs_no_memory(tmp_path: Path) -> None:
    hostile = tiff(tmp_path / "huge.tif", BASE | {256: 46_000, 257: 46_000, 278: 46_000})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="block decodes to at most"), open_scene(hostile):
        pass
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_65535_bands_are_refused_before_gdal_opens_them(tmp_path: Path) -> None:
    hostile = tiff(tmp_path / "bands.tif", BASE | {277: 65_535})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="at most 2048 bands"), open_scene(hostile):
        pass
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_a_declared_size_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    hostile = tiff(tmp_path / "wide.tif", BASE | {256: 1_000_000, 257: 1_000_000, 278: 1})
    with pytest.raises(InputError, match="A scene decodes to at most"), open_scene(hostile):
        pass


def test_an_overview_is_guarded_like_the_image(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene(shape=(1, 512, 512), dtype="uint8")
    with (
        rasterio.Env(GDAL_TIFF_OVR_BLOCKSIZE=128),
        rasterio.open(scene, "r+") as dataset,
    ):
        dataset.build_overviews([2])
    limits = Limits(block_bytes=64 * 64)
    with pytest.raises(InputError, match="directory 1"), open_scene(scene, limits=limits):
        pass


@pytest.mark.parametrize("share", [0.999, 0.7, 0.1, 0.01])
def test_a_file_cut_short_is_told_from_its_header(
    share: float, make_scene: MakeScene, tmp_path: Path
) -> None:
    whole = make_scene(shape=(2, 300, 300), compress="deflate").read_bytes()
    cut = tmp_path / "cut.tif"
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match=r"cut\.tif") as caught, open_scene(cut):
        pass
    assert "cut short" in caught.value.fix


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"  <GDAL_WMS>", "web service"),
        (b"PK\x03\x04", "zip"),
        (b"hello", "bytes b'hello'"),
        (b"II*\0\x08\0\0\0", "unreadable structure"),
        (b"MM\0*\0\0\0\x08\xff\xff", "unreadable structure"),
        (b"\xff\x4f\xff\x51\0", "no SIZ marker"),
    ],
)
def test_what_is_no_scene_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "thing.tif"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said), open_scene(path):
        pass


def test_any_damaged_header_is_an_input_error(make_scene: MakeScene, tmp_path: Path) -> None:
    """Flipped bytes in the structure never raise anything else, and never read far."""
    whole = bytearray(make_scene(shape=(1, 128, 128)).read_bytes())
    rng = np.random.default_rng(3)
    path = tmp_path / "flipped.tif"
    (start,) = struct.unpack("<I", whole[4:8])
    for _ in range(150):
        damaged = bytearray(whole)
        for place in rng.integers(start, min(start + 220, len(whole)), 2):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            with open_scene(path):
                pass
        except InputError:
            pass


def test_directories_that_loop_are_refused(tmp_path: Path) -> None:
    path = tiff(tmp_path / "loop.tif", BASE)
    body = bytearray(path.read_bytes())
    body[-4:] = struct.pack("<I", 8)
    path.write_bytes(body)
    with pytest.raises(InputError, match="loop"):
        directories(path)


def test_a_scene_must_lie_somewhere(make_scene: MakeScene, tmp_path: Path) -> None:
    nowhere = make_scene("no_crs.tif", crs=None)
    with pytest.raises(InputError, match="A scene has a CRS"), open_scene(nowhere):
        pass
    with open_scene(nowhere, crs="EPSG:32633") as dataset:
        assert dataset.count == 1
    points = [GroundControlPoint(row, column, column * 30.0, row * -30.0)
              for row in (0, 100) for column in (0, 100)]  # fmt: skip
    with rasterio.open(tmp_path / "gcps.tif", "w", driver="GTiff", width=100, height=100, count=1,
                       dtype="uint8", gcps=points, crs="EPSG:32633"):  # fmt: skip
        pass
    with (
        pytest.raises(InputError, match="ground control points"),
        open_scene(tmp_path / "gcps.tif"),
    ):
        pass


def test_big_endian_and_big_tiffs_are_read(make_scene: MakeScene) -> None:
    for options in ({"ENDIANNESS": "BIG"}, {"BIGTIFF": "YES"}):
        scene = make_scene(shape=(3, 300, 300), transform=Affine(10, 0, 0, 0, -10, 0), **options)
        (image,) = directories(scene)
        assert (image.width, image.height, image.bands, image.bits) == (300, 300, 3, 16)
        assert image.block == (64, 64)
        assert image.blocks == image.expected_blocks
        assert image.end <= scene.stat().st_size
        with open_scene(scene) as dataset:
            assert dataset.read().any()
