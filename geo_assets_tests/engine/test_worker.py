"""What a worker is: safe, single-threaded, without secrets."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import psutil
import pytest

from geo_assets.engine.engine import Done, Engine
from geo_assets.engine.launcher import Launcher
from geo_assets.engine.sandbox import SAFE_ENVIRONMENT, worker_environment
from geo_assets.errors import WorkerCrashed
from geo_assets.model import KernelResult
from geo_assets_tests.engine import faulty
from geo_assets_tests.engine.conftest import MIB, collect, make

CANARY = "canary-5f3a"


@pytest.fixture
async def facts(settings, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    monkeypatch.setenv("MY_DB_PASSWORD", CANARY)
    monkeypatch.setenv("GDAL_NUM_THREADS", "ALL_CPUS")
    async with Engine.open(settings) as engine:
        result = await engine.run(make(faulty.modules), engine.scratch)
        nursery = psutil.Process(result.facts["nursery"])
        yield {**result.facts, "nursery_threads": nursery.num_threads()}


async def test_environment_and_imports(facts):
    modules = set(facts["modules"])
    assert {"rasterio", "pyproj", "shapely", "numpy", "pyarrow", "pandas"} <= modules
    assert not {"dagster", "obstore", "boto3", "geopandas", "pytest"} & modules
    assert facts["main_file"] is None
    assert SAFE_ENVIRONMENT.items() <= facts["environ"].items()
    assert CANARY not in facts["environ"].values()
    assert facts["sigint"]
    assert facts["threads"] == 2  # the main one and the one that watches the engine
    assert facts["nursery_threads"] == 1  # a fork of several threads is not safe
    assert Path(facts["environ"]["TMPDIR"]).name == "tmp"


async def test_memory_is_reused_within_a_chunk(engine):
    """Not given back with every array, for the kernel to clear it again."""
    size, rounds = 4 * MIB, 20
    result = await engine.run(make(faulty.page_faults, rounds, size=size, mib=64), engine.scratch)
    assert result.facts["pages"] < 3 * 6 * size / resource.getpagesize()


def test_the_environment_function():
    made = worker_environment(
        {"PATH": "/bin", "HOME": "/h", "S3_TOKEN": "x", "AWS_PROFILE": "p", "PROJ_DATA": "/p"},
        Path("/scratch/tmp"),
    )
    assert made.items() >= {"PATH": "/bin", "HOME": "/h", "PROJ_DATA": "/p"}.items()
    assert "S3_TOKEN" not in made
    assert "AWS_PROFILE" not in made
    assert made["CPL_TMPDIR"] == "/scratch/tmp"


async def test_a_new_interpreter_for_each_worker(settings, monkeypatch):
    """The way without fork, for systems where forking is not safe."""
    monkeypatch.setattr(Launcher.__init__, "__kwdefaults__", {
        **Launcher.__init__.__kwdefaults__, "fork": False})  # fmt: skip
    async with Engine.open(settings) as engine:
        chunks = [make(number=n, seconds=0.05) for n in range(4)]
        chunks[1] = make(faulty.kill, 1)
        items = await collect(engine, chunks)
        pids = engine.pool.pids
    assert sorted(name for name, item in items.items() if isinstance(item, Done)) == [
        "c0", "c2", "c3"]  # fmt: skip
    assert isinstance(items["c1"].error, WorkerCrashed)
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_a_nursery_that_cannot_start_is_an_error_of_the_chunk(settings, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    async with Engine.open(settings) as engine:
        with pytest.raises(WorkerCrashed, match="process that starts workers"):
            await asyncio.wait_for(engine.run(make(), engine.scratch), 10)


VRT = """<VRTDataset rasterXSize="1" rasterYSize="1"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename>{path}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"""


def hostile(spec, workdir) -> KernelResult:
    import pyogrio
    import rasterio
    from rasterio.vrt import WarpedVRT

    clean = workdir / "clean.tif"
    profile = {"driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "uint8",
               "crs": "EPSG:32633", "transform": rasterio.Affine(1, 0, 0, 0, -1, 0)}  # fmt: skip
    with rasterio.open(clean, "w", **profile) as dataset:
        dataset.write(b"x" and __import__("numpy").ones((1, 4, 4), "uint8"))
    vrt = workdir / "looks_like.tif"
    vrt.write_text(VRT.format(path=clean))
    opened = []
    try:
        rasterio.open(vrt).close()
        opened.append("raster vrt")
    except rasterio.errors.RasterioIOError:
        pass
    try:
        rasterio.open("/vsicurl/http://127.0.0.1:9/x.tif").close()
        opened.append("vsicurl")
    except rasterio.errors.RasterioIOError as error:
        assert "Connection" not in str(error), error
    ogr = workdir / "layer.vrt"
    ogr.write_text(
        f'<OGRVRTDataSource><OGRVRTLayer name="l"><SrcDataSource>{workdir}/x.csv'
        "</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
    )
    (workdir / "x.csv").write_text("a,b\n1,2\n")
    try:
        pyogrio.read_info(ogr)
        opened.append("ogr vrt")
    except pyogrio.errors.DataSourceError:
        pass
    with rasterio.open(clean) as source, WarpedVRT(source, crs="EPSG:4326") as warped:
        total = int(warped.read(1).sum())
    return KernelResult(facts={"opened": opened, "warped": total})


async def test_no_input_opens_another_file(settings):
    """Both copies of GDAL refuse; ordinary files and warping are not affected."""
    async with Engine.open(settings) as engine:
        facts = (await engine.run(make(hostile_by_name), engine.scratch)).facts
    assert facts["opened"] == []
    assert facts["warped"] > 0


def hostile_by_name(spec, workdir):
    return hostile(spec, workdir)


def nurseries() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "nursery.main" in one.cmdline()[-1]]


async def test_what_workers_come_from_is_started_ahead_and_ends_unused(settings):
    async with Engine.open(settings) as engine:
        assert not nurseries()
        engine.warm()
        engine.warm()
        await engine.pool.warm()
        (ahead,) = nurseries()
        result = await engine.run(make(faulty.modules), engine.scratch)
        assert result.facts["nursery"] == ahead.pid
    assert not nurseries()
    async with Engine.open(settings) as engine:
        engine.warm()
        await asyncio.sleep(0)  # it has begun, and is not there yet
    assert not nurseries()
