"""What a tile is, apart from its pixels; what a chunk is; and how cutting ends in trouble."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from rio_cogeo.cogeo import cog_validate

from geo_assets.errors import ConfigError, ContractError, InputError
from geo_assets.grids import Canvas, SquareGrid, TileMatrixGrid
from geo_assets.kernels.raster import cog
from geo_assets.kernels.scene import SceneSpec, inspect_scene
from geo_assets.kernels.tiling import TileSpec, cut_tiles, plan_chunks
from geo_assets_tests.kernels.raster.oracle import UTM, MakeScene, cut_all, some_values

GRID = SquareGrid("EPSG:32633", 10.0, 1024)
SMALL = SquareGrid("EPSG:32633", 30.0, 64)


@pytest.mark.parametrize("compress", ["deflate", "zstd", "lzw", "none"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "complex64"])
def test_tiles_are_valid_cogs(
    dtype: str, compress: str, make_scene: MakeScene, tmp_path: Path
) -> None:
    scene = make_scene(shape=(2, 400, 300), dtype=dtype)
    _, _, results = cut_all([scene], GRID, tmp_path, compress=compress)
    tile = results[0].files[0]
    valid, errors, warnings = cog_validate(tile.path, strict=True)
    assert (valid, errors, warnings) == (True, [], [])
    with rasterio.open(tile.path) as dataset:
        assert dataset.block_shapes == [(512, 512)] * 2
        assert dataset.overviews(1) == [2]
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
    predictor = {"uint8": "2", "int16": "2", "float32": "3"}.get(dtype)
    assert structure.get("PREDICTOR") == (None if compress == "none" else predictor)
    assert structure.get("COMPRESSION", "none").lower() == compress
    with rasterio.open(tile.path) as dataset:
        assert dataset.read().any()
    assert tile.media_type.endswith("profile=cloud-optimized")


def test_the_same_input_gives_the_same_bytes(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene(shape=(2, 300, 300), dtype="float32", nodata=-1)
    runs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        _, _, results = cut_all([scene], GRID, tmp_path / name)
        runs.append([(tile.name, tile.sha256, tile.facts) for r in results for tile in r.files])
    assert runs[0] == runs[1]
    body = results[0].files[0].path.read_bytes()
    assert hashlib.sha256(body).hexdigest() == runs[0][0][1]


def test_cells_cut_alone_are_those_cut_together(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene(crs="EPSG:4326", transform=Affine(0.0004, 0, 15, 0, -0.0004, 47.8))
    _, _, together = cut_all([scene], SMALL, tmp_path)
    facts = inspect_scene(SceneSpec(files=(scene,)), tmp_path).facts
    (chunk,) = plan_chunks(facts, SMALL, [scene])
    alone = {}
    for cell in chunk.spec.cells:
        spec = TileSpec(files=(scene,), cells=(cell,), canvas=chunk.spec.canvas, crs=SMALL.crs_wkt)
        (tmp_path / "alone" / cell.id).mkdir(parents=True)
        for tile in cut_tiles(spec, tmp_path / "alone" / cell.id).files:
            alone[tile.name] = tile.sha256
    assert alone == {tile.name: tile.sha256 for tile in together[0].files}
    assert len(alone) > 4


def test_what_the_source_says_of_its_bands_is_kept(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene(shape=(2, 100, 100), dtype="int16", nodata=-32768)
    with rasterio.open(scene, "r+") as dataset:
        dataset.descriptions = ("elevation", None)
        dataset.units = ("m", "")
        dataset.scales = (0.1, 1.0)
        dataset.offsets = (100.0, 0.0)
    _, _, results = cut_all([scene], SMALL, tmp_path)
    with rasterio.open(results[0].files[0].path) as tile:
        assert tile.descriptions == ("elevation", None)
        assert tile.scales == (0.1, 1.0)
        assert tile.offsets == (100.0, 0.0)
        assert tile.units[0] == "m"
        assert tile.nodata == -32768
        assert tile.crs.to_epsg() == 32633


def test_colour_tables_are_kept_and_force_nearest(make_scene: MakeScene, tmp_path: Path) -> None:
    values = np.random.default_rng(1).choice([3, 200], (1, 150, 200)).astype(np.uint8)
    palette = {0: (0, 0, 0, 255), 3: (10, 200, 30, 255), 200: (255, 0, 0, 255)}
    scene = make_scene(values=values, dtype="uint8", palette=palette, nodata=0)
    grid = SquareGrid("EPSG:32633", 7.0, 1024)
    _, _, results = cut_all([scene], grid, tmp_path, resampling="cubic")
    assert results[0].facts["resampling"] == "nearest"
    assert results[0].facts["categorical"] is True
    with rasterio.open(results[0].files[0].path) as tile:
        kept = tile.colormap(1)
        assert {value: kept[value] for value in palette if value} == {
            value: colour for value, colour in palette.items() if value
        }
        assert tile.colorinterp[0].name == "palette"
        assert set(np.unique(tile.read())) <= {0, 3, 200}
        overview = tile.read(out_shape=(1, 512, 512))
        assert set(np.unique(overview)) <= {0, 3, 200}, "overviews mix no classes"


def test_declared_classes_may_also_take_the_mode(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene(dtype="uint8")
    for resampling, used in (("average", "nearest"), ("mode", "mode")):
        folder = tmp_path / resampling
        folder.mkdir()
        _, _, results = cut_all([scene], SMALL, folder, resampling=resampling, categorical=True)
        assert results[0].facts["resampling"] == used


def test_cells_without_data_make_no_file(make_scene: MakeScene, tmp_path: Path) -> None:
    values = np.zeros((1, 150, 200), dtype=np.uint16)
    values[0, 100:110, 150:160] = 9
    scene = make_scene(values=values, nodata=0)
    _, _, results = cut_all([scene], SMALL, tmp_path, resampling="nearest")
    (result,) = results
    (tile,) = result.files
    assert len(result.facts["empty"]) == result.facts["cells"] - 1
    assert tile.facts["cell"] not in result.facts["empty"]
    assert tile.facts["stats"] == [{"min": 9.0, "max": 9.0, "mean": 9.0, "valid": 100}]
    assert tile.facts["valid_share"] == 100 / 64**2
    assert sorted(path.name for path in tile.path.parent.iterdir()) == [tile.path.name]


def test_one_file_for_each_band_and_grids_that_differ(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    """As in Landsat: 30 m and 15 m bands, and even another CRS."""
    fine = make_scene("pan.tif", shape=(1, 300, 400), transform=UTM @ Affine.scale(0.5))
    coarse = make_scene("red.tif")
    other = make_scene("blue.tif", crs="EPSG:4326", dtype="uint8",
                       transform=Affine(0.0004, 0, 14.99, 0, -0.0004, 47.86))  # fmt: skip
    files = [coarse, fine, other]
    (data, valid), _, results = cut_all(files, SMALL, tmp_path, resampling="nearest")
    assert data.shape[0] == 3
    for band, file in enumerate(files):
        folder = tmp_path / file.stem
        folder.mkdir()
        (single, _), canvas, _ = cut_all([file], SMALL, folder, resampling="nearest")
        del canvas
        assert np.count_nonzero(data[band][valid]) <= np.count_nonzero(single)
    with rasterio.open(results[0].files[0].path) as tile:
        assert set(tile.dtypes) == {"uint16"}
        assert tile.nodata is None


def test_files_that_cannot_be_one_raster_are_refused(make_scene: MakeScene, tmp_path: Path) -> None:
    zero = make_scene("zero.tif", nodata=0)
    high = make_scene("high.tif", nodata=65535)
    with pytest.raises(InputError, match="one nodata value"):
        cut_all([zero, high], SMALL, tmp_path)
    _, _, results = cut_all([zero, high], SMALL, tmp_path, nodata=0)
    assert results[0].files
    big, less = make_scene("u64.tif", dtype="uint64"), make_scene("i64.tif", dtype="int64")
    with pytest.raises(InputError, match="one type"):
        cut_all([big, less], SMALL, tmp_path)
    with pytest.raises(ConfigError, match="uint16 can hold"):
        cut_all([zero], SMALL, tmp_path, nodata=-1)


def test_integers_that_gdal_would_round_are_refused(make_scene: MakeScene, tmp_path: Path) -> None:
    values = np.full((1, 100, 100), 2**60 + 1, dtype=np.int64)
    scene = make_scene(values=values, dtype="int64")
    with pytest.raises(InputError, match=r"2\*\*53"):
        cut_all([scene], SMALL, tmp_path, resampling="nearest")


def test_many_bands_are_cut_in_pieces(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene(shape=(150, 40, 40), dtype="float32", blockxsize=16, blockysize=16)
    grid = SquareGrid("EPSG:32633", 30.0, 256)
    (data, valid), _, results = cut_all([scene], grid, tmp_path, resampling="nearest")
    assert data.shape[0] == 150
    assert valid.sum() == 40 * 40
    with rasterio.open(results[0].files[0].path) as tile:
        assert tile.block_shapes[0] == (128, 128)
        assert tile.shape == (256, 256)


def test_a_late_damaged_block_is_an_error_that_names_the_file(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    scene = make_scene(shape=(1, 300, 300), compress="lzw")
    body = bytearray(scene.read_bytes())
    body[-3000:-2900] = b"\xff" * 100
    scene.write_bytes(body)
    with pytest.raises(InputError, match=r"can be decoded.*scene\.tif"):
        cut_all([scene], SMALL, tmp_path)


def test_a_tile_that_cannot_be_read_back_is_never_returned(
    make_scene: MakeScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GDAL closes files on a full disk without an error; here the end of the file is lost."""
    real = rasterio.shutil.copy

    def lossy(source: Any, target: Path, **options: Any) -> None:
        real(source, target, **options)
        with target.open("r+b") as file:
            file.truncate(target.stat().st_size - 500)

    monkeypatch.setattr(cog.rasterio.shutil, "copy", lossy)
    scene = make_scene()
    with pytest.raises(ContractError, match="can be read back"):
        cut_all([scene], SMALL, tmp_path)


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs a mount namespace")
def test_a_full_disk_is_an_error(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene(shape=(2, 700, 700), dtype="float32")
    small = tmp_path / "small"
    small.mkdir()
    code = (
        "import sys; from pathlib import Path\n"
        "from geo_assets.grids import SquareGrid\n"
        "from geo_assets.kernels.scene import SceneSpec, inspect_scene\n"
        "from geo_assets.kernels.tiling import plan_chunks, cut_tiles\n"
        "from geo_assets.errors import GeoAssetsError\n"
        "scene, work = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "facts = inspect_scene(SceneSpec(files=(scene,)), work).facts\n"
        "grid = SquareGrid('EPSG:32633', 20.0, 1024)\n"
        "for chunk in plan_chunks(facts, grid, [scene]):\n"
        "    try:\n        cut_tiles(chunk.spec, work)\n"
        "    except GeoAssetsError as error:\n        sys.exit(f'{error.kind}: {error}')\n"
    )
    for size in ("1m", "5m", "9m"):
        script = f'mount -t tmpfs -o size={size} none "$2" && exec "$0" -c "$3" "$1" "$2"'
        done = subprocess.run(
            ["unshare", "--mount", "--map-root-user", "sh", "-c", script,
             sys.executable, str(scene), str(small), code],
            capture_output=True, text=True, timeout=100,
        )  # fmt: skip
        if "unshare" in done.stderr or "mount:" in done.stderr:
            pytest.skip("mounting is not allowed here")
        assert "contract: A tile" in done.stderr, (size, done.stderr)


def test_chunks_depend_on_scene_and_grid_alone(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene(shape=(1, 4000, 3000), dtype="uint8", sparse_ok=True)
    facts = inspect_scene(SceneSpec(files=(scene,)), tmp_path).facts
    json.dumps(facts, allow_nan=False)
    for grid in (SquareGrid("EPSG:32633", 10.0, 512), TileMatrixGrid("WebMercatorQuad", 12, 1024)):
        chunks = plan_chunks(facts, grid, [scene])
        cells = [cell.id for chunk in chunks for cell in chunk.spec.cells]
        assert sorted(cells) == sorted(cell.id for cell in grid.cells_over(_extent(facts)))
        assert len({chunk.id for chunk in chunks}) == len(chunks) > 1
        for chunk in chunks:
            pixels = sum(cell.width * cell.height for cell in chunk.spec.cells)
            assert pixels <= 4096**2
            assert "/" not in chunk.id
            assert pickle.loads(pickle.dumps(chunk)) == chunk
            assert isinstance(chunk.spec.canvas, Canvas)
        again = plan_chunks(json.loads(json.dumps(facts)), grid, [scene])
        assert again == chunks


def _extent(facts: Any) -> Any:
    from geo_assets.grids import Extent

    return Extent.from_dict(facts["files"][0]["extent"])


def test_statistics_leave_out_what_is_no_number(make_scene: MakeScene, tmp_path: Path) -> None:
    values = some_values((1, 150, 200), "float32")
    values[0, :10] = np.inf
    values[0, 10:20] = np.nan
    scene = make_scene(values=values, dtype="float32")
    _, _, results = cut_all([scene], SMALL, tmp_path, resampling="nearest")
    for tile in results[0].files:
        json.dumps(tile.facts, allow_nan=False)
        assert tile.facts["stats"][0]["max"] < 200


def test_doors_import_no_gdal() -> None:
    code = (
        "import sys\n"
        "import geo_assets.grids, geo_assets.kernels.scene, geo_assets.kernels.tiling\n"
        "import geo_assets.kernels.tile_index, geo_assets.kernels.preview\n"
        "import geo_assets.kernels.tile_checks\n"
        "sys.exit(bool({'rasterio', 'geopandas', 'pandas', 'shapely', 'morecantile'}"
        " & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_memory_stays_within_what_was_predicted(make_scene: MakeScene) -> None:
    scene = make_scene(shape=(4, 2500, 2500), dtype="uint16", blockxsize=512, blockysize=512)
    code = (
        "import re, sys; from pathlib import Path\n"
        "import geo_assets.kernels.raster.cut, pyproj\n"
        "from geo_assets.grids import SquareGrid\n"
        "from geo_assets.kernels.scene import SceneSpec, inspect_scene\n"
        "from geo_assets.kernels.tiling import plan_chunks, cut_tiles\n"
        "status = Path('/proc/self/status')  # ru_maxrss begins with that of the parent\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', status.read_text())[1]) << 10\n"
        "scene, work, rest = Path(sys.argv[1]), Path(sys.argv[2]), peak()\n"
        "facts = inspect_scene(SceneSpec(files=(scene,)), work).facts\n"
        "chunks = plan_chunks(facts, SquareGrid('EPSG:32633', 30.0, 2048), [scene])\n"
        "largest = max(chunks, key=lambda chunk: len(chunk.spec.cells))\n"
        "cut_tiles(largest.spec, work)\n"
        "print(peak() - rest, largest.predicted_bytes)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(scene), str(scene.parent / "out")],
                          capture_output=True, text=True, check=True)  # fmt: skip
    used, predicted = map(int, done.stdout.split())
    assert 0.2 * predicted < used < predicted
