"""Correlation, formats and redaction."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from dataclasses import replace

import pytest

from geo_assets.engine import log
from geo_assets.engine.engine import Engine
from geo_assets_tests.engine import faulty
from geo_assets_tests.engine.conftest import make

logger = logging.getLogger("geo_assets.tests")


@pytest.fixture
def lines():
    """Configure the package's logger to JSON, and put everything back."""
    root = logging.getLogger("geo_assets")
    before = root.level, list(root.handlers)
    stream = io.StringIO()
    log.configure("json", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def test_fields_nest_and_end(lines):
    with log.bind(run="r1", asset="raw/scenes"):
        with log.bind(partition="2026-01-03"):
            logger.info("staged %d", 3)
        logger.info("done")
    logger.info("outside")
    first, second, third = lines()
    assert (first["run"], first["asset"], first["partition"]) == ("r1", "raw/scenes", "2026-01-03")
    assert first["message"] == "staged 3"
    assert "partition" not in second
    assert "run" not in third


async def test_tasks_have_fields_of_their_own(lines):
    async def work(name):
        with log.bind(chunk=name):
            await asyncio.sleep(0)
            logger.info(name)

    with log.bind(run="r"):
        await asyncio.gather(*(work(str(n)) for n in range(4)))
    assert all(line["chunk"] == line["message"] and line["run"] == "r" for line in lines())


def test_configure_again_does_not_double(lines):
    log.configure("json", io.StringIO())
    assert len(logging.getLogger("geo_assets").handlers) == 1


def test_an_exception_is_in_the_record(lines):
    try:
        raise ValueError("bad secret=hunter22")
    except ValueError:
        logger.exception("failed")
    (line,) = lines()
    assert "ValueError" in line["trace"]
    assert "hunter22" not in json.dumps(line)


def test_console():
    record = logging.makeLogRecord(
        {"msg": "staged", "levelno": 20, "levelname": "INFO", "correlation": {"run": "r1"}}
    )
    assert log.ConsoleFormatter().format(record).endswith("info    staged [run=r1]")


@pytest.mark.parametrize(
    "text",
    [
        "aws_secret_access_key=CANARY0123",
        '{"secret_key": "CANARY0123"}',
        "password: CANARY0123",
        "https://b.s3.amazonaws.com/k?X-Amz-Signature=CANARY0123&x=1",
        "https://b/k?X-Amz-Security-Token=CANARY0123",
        "postgresql://user:CANARY0123@host/db",
        "key AKIACANARY0123456789",
        "token='CANARY0123'",
        "S3Store(access_key_id=CANARY0123, endpoint=x)",
    ],
)
def test_redaction(text):
    assert "CANARY0123" not in log.redact(text)
    assert log.redact(log.redact(text)) == log.redact(text)


def test_hidden_values_never_appear():
    log.hide("correct-horse")
    log.hide("")
    log.hide(None)
    log.hide("abc")
    assert log.redact("is correct-horse or abc") == "is *** or abc"
    log._secrets.clear()


def test_ordinary_text_is_kept():
    text = "staged 10/523/381.tif: 3 objects, sha256=ab12, bbox=[1.0, 2.0] at s3://bucket/key"
    assert log.redact(text) == text


async def test_records_of_a_worker_carry_run_chunk_and_worker(settings, lines):
    async with Engine.open(settings, preload=()) as engine:
        with log.bind(run="r1", asset="core/scene_tiles"):
            await engine.run(make(faulty.talk, 7), engine.scratch)
    told = {line["message"]: line for line in lines()}
    assert told["info 7"]["logger"] == "geo_assets.kernels.talk"
    assert told["GDAL says 7"]["logger"] == "geo_assets.worker.rasterio._env"
    output = [line for line in told.values() if line["logger"] == "geo_assets.worker.output"]
    assert "\n".join(line["message"] for line in output) == "printed 7\nfrom C 7"
    for line in (told["info 7"], told["GDAL says 7"], *output):
        assert (line["run"], line["chunk"], line["worker"]) == ("r1", "c7", "w1")


async def test_output_is_filed_under_the_chunk_that_made_it(settings, lines):
    """One worker, three partitions: nothing of the first sticks to the others."""
    async with Engine.open(replace(settings, workers=1), preload=()) as engine:
        for number, day in enumerate(["monday", "tuesday", "wednesday"]):
            with log.bind(partition=day):
                await engine.run(make(faulty.talk, number), engine.scratch)
    output = [line for line in lines() if line["logger"] == "geo_assets.worker.output"]
    seen = {(line["partition"], line["chunk"], line["worker"]) for line in output}
    assert seen == {("monday", "c0", "w1"), ("tuesday", "c1", "w1"), ("wednesday", "c2", "w1")}


async def test_a_flood_of_records_is_cut(settings, lines):
    async with Engine.open(settings, preload=()) as engine:
        await engine.run(make(faulty.chatter, 1000), engine.scratch)
    messages = [line["message"] for line in lines() if "worker" in line]
    assert messages[-1] == "800 more log records left out"
    assert len(messages) == 201
