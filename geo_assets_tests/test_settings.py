"""Settings come from the environment, and nonsense is refused."""

from pathlib import Path

import pytest

from geo_assets.errors import ConfigError
from geo_assets.settings import Settings, parse_bytes


@pytest.mark.parametrize(
    ("text", "value"),
    [("4096", 4096), ("1K", 1024), ("1500M", 1500 << 20), ("2GiB", 2 << 30), ("0.5 gb", 1 << 29)],
)
def test_sizes(text, value):
    assert parse_bytes(text) == value


@pytest.mark.parametrize("text", ["", "-1G", "0", "many", "1X", "G", "nan", "inf"])
def test_nonsense_sizes_are_refused(text):
    with pytest.raises(ConfigError, match="memory size"):
        parse_bytes(text)


def test_the_environment_overrides_the_defaults():
    settings = Settings.from_env(
        {
            "GEO_ASSETS_ROOT": "s3://bucket/prefix",
            "GEO_ASSETS_MEMORY": "2G",
            "GEO_ASSETS_WORKERS": "3",
            "GEO_ASSETS_SCRATCH": "/scratch",
        }
    )
    assert settings.root == "s3://bucket/prefix"
    assert settings.memory_bytes == 2 << 30
    assert settings.worker_count == 3
    assert settings.scratch == Path("/scratch")
    assert settings.source == Settings().source


@pytest.mark.parametrize(("name", "value"), [("WORKERS", "two"), ("LOG", "xml"), ("MEMORY", "x")])
def test_nonsense_is_refused(name, value):
    with pytest.raises(ConfigError):
        Settings.from_env({f"GEO_ASSETS_{name}": value})


def test_empty_variables_count_as_unset():
    assert Settings.from_env({"GEO_ASSETS_ROOT": ""}) == Settings()


def test_runs_of_a_backfill_are_as_long_as_wanted():
    assert Settings.from_env({}).run_partitions == 0
    assert Settings.from_env({"GEO_ASSETS_RUN_PARTITIONS": "500"}).run_partitions == 500
    with pytest.raises(ConfigError, match="GEO_ASSETS_RUN_PARTITIONS is a number of partitions"):
        Settings.from_env({"GEO_ASSETS_RUN_PARTITIONS": "all"})
