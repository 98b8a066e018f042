"""The logs of a run: one correlation from the run to the object request, in every format."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource

from geo_assets.engine import telemetry
from geo_assets.partitions import RANGE_END, RANGE_START
from geo_assets.resources import GeoEngine, GeoStore
from geo_assets.settings import Settings
from geo_assets_tests.automation import small_defs
from geo_assets_tests.automation.small_defs import KEYS


@pytest.fixture(autouse=True)
def logger_as_before() -> Iterator[None]:
    logger = logging.getLogger("geo_assets")
    before = logger.level, list(logger.handlers)
    logger.setLevel(logging.NOTSET)
    yield
    logger.setLevel(before[0])
    logger.handlers[:] = before[1]


def run(tmp_path, texts: list[str], **settings) -> tuple[dg.ExecuteInProcessResult, list]:
    """Make the partitions of the texts; the result, and the run log's own lines."""
    (tmp_path / "source").mkdir()
    for key, text in zip(KEYS, texts, strict=False):
        (tmp_path / "source" / key).write_text(text)
    store = GeoStore(root=str(tmp_path / "store"), source=str(tmp_path / "source"), s3=S3Resource())
    made = Settings(scratch=tmp_path / "scratch", workers=2, **settings)
    resources = dict(small_defs.defs.resources or {}) | {
        "geo_store": store, "geo_engine": GeoEngine.from_settings(made),
    }  # fmt: skip
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [small_defs.texts, small_defs.checks],
            instance=instance, resources=resources, raise_on_error=False,
            tags={RANGE_START: KEYS[0], RANGE_END: KEYS[len(texts) - 1]},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )  # fmt: skip
        lines = [entry for entry in instance.all_logs(result.run_id) if not entry.dagster_event]
    return result, lines


def in_order(messages: list[str], *wanted: str) -> bool:
    """Whether each of `wanted` begins a message, one after another."""
    rest = iter(messages)
    return all(any(message.startswith(start) for message in rest) for start in wanted)


def test_one_grep_tells_the_story_of_a_chunk(tmp_path, capsys):
    result, _ = run(tmp_path, ["one", "talk", "three"], log_format="json", log_level="debug")
    assert result.success
    lines = capsys.readouterr().err.splitlines()
    needle = f'"partition": "{KEYS[1]}", "chunk": "text"'
    story = [json.loads(line) for line in lines if needle in line]
    assert in_order(
        [line["message"] for line in story],
        "fetch begins", "computing", "GDAL says hello", "stage begins", "request create ",
        "chunk done in w", "computing", "chunk done in w",
    )  # fmt: skip
    messages = {line["message"]: line for line in story}
    assert {"writing", "printed"} <= messages.keys()
    for line in story:
        assert line["run"] == result.run_id
        assert line["asset"] == "core/texts"
    for told in ("computing", "writing", "GDAL says hello", "printed"):
        assert messages[told]["worker"] in ("w1", "w2")
    assert messages["GDAL says hello"]["level"] == "warning"
    others = [json.loads(line) for line in lines if needle not in line and line.startswith("{")]
    assert not [
        line for line in others if line["message"] in messages and "hello" in line["message"]
    ]
    assert {line["message"] for line in others if line.get("partition") == KEYS[1]} >= {
        "made of 1 chunks, 0 of them by an earlier run"
    }


def test_every_chunk_of_assets_and_checks_says_whose_it_is(tmp_path, capsys):
    result, _ = run(tmp_path, ["one", "two"], log_format="json", log_level="debug")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line[:1] == "{"]
    done = [line for line in lines if line["message"].startswith("chunk done")]
    assert len(done) == 4, "two partitions, and the check of each"
    for line in done:
        assert (line["run"], line["asset"]) == (result.run_id, "core/texts")
        assert line["partition"] in KEYS[:2]


def test_the_same_on_a_console_without_the_steps(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(telemetry, "LONG_S", 0.0)
    run(tmp_path, ["one", "talk"])
    story = [line for line in capsys.readouterr().err.splitlines()
             if f"partition={KEYS[1]} chunk=text" in line]  # fmt: skip
    assert any("warning GDAL says hello [run=" in line for line in story)
    assert any("info    chunk done in w" in line for line in story)
    assert not any("request create" in line or "begins" in line for line in story)


def test_short_chunks_of_many_partitions_are_no_lines_on_a_console(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(telemetry, "LONG_S", 60.0)
    run(tmp_path, ["one", "talk"])
    said = capsys.readouterr().err
    assert "GDAL says hello" in said
    assert "chunk done" not in said and "made of" not in said


def test_dagsters_run_log_hears_of_warnings_and_errors_with_their_level(tmp_path):
    result, lines = run(tmp_path, ["one", "talk", "poison"])
    assert not result.success
    told = {line.user_message: line.level for line in lines}
    place = f"[partition={KEYS[1]} chunk=text worker=w"
    (said,) = [text for text in told if text.startswith(f"GDAL says hello {place}")]
    assert told[said] == logging.WARNING
    (given_up,) = [text for text in told if text.startswith("chunk given up: A text is harmless")]
    assert told[given_up] == logging.ERROR
    assert f"[partition={KEYS[2]} chunk=text]" in given_up
    assert [text for text in told if "3 of 3 partitions done" in text and "1 failed" in text]
    assert not [text for text in told if text.startswith("chunk done")]


def test_a_flood_of_warnings_does_not_drown_the_run_log(tmp_path, monkeypatch):
    from geo_assets.assets import run_log

    monkeypatch.setattr(run_log, "RECORDS", 2)
    _, lines = run(tmp_path, ["talk"] * 4)
    texts = [line.user_message for line in lines if line.level == logging.WARNING]
    rest = [text for text in texts if text.endswith("more are in the step's output")]
    assert len(texts) - len(rest) == 2
    assert rest, "what is left out is counted"
